"""A folder for each patient, with dates in the names of files or folders: what a group has that follows no standard.

Layout: `NAME/2024-03-01_T1w.nii.gz`, `NAME/2024-03-01/T1w.nii.gz` or the like, in any depth below `NAME`; NIfTI, NRRD
or MetaImage. A mask (`…_mask`, `…_seg`, `…_label`, or label map of any name) belongs to the scan of its day. Dates are
described in `CRONOSLib.dates`.
"""

from __future__ import annotations

from pathlib import Path

from CRONOSLib.cohorts.readers.dated import dated
from CRONOSLib.cohorts.readers.found import AT_3_MM, Findings, FoundScan, Layout, Skipped
from CRONOSLib.errors import CronosError, ImageError
from CRONOSLib.imaging.folders import FoundFile, look_into, same_day
from CRONOSLib.imaging.volumes import is_label_map

_UNDATED = "no date in its name or in its folders' names; write one as 2024-03-01"


def find(folder: Path) -> Findings:
    """Every dated image of every patient; the channel is the kind of image that its name says, such as T1w."""
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    for patient in _patients(folder):
        try:
            content = look_into(patient)
        except CronosError as error:
            skipped.append(Skipped(patient.name, patient, str(error)))
            continue
        if content.dicom:
            skipped.append(Skipped(patient.name, patient, "the folder holds DICOM; read it with --layout dicom"))
            continue
        volumes, undated = dated(patient, content.volumes, _UNDATED)
        masks, _ = dated(patient, content.masks, _UNDATED)
        skipped += undated
        for group in same_day(volumes):
            labels = [one.path for one in group if len(group) > 1 and _is_unnamed_mask(one)]
            labels += [mask.path for mask in masks if mask.date == group[0].date]
            mask = labels[0] if len(labels) == 1 else None
            scans += [_scan(patient.name, one, mask) for one in group if one.path not in labels]
    return Findings(tuple(scans), tuple(skipped))


def _scan(subject: str, found: FoundFile, mask: Path | None) -> FoundScan:
    assert found.date is not None
    return FoundScan(subject, found.date, found.path, found.modality or "", mask=mask)


def _is_unnamed_mask(found: FoundFile) -> bool:
    """Whether an image whose name says nothing of its kind is a label map beside the scan of its day."""
    try:
        return not found.modality and is_label_map(found.path)
    except ImageError:
        return False


def _patients(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _recognises(folder: Path) -> bool:
    return bool(find(folder).scans)


LAYOUT = Layout(
    name="folders",
    title="a folder for each patient",
    expects="NAME/2024-03-01_T1w.nii.gz: a folder for each patient, a date in the name of each scan or of its folder",
    recognises=_recognises,
    find=find,
    preprocessing=AT_3_MM,
)
