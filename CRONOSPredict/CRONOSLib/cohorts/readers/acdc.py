"""ACDC: cine MRI of the heart, from the Automated Cardiac Diagnosis Challenge.

Layout: `training|testing/patientNNN/` with `Info.cfg` (ED, ES and NbFrame, counted from 1), `patientNNN_4d.nii.gz` and
`patientNNN_frameFF_gt.nii.gz`, the segmentation at ED and ES. Described by Bernard et al. 2018
(doi 10.1109/TMI.2018.2837502) and at https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html.
"""

from __future__ import annotations

import re
from pathlib import Path

from CRONOSLib.cohorts.readers.found import Findings, FoundScan, Layout, Skipped, one_examination
from CRONOSLib.cohorts.readers.trees import folders_named, holds
from CRONOSLib.series import TimeUnit

CYCLE_MS = 1000.0
"""Nominal heart cycle. ACDC tells neither heart rate nor frame duration, and its frames cover one cycle evenly, so that
a time is a phase: 1 ms is a thousandth of the cycle."""

_PATIENT = re.compile(r"patient\d{3}")
_SPLITS = {"training": "train", "testing": "test"}
_CHANNEL = "cine"


def find(folder: Path) -> Findings:
    """The frames from end-diastole to end-systole of every patient, in ms of the nominal cycle since end-diastole."""
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    for patient in folders_named(folder, _PATIENT):
        path = patient / f"{patient.name}_4d.nii.gz"
        try:
            phases = _phases(patient / "Info.cfg")
        except (OSError, ValueError, KeyError):
            skipped.append(Skipped(patient.name, patient / "Info.cfg", "it is missing or does not give ED and ES"))
            continue
        if not path.is_file():
            skipped.append(Skipped(patient.name, path, "the 4D file is missing"))
            continue
        scans += [_scan(patient, path, frame, time) for frame, time in phases]
    return Findings(tuple(scans), tuple(skipped), TimeUnit.MILLISECOND)


def _phases(info: Path) -> list[tuple[int, float]]:
    """(frame from 0, time in ms) from end-diastole to end-systole; the cycle closes, should ES come before ED."""
    lines = (line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in lines}
    first, last, count = (int(values[name]) for name in ("ED", "ES", "NbFrame"))
    if not (1 <= first <= count and 1 <= last <= count):
        raise ValueError("frame outside the cycle")
    return [((first - 1 + step) % count, CYCLE_MS * step / count) for step in range((last - first) % count + 1)]


def _scan(patient: Path, path: Path, frame: int, time: float) -> FoundScan:
    mask = patient / f"{patient.name}_frame{frame + 1:02d}_gt.nii.gz"
    return FoundScan(
        subject=patient.name,
        when=time,
        path=path,
        channel=_CHANNEL,
        frame=frame,
        mask=mask if mask.is_file() else None,
        split=_SPLITS.get(patient.parent.name),
    )


LAYOUT = Layout(
    name="acdc",
    title="ACDC, cine MRI of the heart",
    expects="training/patientNNN/Info.cfg and patientNNN_4d.nii.gz",
    recognises=lambda folder: holds(folder, "patient[0-9][0-9][0-9]/Info.cfg"),
    find=find,
    channel=_CHANNEL,
    preprocessing=one_examination((128, 128, 32)),  # the published grid, CRONOS section 4
)
