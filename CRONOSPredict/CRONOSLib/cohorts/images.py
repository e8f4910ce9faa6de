"""The voxels behind the visits of a cohort, and the digest by which they are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.cohorts.manifest import Visit
from CRONOSLib.errors import CronosError, ImageError, SeriesError
from CRONOSLib.imaging.dicom import read_dicom, read_series_of
from CRONOSLib.imaging.dicom_slices import is_dicom, read_slices
from CRONOSLib.imaging.folders import files_below
from CRONOSLib.imaging.reading import Reading
from CRONOSLib.imaging.volumes import read_frames, read_volume

_DETACHED = (".hdr", ".nhdr", ".mhd")
"""Headers whose voxels lie in a file of the same name with another ending."""


def read_images(visits: Sequence[Visit]) -> list[sitk.Image | CronosError]:
    """The scan of every visit, float32 and checked, or why it cannot be used; a 4D file is read once."""
    images: list[sitk.Image | CronosError] = []
    last: tuple[Path | None, list[sitk.Image] | CronosError] = (None, [])
    for visit in visits:
        try:
            if visit.frame is None:
                images.append(_one(visit))
                continue
            if last[0] != visit.path:
                last = (visit.path, _frames_or_error(visit))
            images.append(_frame(last[1], visit))
        except CronosError as error:
            images.append(error)
    return images


def digest(path: Path) -> str:
    """SHA-256 of a file, of a header with its data, or of all files below a folder and their names."""
    digested = hashlib.sha256()
    for part in _parts(path):
        if path.is_dir():
            digested.update(part.relative_to(path).as_posix().encode() + b"\0")
        with part.open("rb") as file:
            while chunk := file.read(1 << 22):
                digested.update(chunk)
    return digested.hexdigest()


def _parts(path: Path) -> list[Path]:
    if path.is_dir():
        return files_below(path)
    if path.suffix.lower() in _DETACHED:
        return sorted(part for part in path.parent.glob(f"{path.stem}.*") if part.is_file())
    return [path]


def _one(visit: Visit) -> sitk.Image:
    if not visit.path.is_dir() and not is_dicom(visit.path):
        return read_volume(visit.path)
    scans = _read_series(visit).scans
    if len(scans) > 1:
        raise SeriesError(f"'{visit.path.name}' holds {len(scans)} scans of one kind. Give each its own folder.")
    return scans[0].image


def _frames_or_error(visit: Visit) -> list[sitk.Image] | CronosError:
    try:
        if visit.path.is_dir():
            return [scan.image for scan in _read_series(visit).scans]
        return read_frames(visit.path)
    except CronosError as error:
        return error


def _frame(frames: list[sitk.Image] | CronosError, visit: Visit) -> sitk.Image:
    if isinstance(frames, CronosError):
        raise frames
    assert visit.frame is not None
    if visit.frame >= len(frames):
        raise ImageError(f"'{visit.path.name}' has {len(frames)} frames, but number {visit.frame + 1} is listed.")
    return frames[visit.frame]


def _read_series(visit: Visit) -> Reading:
    """DICOM: the series that a file belongs to, or that of the visit's channel below a folder.

    A channel that is none of the headers' does not choose: there is one series then.
    """
    if not visit.path.is_dir():
        return read_series_of(visit.path)
    files = [path for path in files_below(visit.path) if is_dicom(path)]
    if not files:
        raise ImageError(f"'{visit.path}' holds no DICOM. Restore its files.")
    names = {name.lower() for one in read_slices(files) for name in (one.description, one.modality) if name}
    return read_dicom(files, visit.path, modality=visit.channel if visit.channel.lower() in names else None)
