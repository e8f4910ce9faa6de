"""ADNI: ageing brains and dementia, as the Image and Data Archive unpacks a collection.

Layout: `ADNI/NNN_S_NNNN/SEQUENCE/YYYY-MM-DD_HH_MM_SS.0/IMAGEID/*.nii` or `*.dcm`; SEQUENCE is the description of the
series, followed after two underscores by the corrections that were made (`MPR__GradWarp__B1_Correction__N3`).
Described at https://ida.loni.usc.edu and, for its readers, at https://aramislab.paris.inria.fr/clinica/docs/public/latest/Converters/ADNI2BIDS.
"""

from __future__ import annotations

import re
from pathlib import Path

from CRONOSLib.cohorts.readers.found import AT_3_MM, Findings, FoundScan, Layout, Skipped
from CRONOSLib.cohorts.readers.trees import folders_named, holds
from CRONOSLib.dates import date_in_name
from CRONOSLib.errors import DateError
from CRONOSLib.imaging.dicom_slices import is_dicom
from CRONOSLib.imaging.names import is_volume_name, names_a_mask

_SUBJECT = re.compile(r"\d{3}_S_\d{4,5}")
_DATED = "[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*"


def find(folder: Path) -> Findings:
    """Every image of every subject, dated by its folder; the channel is the sequence without its corrections."""
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    for subject in folders_named(folder, _SUBJECT):
        for image in sorted(path for path in subject.glob(f"*/{_DATED}/*") if path.is_dir()):
            sequence, when = image.parents[1].name, image.parent.name
            path, problem = _image(image)
            try:
                date = date_in_name(when.split("_")[0])
            except DateError as error:
                date, problem = None, str(error)
            if path is None or date is None:
                skipped.append(Skipped(subject.name, image, problem or f"'{when}' is no date"))
            else:
                scans.append(FoundScan(subject.name, date, path, sequence.split("__")[0]))
    return Findings(tuple(scans), tuple(skipped))


def _image(folder: Path) -> tuple[Path | None, str]:
    """The one image of a folder: a file, or the folder itself when it holds DICOM; else why there is none."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    volumes = [path for path in files if is_volume_name(path) and not names_a_mask(path)]
    if len(volumes) > 1:
        return None, f"the folder of one image holds {len(volumes)} files"
    if volumes:
        return volumes[0], ""
    return (folder, "") if any(map(is_dicom, files)) else (None, "the folder holds no NIfTI or DICOM")


LAYOUT = Layout(
    name="adni",
    title="ADNI, ageing brains",
    expects="NNN_S_NNNN/SEQUENCE/YYYY-MM-DD_HH_MM_SS.0/IMAGEID/ with NIfTI or DICOM",
    recognises=lambda folder: holds(folder, f"[0-9][0-9][0-9]_S_[0-9]*/*/{_DATED}"),
    find=find,
    preprocessing=AT_3_MM,
)
