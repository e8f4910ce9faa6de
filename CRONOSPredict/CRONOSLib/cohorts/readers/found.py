"""What a reader finds in a folder of patients, and what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from CRONOSLib.cohorts.manifest import Visit
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import TimeUnit


@dataclass(frozen=True)
class FoundScan:
    """One scan of a patient, known by names and tables; its voxels are not read yet.

    subject: name of the patient in the data set
    when:    acquisition date, or a number in the unit of the findings
    path:    image file, or folder of a DICOM series
    channel: kind of image, such as "CT1"; empty when the names do not tell
    frame:   number in a 4D file, from 0
    mask:    label image of this scan
    split:   official split of the patient, where the data set has one
    """

    subject: str
    when: datetime | float
    path: Path
    channel: str = ""
    frame: int | None = None
    mask: Path | None = None
    split: str | None = None


@dataclass(frozen=True)
class Skipped:
    """Something that does not become part of the cohort: a patient, or one of its files."""

    subject: str
    path: Path | None
    reason: str


def by_reason(skipped: Iterable[Skipped]) -> list[tuple[str, int, Skipped]]:
    """Every reason, without its full stop, how often there was one, and the first case; the most frequent first."""
    cases = list(skipped)
    first = {one.reason.rstrip("."): one for one in reversed(cases)}
    counted = Counter(one.reason.rstrip(".") for one in cases)
    return [(reason, count, first[reason]) for reason, count in counted.most_common()]


@dataclass(frozen=True)
class Findings:
    """Scans of all patients. `unit` is that of times that are numbers; dates become days."""

    scans: tuple[FoundScan, ...]
    skipped: tuple[Skipped, ...] = ()
    unit: TimeUnit = TimeUnit.DAY


@dataclass(frozen=True)
class FoundPatient:
    """A patient with two visits or more, oldest first, of one channel; `split` is the official one, if any."""

    subject: str
    visits: tuple[Visit, ...]
    split: str | None = None


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    name:          what is typed
    title:         the data set
    expects:       what a folder of this layout holds, for messages
    recognises:    whether a folder is laid out like this, by names alone
    find:          the scans in such a folder; raises CohortError when it cannot be read at all
    channel:       what is taken when nothing is said; None: what most patients have
    preprocessing: how its patients are prepared when nothing is said
    """

    name: str
    title: str
    expects: str
    recognises: Callable[[Path], bool]
    find: Callable[[Path], Findings]
    channel: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


AT_3_MM = Preprocessing(GridSpec(spacing_mm=3.0))
"""Heads scanned over months: rigidly aligned, voxels of 3 mm."""


def one_examination(size: tuple[int, int, int], window: tuple[float, float] | None = None) -> Preprocessing:
    """The frames of one examination: one intensity scale, not aligned, stretched to `size` voxels along x, y, z.

    window: of the intensities, as `IntensitySpec` describes it
    """
    return Preprocessing(GridSpec(stretch_to=size), IntensitySpec(scope="shared", window=window), Alignment.OFF)
