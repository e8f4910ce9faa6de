"""What the names of files and folders say about a scan."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_LONGEST_FIRST = (".seq.nrrd", ".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
_MASK = re.compile(
    r"(?:\w*mask|masks|[da]?seg|segs|segmentations?|rois?|labels?|labelmap|parc|aparc|parcellations?)\d*", re.IGNORECASE
)
_MODALITIES = {
    name.lower(): name
    for name in (
        *("T1", "T1w", "T1c", "T1ce", "T1gd", "T1Gd", "T1post", "T1pre", "T2", "T2w", "T2star", "T2starw", "FLAIR"),
        *("PD", "PDw", "DWI", "ADC", "SWI", "FA", "MD", "bold", "asl", "CBF", "CBV", "Tmax", "CT", "CTA", "CTP", "PET"),
    )
}
_PATIENT = re.compile(r"(?:sub|subj|subject|pat|patient|pt|case)[-_ ]?[A-Za-z]*\d+", re.IGNORECASE)


def stem(path: Path) -> str:
    """File name without the ending of its image format (`scan.nii.gz` -> `scan`); a folder's own name."""
    for ending in _LONGEST_FIRST:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def is_volume_name(path: Path) -> bool:
    """Whether the name ends like a volume (NIfTI, NRRD, MetaImage)."""
    return path.name.lower().endswith(_VOLUME_ENDINGS)


def tokens(name: str) -> list[str]:
    """The words of a name: `1996-08-13_T1post` -> `1996`, `08`, `13`, `T1post`."""
    return [token for token in re.split(r"[^0-9A-Za-z]+", name) if token]


def names_a_mask(path: Path) -> bool:
    """Whether the name says mask, segmentation, region or label map; `T1_masked` does not."""
    return path.name.lower().endswith(".seg.nrrd") or any(_MASK.fullmatch(token) for token in tokens(stem(path)))


def modality_in_name(path: Path) -> str | None:
    """The one kind of image that the file name says (`T1w`, `FLAIR`, `CT`), or None when it says none or several."""
    found = {_MODALITIES[token.lower()] for token in tokens(stem(path)) if token.lower() in _MODALITIES}
    return found.pop() if len(found) == 1 else None


def patient_in_path(path: Path) -> str | None:
    """The nearest folder called like a patient (`patient03`, `sub-01`), without a `sub-` before it."""
    for parent in path.parents:
        if _PATIENT.fullmatch(parent.name):
            return parent.name.removeprefix("sub-")
    return None


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names for a message, each once, in order, cut after `most`."""
    unique = sorted(set(names))
    return ", ".join(unique[:most]) + (", …" if len(unique) > most else "")
