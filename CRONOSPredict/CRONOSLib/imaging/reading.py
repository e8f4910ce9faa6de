"""What was found in one source, and how several of them become a series."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from CRONOSLib.errors import DateError
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit

_MIXED = "Some scans have dates and others plain times. Give dates to all of them, or times to all."


@dataclass(frozen=True)
class Reading:
    """Scans found in one source.

    scans: at least one; where `unit` is None a scan carries its `date`, or None when the source does not tell
    unit:  unit of the scans' times; None when they are dates
    """

    scans: tuple[Scan, ...]
    unit: TimeUnit | None = None
    warnings: tuple[str, ...] = ()

    def at(self, when: datetime | float, unit: TimeUnit | None, source: TimeSource) -> Reading:
        """The same single scan at the time that the user says, which wins over what the file says.

        when: date, or number in `unit`

        Raises DateError when there are several scans: one time cannot be theirs.
        """
        if len(self.scans) > 1:
            raise DateError(f"'{self.scans[0].name}' and {len(self.scans) - 1} more scans cannot share one time.")
        scan = self.scans[0]
        warnings = self.warnings
        if isinstance(when, datetime):
            if scan.date and scan.date.date() != when.date():
                warnings += (f"'{scan.name}' says {scan.date:%Y-%m-%d} itself; the given {when:%Y-%m-%d} is used.",)
            return Reading((dataclasses.replace(scan, date=when, source=source),), None, warnings)
        return Reading((dataclasses.replace(scan, time=when, date=None, source=source),), unit, warnings)


def merge(readings: Sequence[Reading], warnings: Iterable[str] = ()) -> Reading:
    """One reading of all scans. Raises DateError when some have dates and others times, or times differ in unit."""
    units = {reading.unit for reading in readings}
    if len(units) > 1:
        raise DateError(_MIXED)
    scans = tuple(scan for reading in readings for scan in reading.scans)
    return Reading(scans, units.pop(), (*warnings, *(text for reading in readings for text in reading.warnings)))


def join(readings: Sequence[Reading], unit: TimeUnit | None) -> LongitudinalSeries:
    """One series of all scans, in `unit`; by default days for dates, and for numbers the unit they came in.

    Raises DateError when a scan has no time, or when some have dates and others numbers; SeriesError as
    `LongitudinalSeries` does.
    """
    if not readings:
        return LongitudinalSeries(())
    readings = _with_different_names(readings)
    everything = tuple(dict.fromkeys(text for reading in readings for text in reading.warnings))
    units = {reading.unit for reading in readings}
    if None in units and len(units) > 1:
        raise DateError(_MIXED)
    if None not in units:
        timed = [(scan, reading.unit) for reading in readings for scan in reading.scans if reading.unit]
        return _from_times(timed, unit or timed[0][1], everything)
    dated = (scan for reading in readings for scan in reading.scans)
    return LongitudinalSeries.from_dates(dated, unit or TimeUnit.DAY, everything)


def _with_different_names(readings: Sequence[Reading]) -> list[Reading]:
    """The same, with the folder before a name that stands there more than once (`GA25/srr`, `GA26/srr`)."""
    counts = Counter(scan.name for reading in readings for scan in reading.scans)

    def renamed(scan: Scan) -> Scan:
        if counts[scan.name] == 1 or scan.path is None:
            return scan
        return dataclasses.replace(scan, name=f"{scan.path.absolute().parent.name}/{scan.name}")

    return [dataclasses.replace(reading, scans=tuple(map(renamed, reading.scans))) for reading in readings]


def _from_times(
    scans: Sequence[tuple[Scan, TimeUnit]], unit: TimeUnit, warnings: tuple[str, ...]
) -> LongitudinalSeries:
    converted = (dataclasses.replace(scan, time=own.convert(scan.time, unit)) for scan, own in scans)
    return LongitudinalSeries(tuple(converted), unit, None, warnings)
