"""Image files: opened, sized and proved whole before their voxels are read."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import ImageError
from CRONOSLib.imaging.names import is_volume_name

MAX_VOXELS = 2**27  # 512 x 512 x 512, of one scan
_MAX_VOXELS_OF_FRAMES = 2**29
_CHUNK = 1 << 22  # bytes
_NIFTI_FLOATS = {16: np.float32, 64: np.float64}  # by the header's datatype
_FORMATS = "NIfTI, NRRD, MetaImage or DICOM"


def open_image(path: Path) -> sitk.ImageFileReader:
    """Reader of an image file, its header read and its data proved complete.

    Raises ImageError as `read_header`, and when the file is too large, cut off, or NIfTI with NaN or infinite voxels.
    """
    reader = read_header(path)
    _require_small(reader, path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        _check_nifti(reader, path)
    elif path.suffix == ".hdr":
        _check_nifti(reader, path.with_suffix(".img"))
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
    return _damaged(path)


def _require_small(reader: sitk.ImageFileReader, path: Path) -> None:
    size = reader.GetSize()
    if math.prod(size[:3]) > MAX_VOXELS or math.prod(size) * reader.GetNumberOfComponents() > _MAX_VOXELS_OF_FRAMES:
        shape = " × ".join(map(str, size))
        raise ImageError(
            f"'{path.name}' has {shape} voxels, more than fit into memory. Crop or resample it to at most 512³."
        )


def not_finite(name: str, count: int) -> ImageError:
    """What is said of a scan with `count` voxels that are NaN or infinite."""
    return ImageError(f"'{name}' has {count} voxels that are NaN or infinite. Replace them, for example by 0.")


def _damaged(path: Path) -> str:
    return f"'{path.name}' is damaged or cut off. Copy or download it again."


def _check_nifti(reader: sitk.ImageFileReader, path: Path) -> None:
    """NIfTI only: ITK fills what is cut off, and what is NaN or infinite, with zeros in silence.

    path: where the voxels lie; for a pair of files not that of the reader
    """
    header = {key: float(reader.GetMetaData(key)) for key in ("bitpix", "vox_offset", *(f"dim[{n}]" for n in range(8)))}
    count = math.prod(max(1, header[f"dim[{axis}]"]) for axis in range(1, int(header["dim[0]"]) + 1))
    length, found, bad = count * header["bitpix"] / 8, 0, 0
    kind = _NIFTI_FLOATS.get(int(reader.GetMetaData("datatype")))
    try:
        order = _byte_order(Path(reader.GetFileName()))
        for chunk in _chunks(path, int(header["vox_offset"]), int(length)):
            found += len(chunk)
            bad += 0 if kind is None else _count_not_finite(chunk, np.dtype(kind).newbyteorder(order))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ImageError(_damaged(path)) from None
    if found < length:
        raise ImageError(_damaged(path))
    if bad:
        raise not_finite(path.name, bad)


def _chunks(path: Path, start: int, length: int) -> Iterator[bytes]:
    """The bytes of a file from `start`, once unpacked if it is packed: `length` of them, or as many as there are."""
    with _opened(path) as file:
        file.read(start)
        while length > 0 and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            yield chunk


def _byte_order(header: Path) -> Literal["<", ">"]:
    """Of a NIfTI header, which begins with its own length: 348, or 540 in the second version."""
    with _opened(header) as file:
        return "<" if int.from_bytes(file.read(4), "little") in (348, 540) else ">"


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _count_not_finite(chunk: bytes, kind: np.dtype) -> int:
    values = np.frombuffer(chunk, kind, count=len(chunk) // kind.itemsize)
    return int(values.size - np.isfinite(values).sum())
