"""A tree of DICOM files in any order, as an archive or a scanner exports them.

Patients are told apart by PatientID, series by SeriesInstanceUID, dates and phases come from the headers (DICOM PS3.3
C.7.1, C.7.3, C.7.6.18); the names of folders and files mean nothing. Only where de-identification left no PatientID, or
the same one for all, the first folder below the tree stands for the patient.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from CRONOSLib.cohorts.readers.found import AT_3_MM, Findings, FoundScan, Layout, Skipped
from CRONOSLib.errors import CronosError, DateError
from CRONOSLib.imaging.dicom import group_series, read_dicom
from CRONOSLib.imaging.dicom_slices import Slice, is_dicom, read_slices
from CRONOSLib.imaging.dicom_stacks import by_location
from CRONOSLib.imaging.folders import files_below
from CRONOSLib.series import TimeUnit


def find(folder: Path) -> Findings:
    """The series of every patient: dated ones by their SeriesDescription, gated ones frame by frame in ms."""
    slices, skipped = _slices(folder)
    named = len({one.patient for one in slices if one.patient}) > 1
    patients: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        patients[(named and one.patient) or one.path.relative_to(folder).parts[0]].append(one)
    below = Counter(home for one in slices for home in one.path.parents)
    homes = {subject: {one.path.parent for one in own} for subject, own in patients.items()}
    owners = Counter(home for own in homes.values() for home in own)
    scans: list[FoundScan] = []
    for subject, own in sorted(patients.items()):
        if any(owners[home] > 1 for home in homes[subject]):
            reason = "its files lie among those of other patients; sort them into a folder for each patient"
            skipped.append(Skipped(subject, min(homes[subject]), reason))
            continue
        for series in group_series(own):
            try:
                scans += _scans(subject, series, below)
            except CronosError as error:
                skipped.append(Skipped(subject, series[0].path, str(error)))
    return Findings(tuple(scans), tuple(skipped), TimeUnit.MILLISECOND)


def _slices(folder: Path) -> tuple[list[Slice], list[Skipped]]:
    slices: list[Slice] = []
    skipped: list[Skipped] = []
    for path in files_below(folder):
        try:
            slices += read_slices([path]) if path.name != "DICOMDIR" and is_dicom(path) else []
        except CronosError as error:
            skipped.append(Skipped(path.relative_to(folder).parts[0], path, str(error)))
    return slices, skipped


def _scans(subject: str, series: Sequence[Slice], below: Mapping[Path, int]) -> list[FoundScan]:
    """The scans of one series, which is named by its folder or, where that holds others too, by its first file.

    below: images in and below each folder of the tree
    """
    first = series[0]
    folder = Path(os.path.commonpath([one.path.parent for one in series]))
    channel = first.description or first.modality or ""
    if max(map(len, by_location(series))) > 1:  # phases, or copies
        reading = read_dicom([one.path for one in series], folder)
        if reading.unit is not None:
            return [FoundScan(subject, scan.time, folder, channel, frame) for frame, scan in enumerate(reading.scans)]
    dates = [one.date for one in series if one.date]
    if not dates:
        raise DateError("the headers of this series hold no date")
    path = folder if below[folder] == len(series) else min(one.path for one in series)
    return [FoundScan(subject, min(dates), path, channel)]


def _recognises(folder: Path) -> bool:
    return any(is_dicom(path) for path in files_below(folder))


LAYOUT = Layout(
    name="dicom",
    title="a tree of DICOM files",
    expects="DICOM files, with PatientID and dates in their headers",
    recognises=_recognises,
    find=find,
    preprocessing=AT_3_MM,
)
