"""Scans with acquisition times, and the dated scans of one patient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.errors import DateError, SeriesError

_SECONDS_PER_DAY = 86_400.0


class TimeUnit(Enum):
    """Unit of a series' times; the value is what is written in files and shown to users."""

    MILLISECOND = "ms"
    SECOND = "s"
    DAY = "day"
    WEEK = "week"
    YEAR = "year"

    @property
    def days(self) -> float:
        """Length of one unit in days."""
        return {
            TimeUnit.MILLISECOND: 1e-3 / _SECONDS_PER_DAY,
            TimeUnit.SECOND: 1.0 / _SECONDS_PER_DAY,
            TimeUnit.DAY: 1.0,
            TimeUnit.WEEK: 7.0,
            TimeUnit.YEAR: 365.25,
        }[self]

    @property
    def plural(self) -> str:
        """As users write it after a number: days, weeks, years, ms, s."""
        return self.value if self.within_one_exam else f"{self.value}s"

    @property
    def within_one_exam(self) -> bool:
        """Whether such times lie within one examination (heart phases, perfusion), and not weeks apart."""
        return self in (TimeUnit.MILLISECOND, TimeUnit.SECOND)

    def convert(self, value: float, to: TimeUnit) -> float:
        """`value` of this unit, expressed in the unit `to`."""
        return value * self.days / to.days


class TimeSource(Enum):
    """Where the time of a scan came from."""

    TYPED = "typed"
    DICOM = "DICOM"
    TRIGGER = "DICOM TriggerTime"
    BIDS = "BIDS"
    NAME = "name"
    MANIFEST = "manifest"
    SEQUENCE = "sequence index"
    SIMULATED = "simulated"


@dataclass(frozen=True)
class Scan:
    """One 3D scan with its place in space and time.

    image: scalar 3D image in physical space (LPS, mm), intensities in the scanner's own units
    time:  acquisition time in the unit of the series, any origin
    date:  acquisition date when `time` came from one, else None
    """

    image: sitk.Image
    time: float
    name: str
    source: TimeSource
    date: datetime | None = None
    patient: str | None = None
    modality: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class LongitudinalSeries:
    """The dated scans of one patient, oldest first.

    `epoch` is the date at time 0; it is None when the times are not dates (cardiac phases, perfusion frames).

    Raises SeriesError when there is no scan, when a time is not finite, or when two scans share a time.
    """

    scans: tuple[Scan, ...]
    unit: TimeUnit = TimeUnit.DAY
    epoch: datetime | None = None
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.scans:
            raise SeriesError("There is no scan to forecast from. Give at least one dated scan.")
        for scan in self.scans:
            if not math.isfinite(scan.time):
                raise SeriesError(f"The time of scan '{scan.name}' is {scan.time}. Give it a date or a finite time.")
        ordered = tuple(sorted(self.scans, key=lambda scan: scan.time))
        for earlier, later in itertools.pairwise(ordered):
            if earlier.time == later.time:
                raise SeriesError(
                    f"Scans '{earlier.name}' and '{later.name}' have the same time "
                    f"({self._label(earlier)}). Give one of them another time, or leave one out."
                )
        object.__setattr__(self, "scans", ordered)
        object.__setattr__(self, "warnings", tuple(self.warnings) + tuple(_differences(ordered)))

    @classmethod
    def from_dates(
        cls, scans: Iterable[Scan], unit: TimeUnit = TimeUnit.DAY, warnings: Iterable[str] = ()
    ) -> LongitudinalSeries:
        """Series of scans with a `date` each, whose times count from the earliest one.

        Raises DateError when a scan has no date, SeriesError as the series itself.
        """
        dates: list[tuple[Scan, datetime]] = []
        for scan in scans:
            if scan.date is None:
                raise DateError(f"Scan '{scan.name}' has no date. Give it one, for example 2024-03-01.")
            dates.append((scan, scan.date))
        epoch = min((date for _, date in dates), default=datetime.min)
        timed = (replace(scan, time=TimeUnit.DAY.convert(_days_between(epoch, date), unit)) for scan, date in dates)
        return cls(tuple(timed), unit, epoch, tuple(warnings))

    def __len__(self) -> int:
        return len(self.scans)

    def __iter__(self) -> Iterator[Scan]:
        return iter(self.scans)

    @property
    def last(self) -> Scan:
        """The most recent scan: what a forecast is compared with."""
        return self.scans[-1]

    @property
    def times(self) -> tuple[float, ...]:
        """Acquisition times in `unit`, ascending."""
        return tuple(scan.time for scan in self.scans)

    def held_out(self, time: float) -> tuple[LongitudinalSeries, Scan]:
        """The scans before a time, and the scan taken at that time: what a forecast is tested with.

        Raises SeriesError when no scan was taken at that time, or none before it.
        """
        truth = next((scan for scan in self.scans if math.isclose(scan.time, time, abs_tol=1e-6)), None)
        if truth is None:
            known = ", ".join(self._label(scan) for scan in self.scans)
            raise SeriesError(f"No scan was taken at {self.describe_time(time)}. Choose one of {known}.")
        earlier = tuple(scan for scan in self.scans if scan.time < truth.time)
        if not earlier:
            raise SeriesError(f"There is no scan before {self._label(truth)}. Choose a later one as the target.")
        return LongitudinalSeries(earlier, self.unit, self.epoch), truth

    def time_at(self, date: datetime) -> float:
        """Time of a date, in the unit of the series. Raises SeriesError when the series has no dates."""
        if self.epoch is None:
            raise SeriesError(
                f"The times of this series are not dates but {self.unit.value}. "
                f"Give the target as a number of {self.unit.value}."
            )
        return TimeUnit.DAY.convert(_days_between(self.epoch, date), self.unit)

    def date_at(self, time: float) -> datetime | None:
        """Date of a time in the unit of the series, or None when the series has no dates."""
        if self.epoch is None:
            return None
        return self.epoch + timedelta(days=self.unit.convert(time, TimeUnit.DAY))

    def horizon(self, target_time: float) -> float:
        """Time from the last scan to the target, in the unit of the series; negative between scans.

        Raises SeriesError when the target is not finite or lies before the first scan.
        """
        if not math.isfinite(target_time):
            raise SeriesError(f"The target time is {target_time}. Give a date or a finite time.")
        if target_time < self.scans[0].time:
            raise SeriesError(
                f"The target lies before the first scan ({self._label(self.scans[0])}). "
                "Choose a later target, or add an earlier scan."
            )
        return target_time - self.last.time

    def describe_time(self, time: float) -> str:
        """A time as users write it: the ISO date when the series has dates, else number and unit."""
        date = self.date_at(time)
        if date is None:
            return f"{time:g} {self.unit.value}"
        return date.date().isoformat() if date.time() == datetime.min.time() else date.isoformat(timespec="minutes")

    def _label(self, scan: Scan) -> str:
        return self.describe_time(scan.time)


def _days_between(start: datetime, end: datetime) -> float:
    return (end - start) / timedelta(days=1)


def _differences(scans: tuple[Scan, ...]) -> Iterator[str]:
    """Warnings about scans that may not belong together."""
    for what, of in (("patients", "patient"), ("modalities", "modality")):
        values = sorted({getattr(scan, of) for scan in scans if getattr(scan, of)})
        if len(values) > 1:
            yield f"The scans come from different {what} ({', '.join(values)}). Check that they belong together."
