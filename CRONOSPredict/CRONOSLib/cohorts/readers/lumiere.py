"""LUMIERE: glioblastomas before and after surgery, MRI over months.

Layout: `Imaging/Patient-NNN/week-WWW[-N]/` with `CT1.nii.gz`, `T1.nii.gz`, `T2.nii.gz`, `FLAIR.nii.gz` as scanned, and
`HD-GLIO-AUTO-segmentation/native/segmentation_CT1_origspace.nii.gz` on the grid of each; beside `Imaging`, tables, of
which `LUMIERE-datacompleteness.csv` marks what every week should hold. Described by Suter et al. 2022
(doi 10.1038/s41597-022-01881-7).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from CRONOSLib.cohorts.readers.found import AT_3_MM, Findings, FoundScan, Layout, Skipped
from CRONOSLib.cohorts.readers.trees import folders_named, holds, rows_of, tables_at
from CRONOSLib.series import TimeUnit

CHANNELS = ("CT1", "T1", "T2", "FLAIR")
_PATIENT = re.compile(r"Patient-\d+")
_WEEK = re.compile(r"week-(\d+)(?:-(\d+))?")
_COMPLETENESS = "LUMIERE-datacompleteness.csv"


def find(folder: Path) -> Findings:
    """The four channels of every week, in days since week 0.

    The N-th of M examinations in one week, whose days are not published, is put (N − 1)/M of a week later.
    """
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    promised = _promised(folder)
    for patient in folders_named(folder, _PATIENT):
        for week, day in sorted(_days(patient).items()):
            for channel in CHANNELS:
                path = week / f"{channel}.nii.gz"
                if path.is_file():
                    mask = week / "HD-GLIO-AUTO-segmentation" / "native" / f"segmentation_{channel}_origspace.nii.gz"
                    scans.append(FoundScan(patient.name, day, path, channel, mask=mask if mask.is_file() else None))
                elif (patient.name, week.name, channel) in promised:
                    reason = f"{_COMPLETENESS} lists this file, but it is not there; unpack the archive again"
                    skipped.append(Skipped(patient.name, path, reason))
    return Findings(tuple(scans), tuple(skipped), TimeUnit.DAY)


def _days(patient: Path) -> dict[Path, float]:
    weeks = {path: found for path in patient.iterdir() if path.is_dir() and (found := _WEEK.fullmatch(path.name))}
    in_week = Counter(int(found[1]) for found in weeks.values())
    days = {}
    for path, found in weeks.items():
        number, order = int(found[1]), int(found[2] or 1)
        days[path] = 7.0 * (number + (order - 1) / max(in_week[number], order))
    return days


def _promised(folder: Path) -> set[tuple[str, str, str]]:
    """(patient, week, channel) that the table of the data set marks as present; nothing without the table."""
    return {
        ((row.get("Patient") or "").strip(), (row.get("Timepoint") or "").strip(), channel)
        for table in tables_at(folder, _COMPLETENESS)[:1]
        for row in rows_of(table)
        for channel in CHANNELS
        if (row.get(channel) or "").strip().lower() == "x"
    }


LAYOUT = Layout(
    name="lumiere",
    title="LUMIERE, glioblastomas over months",
    expects="Imaging/Patient-NNN/week-WWW/CT1.nii.gz (T1, T2, FLAIR)",
    recognises=lambda folder: holds(folder, "Patient-*/week-*"),
    find=find,
    channel="CT1",
    preprocessing=AT_3_MM,
)
