"""Parallel DICOM slices stacked into volumes with their true spacing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import ImageError
from CRONOSLib.imaging.dicom_slices import Slice

_SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3
_MISSING_SLICE = 1.5  # a gap this many times the usual one
_UNEVEN = 0.05
_SHEARED = 0.02  # sideways step of each slice, as a part of the step across


def by_location(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices grouped by their place along the normal, ascending; those of one place share a list.

    Raises ImageError when the slices are not parallel or differ in size.
    """
    first = slices[0]
    for other in slices:
        if not np.allclose(other.orientation, first.orientation, atol=_SAME_DIRECTION) or other.size != first.size:
            raise ImageError(
                f"The slices of series '{first.description or first.path.parent.name}' are not parallel or differ in "
                "size, like those of a localizer. Give a series of parallel slices."
            )
    places: list[list[Slice]] = []
    for one in sorted(slices, key=lambda item: item.location_mm):
        if places and one.location_mm - places[-1][0].location_mm < _SAME_PLACE_MM:
            places[-1].append(one)
        else:
            places.append([one])
    return places


def stack(slices: Sequence[Slice]) -> tuple[sitk.Image, tuple[str, ...]]:
    """Float32 volume of slices at different places, ascending, and warnings; rescale slope and intercept applied.

    Spacing across slices is the distance between their positions, not the header's thickness (PS3.3 C.7.6.2).

    Raises ImageError when a slice is missing, the slices are sheared, or a file's voxels cannot be read.
    """
    first, positions = slices[0], np.array([one.position for one in slices])
    name = first.description or first.path.parent.name
    step, warnings = _spacing(positions, first, name)
    image = _voxels(slices, name)
    across, normal = np.asarray(first.orientation[:3]), first.normal
    across = across / np.linalg.norm(across)
    axes = np.stack([across, np.cross(normal, across), normal], axis=1)  # columns: x, y, z of the image
    image.SetSpacing((*first.spacing_mm, step))
    image.SetOrigin(first.position)
    image.SetDirection(axes.ravel().tolist())
    return image, warnings


def _spacing(positions: np.ndarray, first: Slice, name: str) -> tuple[float, tuple[str, ...]]:
    """Distance between slices in mm; positions (Z, 3) ascending along the normal."""
    if len(positions) == 1:
        return first.thickness_mm or 1.0, ()
    steps = np.diff(positions, axis=0)  # (Z - 1, 3)
    gaps = steps @ first.normal
    usual = float(np.median(gaps))
    if gaps.max() > _MISSING_SLICE * usual:
        raise ImageError(f"Series '{name}' lacks a slice: one gap is {gaps.max():.1f} mm, the others {usual:.1f} mm.")
    sideways = np.linalg.norm(steps - gaps[:, None] * first.normal, axis=1)
    if np.median(sideways) > _SHEARED * usual:
        raise ImageError(
            f"The slices of series '{name}' are sheared (tilted gantry). "
            "Load it in 3D Slicer, harden its acquisition transform and save it as NRRD."
        )
    if np.ptp(gaps) > _UNEVEN * usual:
        return float(gaps.mean()), (
            f"The slices of series '{name}' are {gaps.min():.2f} to {gaps.max():.2f} mm apart.",
        )
    return float(gaps.mean()), ()


def _voxels(slices: Sequence[Slice], name: str) -> sitk.Image:
    verbose = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's own talk about spacing, which is ours to judge
    try:
        return _frames(slices) if slices[0].frame is not None else _files(slices)
    except RuntimeError:
        raise ImageError(
            f"A file of series '{name}' is damaged or cut off. Copy or download the series again."
        ) from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(verbose)


def _files(slices: Sequence[Slice]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(one.path) for one in slices])
    reader.SetOutputPixelType(sitk.sitkFloat32)  # else the first file's type would cut every other file's slope
    return reader.Execute()


def _frames(slices: Sequence[Slice]) -> sitk.Image:
    """Slices out of files of several frames, each file read once."""
    files = {path: sitk.ReadImage(str(path), sitk.sitkFloat32) for path in dict.fromkeys(one.path for one in slices)}
    arrays = {path: sitk.GetArrayViewFromImage(image) for path, image in files.items()}
    return sitk.GetImageFromArray(np.stack([arrays[one.path][one.frame] for one in slices]))
