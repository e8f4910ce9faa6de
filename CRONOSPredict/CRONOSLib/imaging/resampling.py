"""From one grid to another, interpolating once."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from CRONOSLib.imaging.grid import Grid

_FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of σ = 1."""


def background(image: sitk.Image) -> float:
    """What a scan shows where nothing is: the first percentile of its intensities (air, in most scans)."""
    return float(np.percentile(sitk.GetArrayViewFromImage(image), 1.0))


def resample(
    image: sitk.Image, grid: Grid, transform: sitk.Transform | None = None, *, fill: float | None = None
) -> sitk.Image:
    """A scan on another grid, float32, interpolated once.

    Alignment and grid are composed: each voxel of `grid` looks up its place in the scan through `transform`. Where
    the grid is coarser than the scan, the scan is first smoothed to the grid's resolution, so that fine detail does
    not fold into coarse patterns: a Gaussian that widens the point spread from the scan's voxel to the grid's
    (Cardoso et al. 2015, Scale Factor Point Spread Function Matching). Interpolation is linear: it invents no values
    beyond those of the scan, and a thick slice leaves no ringing in its neighbours.

    transform: from points of the grid to points of the scan, mm; None: identity
    fill:      value outside the scan's field of view, the scan's units; None: `background` of the scan
    """
    transform = transform or sitk.Transform(3, sitk.sitkIdentity)
    fill = background(image) if fill is None else fill
    smooth = _smoothed(sitk.Cast(image, sitk.sitkFloat32), grid, transform)
    return _looked_up(smooth, grid, transform, sitk.sitkLinear, fill)


def resample_mask(mask: sitk.Image, grid: Grid, transform: sitk.Transform | None = None) -> sitk.Image:
    """A mask on another grid, uint8, by the nearest voxel; 0 outside its field of view.

    transform: from points of the grid to points of the mask, mm; None: identity
    """
    transform = transform or sitk.Transform(3, sitk.sitkIdentity)
    return _looked_up(sitk.Cast(mask != 0, sitk.sitkUInt8), grid, transform, sitk.sitkNearestNeighbor, 0)


def resample_labels(labels: sitk.Image, grid: Grid, transform: sitk.Transform) -> sitk.Image:
    """A label map on another grid, its own voxel type, by the nearest voxel; 0 outside its field of view.

    transform: from points of the grid to points of the labels, mm
    """
    return _looked_up(labels, grid, transform, sitk.sitkNearestNeighbor, 0)


def resample_change(change: sitk.Image, grid: Grid) -> sitk.Image:
    """A change on another grid, float32: linear, not smoothed, exactly 0 where it was 0 and outside.

    Linear because its reach is one voxel: a spline would spread a change over the whole scan.
    """
    return _looked_up(sitk.Cast(change, sitk.sitkFloat32), grid, sitk.Transform(), sitk.sitkLinear, 0.0)


def _looked_up(image: sitk.Image, grid: Grid, transform: sitk.Transform, interpolator: int, fill: float) -> sitk.Image:
    return sitk.Resample(
        image, grid.size, transform, interpolator, grid.origin, grid.spacing, grid.direction, fill, image.GetPixelID()
    )


def _smoothed(image: sitk.Image, grid: Grid, transform: sitk.Transform) -> sitk.Image:
    """The scan at the grid's resolution, along the axes on which the grid is coarser."""
    sigma = _sigma_mm(Grid.of(image), grid, transform)
    if not sigma.any():
        return image
    gaussian = sitk.DiscreteGaussianImageFilter()
    gaussian.SetVariance((sigma**2).tolist())
    gaussian.SetMaximumKernelWidth(64)
    gaussian.SetMaximumError(0.005)
    gaussian.SetUseImageSpacing(True)
    return gaussian.Execute(image)


def _sigma_mm(scan: Grid, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    """(3,) standard deviations in mm along the scan's axes; 0 where the grid is not coarser."""
    centre = np.array(grid.centre)
    steps = np.array(grid.direction).reshape(3, 3) * grid.spacing
    origin = np.array(transform.TransformPoint(centre.tolist()))
    moved = np.stack([np.array(transform.TransformPoint((centre + step).tolist())) - origin for step in steps.T])
    along = moved @ np.array(scan.direction).reshape(3, 3)  # (grid axis, scan axis)
    wanted = (along**2).sum(axis=0)  # squared voxel length of the grid along each axis of the scan
    excess = wanted - np.array(scan.spacing) ** 2
    sigma = np.sqrt(np.maximum(excess, 0)) / _FWHM
    return np.where(sigma > 0.1 * np.array(scan.spacing), sigma, 0.0)
