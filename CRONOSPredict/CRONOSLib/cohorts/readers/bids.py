"""BIDS: subjects with sessions.

Layout: `sub-NN/ses-MM/anat/sub-NN_ses-MM_T1w.nii.gz`; dates in `*_scans.tsv`, `*_sessions.tsv` or the session label.
Described at https://bids-specification.readthedocs.io (1.10: "Longitudinal and multi-site studies", "Scans file",
"Sessions file").
"""

from __future__ import annotations

from pathlib import Path

from CRONOSLib.cohorts.readers.dated import dated
from CRONOSLib.cohorts.readers.found import AT_3_MM, Findings, FoundScan, Layout, Skipped
from CRONOSLib.errors import CronosError
from CRONOSLib.imaging.folders import FoundFile, look_into
from CRONOSLib.imaging.names import stem

_UNDATED = "no date in *_scans.tsv or *_sessions.tsv (acq_time), and none in the session label"


def find(folder: Path) -> Findings:
    """Every dated image of every subject; the channel is the suffix, after the contrast agent where one is named."""
    scans: list[FoundScan] = []
    skipped: list[Skipped] = []
    for subject in _subjects(folder):
        try:
            volumes = look_into(subject).volumes
        except CronosError as error:
            skipped.append(Skipped(subject.name, subject, str(error)))
            continue
        found, undated = dated(subject, volumes, _UNDATED)
        scans += [_scan(subject.name, one) for one in found]
        skipped += undated
    return Findings(tuple(scans), tuple(skipped))


def _subjects(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("sub-*") if path.is_dir())


def _scan(subject: str, found: FoundFile) -> FoundScan:
    assert found.date is not None
    return FoundScan(subject, found.date, found.path, _channel(found))


def _channel(found: FoundFile) -> str:
    agent = next((part for part in stem(found.path).split("_") if part.startswith("ce-")), None)
    return "_".join(part for part in (agent, found.modality) if part)


def _recognises(folder: Path) -> bool:
    return any(next(folder.glob(f"sub-*/{level}sub-*.nii*"), None) is not None for level in ("*/", "*/*/"))


LAYOUT = Layout(
    name="bids",
    title="BIDS with sessions",
    expects="sub-NN/ses-MM/anat/sub-NN_ses-MM_T1w.nii.gz, dated in *_scans.tsv, *_sessions.tsv or the session label",
    recognises=_recognises,
    find=find,
    preprocessing=AT_3_MM,
)
