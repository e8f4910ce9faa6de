"""Image files: opened, sized and proved whole before their voxels are read."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.errors import ImageError
from CRONOSLib.imaging.names import is_volume_name

MAX_VOXELS = 2**27  # 512 x 512 x 512, of one scan
_MAX_VOXELS_OF_FRAMES = 2**29
_CHUNK = 1 << 22  # bytes
_FORMATS = "NIfTI, NRRD, MetaImage or DICOM"


def open_image(path: Path) -> sitk.ImageFileReader:
    """Reader of an image file, its header read and its data proved complete.

    Raises ImageError as `read_header`, and when the file is too large or cut off.
    """
    reader = read_header(path)
    _require_small(reader, path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        _require_whole_nifti(reader, path)
    elif path.suffix == ".hdr":
        _require_whole_nifti(reader, path.with_suffix(".img"))
    return reader


def read_header(path: Path) -> sitk.ImageFileReader:
    """Reader of an image file, its header read, its data untouched.

    Raises ImageError when the file is missing, may not be read or is no image.
    """
    _require_readable(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ImageError(_why_unreadable(path, str(error))) from None
    return reader


def load(reader: sitk.ImageFileReader) -> sitk.Image:
    """Voxels of an opened image. Raises ImageError when they cannot be read."""
    path = Path(reader.GetFileName())
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise ImageError(_why_unreadable(path, str(error))) from None


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise ImageError(f"'{path}' does not exist. Check the path.") from None
    except IsADirectoryError:
        raise ImageError(f"'{path}' is a folder. Give one image file.") from None
    except PermissionError:
        raise ImageError(f"'{path}' may not be read. Give yourself permission to read it.") from None
    if empty:
        raise ImageError(f"'{path.name}' is empty. Copy or download it again.")


def _why_unreadable(path: Path, reason: str) -> str:
    if "orthonormal" in reason:
        return f"'{path.name}' has sheared axes. Resample it to a grid with right angles first."
    if "nable to determine ImageIO reader" in reason and not is_volume_name(path):
        return f"'{path.name}' is not an image that can be read. Give a scan as {_FORMATS}."
    return f"'{path.name}' is damaged or cut off. Copy or download it again."


def _require_small(reader: sitk.ImageFileReader, path: Path) -> None:
    size = reader.GetSize()
    if math.prod(size[:3]) > MAX_VOXELS or math.prod(size) * reader.GetNumberOfComponents() > _MAX_VOXELS_OF_FRAMES:
        shape = " × ".join(map(str, size))
        raise ImageError(
            f"'{path.name}' has {shape} voxels, more than fit into memory. Crop or resample it to at most 512³."
        )


def _require_whole_nifti(reader: sitk.ImageFileReader, path: Path) -> None:
    """NIfTI only: ITK reads a cut-off file in silence and fills it with zeros."""
    header = {key: float(reader.GetMetaData(key)) for key in ("bitpix", "vox_offset", *(f"dim[{n}]" for n in range(8)))}
    count = math.prod(max(1, header[f"dim[{axis}]"]) for axis in range(1, int(header["dim[0]"]) + 1))
    expected = header["vox_offset"] + count * header["bitpix"] / 8  # bytes
    if _bytes_of(path, enough=expected) < expected:
        raise ImageError(f"'{path.name}' is damaged or cut off. Copy or download it again.")


def _bytes_of(path: Path, enough: float) -> float:
    """Length of a file, once unpacked if it is packed; counting stops at `enough` bytes."""
    if path.suffix.lower() != ".gz":
        return path.stat().st_size
    count = 0
    try:
        with gzip.open(path, "rb") as file:
            while count < enough and (chunk := file.read(_CHUNK)):
                count += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return 0
    return count
