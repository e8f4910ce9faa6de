"""ISLES 2024: CT perfusion of acute strokes.

Layout: `raw_data/sub-strokeNNNN/ses-01/sub-strokeNNNN_ses-01_ctp.nii.gz`, and under `derivatives/` the same with
`_space-ncct_ctp.nii.gz`, brought to the non-contrast CT, where also the infarct lies:
`ses-02/…_space-ncct_lesion-msk.nii.gz`. Described by Riedel et al. 2024 (arXiv 2408.11142) and at
https://zenodo.org/records/17652035; earlier releases write `ses-0001`, and `ses-02/…_lesion-msk.nii.gz`.
"""

from __future__ import annotations

import re
from pathlib import Path

from CRONOSLib.cohorts.readers.found import Findings, FoundScan, Layout, Skipped, one_examination
from CRONOSLib.cohorts.readers.trees import folders_named, holds
from CRONOSLib.errors import CronosError
from CRONOSLib.imaging.bids import bids_name
from CRONOSLib.imaging.frames import frame_times
from CRONOSLib.imaging.intensity import TISSUE_WINDOW_HU
from CRONOSLib.series import TimeUnit

_PATIENT = re.compile(r"sub-stroke\w*\d+")
_CHANNEL = "ctp"


def find(folder: Path) -> Findings:
    """The frames of every patient's CT perfusion, in seconds since the first one; co-registered ones where there are.

    A frame spacing of 1 s is taken as such: perfusion is sampled every 1 to 2 s.
    """
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    for subject, path in sorted(_series(folder).items()):
        try:
            times = _seconds(path)
        except (CronosError, ValueError) as error:
            skipped.append(Skipped(subject, path, str(error)))
            continue
        mask = _infarct(path)
        scans += [FoundScan(subject, time, path, _CHANNEL, frame, mask) for frame, time in enumerate(times)]
    return Findings(tuple(scans), tuple(skipped), TimeUnit.SECOND)


def _series(folder: Path) -> dict[str, Path]:
    """CT perfusion of every patient. `derivatives` comes first in the alphabet and wins over `raw_data`."""
    parts = [part for part in _parts(folder) if folders_named(part, _PATIENT)]
    found: dict[str, Path] = {}
    for patient in (patient for part in parts for patient in folders_named(part, _PATIENT)):
        for path in sorted(patient.glob("ses-*/*_ctp.nii.gz")):
            name = bids_name(path)
            found.setdefault(f"sub-{name.subject}" if name else patient.name, path)
    return found


def _parts(folder: Path) -> list[Path]:
    """`derivatives` and `raw_data` below a folder or below its `train`, else the folder itself."""
    for level in ("", "*/"):
        parts = [part for name in ("derivatives", "raw_data") for part in folder.glob(level + name)]
        if parts:
            return parts
    return [folder]


def _seconds(path: Path) -> list[float]:
    times = frame_times(path)
    if times is None:
        raise ValueError("the header gives no time between the frames")
    unit = times.unit or TimeUnit.SECOND
    return [unit.convert(float(value), TimeUnit.SECOND) for value in times.values if isinstance(value, int | float)]


def _infarct(path: Path) -> Path | None:
    """The infarct in the space of the perfusion, which is that of the non-contrast CT or none."""
    if "_space-ncct_" not in path.name:
        return None
    return next(iter(sorted(path.parent.parent.glob("ses-*/*_lesion-msk.nii.gz"))), None)


LAYOUT = Layout(
    name="isles",
    title="ISLES 2024, CT perfusion of strokes",
    expects="derivatives/sub-strokeNNNN/ses-01/…_space-ncct_ctp.nii.gz, or the same under raw_data",
    recognises=lambda folder: holds(folder, "sub-stroke*/ses-*/*_ctp.nii.gz"),
    find=find,
    channel=_CHANNEL,
    preprocessing=one_examination((128, 128, 16), TISSUE_WINDOW_HU),  # the published grid, CRONOS section 4
)
