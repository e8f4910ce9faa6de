"""Volumes on disk: read as scans that can be forecast, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import ImageError, OutputError
from CRONOSLib.imaging.files import MAX_VOXELS, load, not_finite, open_image
from CRONOSLib.imaging.names import names_a_mask

_MOST_LABELS = 16  # distinct values of an image that is taken for a label map
_SAMPLED_VOXELS = 100_000


def read_volume(path: Path) -> sitk.Image:
    """One 3D scan of a file, as float32 with its space (spacing in mm, LPS), checked by `check_volume`.

    path: NIfTI, NRRD, MetaImage, or one DICOM file of several frames

    Raises ImageError when the file is missing, damaged, or not one 3D scan.
    """
    frames = read_frames(path)
    if len(frames) > 1:
        raise ImageError(f"'{path.name}' holds {len(frames)} frames. Give their times, or a file of one frame.")
    return frames[0]


def read_frames(path: Path) -> list[sitk.Image]:
    """Every 3D frame of a file, in the file's order: one for a 3D file, T for a 4D file or a Slicer sequence.

    Each is float32 with its own 3D space and is checked by `check_volume`. Raises ImageError as `read_volume`.
    """
    image = load(open_image(path))
    frames = list(_frames(image, path))
    for number, frame in enumerate(frames, start=1):
        check_volume(frame, str(path) if len(frames) == 1 else f"{path} (frame {number})")
    return [sitk.Cast(frame, sitk.sitkFloat32) for frame in frames]


def read_mask(path: Path) -> sitk.Image:
    """Mask or label map of a scan, any values. Raises ImageError when it is missing, damaged or not 3D."""
    image = load(open_image(path))
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageError(f"'{path.name}' is not a 3D mask. Give one value for each voxel of the scan.")
    return image


def check_volume(image: sitk.Image, name: str) -> None:
    """Proves that an image is a 3D scan that can be forecast; `name` says which one, a path or a title.

    Raises ImageError when it is 2D or 4D, has several values per voxel, one slice only, too many voxels, NaN or
    infinite voxels, the same value everywhere, or is a label map.
    """
    label = Path(name).name
    _check_shape(image, label)
    voxels = sitk.GetArrayViewFromImage(image)
    bad = 0 if voxels.dtype.kind in "iu" else int(voxels.size - np.isfinite(voxels).sum())
    if bad:
        raise not_finite(label, bad)
    lowest, highest = voxels.min(), voxels.max()
    if lowest == highest:
        raise ImageError(f"Every voxel of '{label}' is {lowest + 0:g}. Give a scan that shows something.")
    count = _label_count(voxels)
    if count == 2 or (count and names_a_mask(Path(name))):
        raise ImageError(f"'{label}' has {count} values only and looks like a label map. Give the scan itself.")


def label_map_doubt(image: sitk.Image, name: str) -> str | None:
    """Warning about a checked image that has few grey values but is not certainly a label map, else None."""
    count = _label_count(sitk.GetArrayViewFromImage(image))
    if not count:
        return None
    return f"'{Path(name).name}' has {count} different values only. If it is a label map, give the scan itself."


def is_label_map(path: Path) -> bool:
    """Whether a file has few grey values, all whole, as label maps do. Raises ImageError when it cannot be read."""
    image = load(open_image(path))
    return image.GetNumberOfComponentsPerPixel() == 1 and _label_count(sitk.GetArrayViewFromImage(image)) > 0


def write_volume(image: sitk.Image, path: Path) -> None:
    """Writes an image, compressed, in the format of the path's ending; an existing file is replaced.

    It is written beside and renamed, so that a file is never half there.

    Raises OutputError when the folder is missing or cannot be written, or the format is unknown.
    """
    beside = path.with_name(f".{path.name.split('.')[0]}.partial{''.join(path.suffixes[-2:])}")
    try:
        sitk.WriteImage(image, str(beside), useCompression=True)
        beside.replace(path)
    except (RuntimeError, OSError):
        raise OutputError(
            f"'{path}' cannot be written. Choose a folder that exists and can be written to, and .nrrd or .nii.gz."
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def _frames(image: sitk.Image, path: Path) -> list[sitk.Image]:
    """3D frames of an image as ITK reads it: the fourth axis, or the components of a Slicer sequence."""
    if image.GetDimension() == 4:
        return [image[:, :, :, index] for index in range(image.GetSize()[3])]
    if image.GetNumberOfComponentsPerPixel() > 1 and is_sequence(image, path):
        return [sitk.VectorIndexSelectionCast(image, index) for index in range(image.GetNumberOfComponentsPerPixel())]
    return [image]


def is_sequence(image: sitk.Image | sitk.ImageFileReader, path: Path) -> bool:
    """Whether the values per voxel are frames of a Slicer sequence rather than colours."""
    keys = image.GetMetaDataKeys()
    listed = "NRRD_kinds[pixel]" in keys and image.GetMetaData("NRRD_kinds[pixel]") == "list"
    return listed or path.name.lower().endswith(".seq.nrrd") or any(key.endswith("index values") for key in keys)


def _check_shape(image: sitk.Image, label: str) -> None:
    size = image.GetSize()
    shape = " × ".join(map(str, size))
    if image.GetDimension() < 3:
        raise ImageError(f"'{label}' is a 2D image ({shape}). Give a 3D scan.")
    if image.GetDimension() > 3:
        raise ImageError(f"'{label}' has {image.GetDimension()} dimensions ({shape}). Give a 3D scan.")
    values = image.GetNumberOfComponentsPerPixel()
    if values > 1:
        raise ImageError(f"'{label}' has {values} values per voxel, like a colour image. Give a scan with one.")
    if "complex" in image.GetPixelIDTypeAsString():
        raise ImageError(f"'{label}' has complex voxels. Give its magnitude.")
    if min(size) < 2:
        raise ImageError(f"'{label}' has one slice only ({shape}). Give a scan with at least two slices.")
    if image.GetNumberOfPixels() > MAX_VOXELS:
        raise ImageError(f"'{label}' has {shape} voxels, too many. Crop or resample it to at most 512³.")


def _label_count(voxels: np.ndarray) -> int:
    """How many values an array holds when they are few and whole, as those of a label map; otherwise 0."""
    some = voxels.ravel()[:: max(1, voxels.size // _SAMPLED_VOXELS)]  # answers for nearly every real scan
    for values in (np.unique(part) for part in (some, voxels)):
        if values.size > _MOST_LABELS or not np.array_equal(values, np.round(values)):
            return 0
    return int(values.size)
