"""Two scans at several resolutions: how similar they are, and the transform that makes them more so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import AlignmentError
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.resampling import background, resample, resample_mask

_VOXELS_ACROSS = (32, 64, 128)
"""Resolution of each level: voxels along the longest edge of the last scan."""
_SAMPLES = 40_000
"""Voxels compared in one step at one level; more cost time and move nothing."""
_SEED = 1
"""Of the jitter that ITK adds to its regular samples; 0 would mean the wall clock."""
_BINS = 32
_ITERATIONS = 200
_RELAXATION = 0.9
"""Of the step when the direction turns; the usual 0.5 gives up on a slow rotation while the shift still zigzags."""


@dataclass(frozen=True)
class Level:
    """Both scans at one resolution, and the masks of what is compared.

    Transforms lead from points of `fixed` to points of `moving`, mm.
    """

    moving: sitk.Image
    fixed: sitk.Image
    moving_mask: sitk.Image
    fixed_mask: sitk.Image

    def similarity(self, transform: sitk.Transform) -> float:
        """Mattes mutual information in nats over all compared voxels of `fixed`: never negative, higher is better.

        Outside the field of view of `moving` its background stands in, so that the voxels compared stay the same.
        """
        moved = resample(self.moving, Grid.of(self.fixed), transform, fill=background(self.moving))
        compared = sitk.GetArrayViewFromImage(self.fixed_mask) > 0
        if any(is_flat(sitk.GetArrayViewFromImage(image)[compared]) for image in (self.fixed, moved)):
            return 0.0
        registration = _registration()
        registration.SetMetricFixedMask(self.fixed_mask)
        registration.SetInitialTransform(sitk.Transform(3, sitk.sitkIdentity))
        return -registration.MetricEvaluate(self.fixed, moved)

    def refine(self, transform: sitk.Transform) -> sitk.Transform:
        """The transform of the same kind, found from this one, that is most similar; this one if none is better."""
        registration = _registration()
        registration.SetMetricFixedMask(self.fixed_mask)
        registration.SetMetricMovingMask(self.moving_mask)
        registration.SetMetricSamplingStrategy(registration.REGULAR)
        compared = int(sitk.GetArrayViewFromImage(self.fixed_mask).sum())
        registration.SetMetricSamplingPercentage(min(1.0, _SAMPLES / compared), seed=_SEED)
        step_mm = max(self.fixed.GetSpacing()[:2])
        registration.SetOptimizerAsRegularStepGradientDescent(
            learningRate=step_mm, minStep=step_mm / 200, numberOfIterations=_ITERATIONS, relaxationFactor=_RELAXATION
        )
        registration.SetOptimizerScalesFromPhysicalShift()
        registration.SetInitialTransform(transform, inPlace=False)
        try:
            found = registration.Execute(self.fixed, self.moving)
        except RuntimeError:  # ITK gives up when its samples leave the moving scan or show one value only
            return transform
        return max(transform, sitk.CompositeTransform(found).GetNthTransform(0).Downcast(), key=self.similarity)


def pyramid(moving: sitk.Image, fixed: sitk.Image, mask: sitk.Image | None) -> list[Level]:
    """Both scans from coarse to fine, 32, 64 and 128 voxels across.

    Every axis is halved on its own, so that thick slices keep their resolution at every level. Planes that are blank
    (one value throughout) are not compared.

    Raises AlignmentError when `mask` leaves no voxel to compare.
    """
    fixed_mask, moving_mask = _not_blank(fixed), _not_blank(moving)
    if mask is not None:
        fixed_mask = sitk.And(fixed_mask, resample_mask(mask, Grid.of(fixed)))
    edge_mm = max(Grid.of(fixed).extent_mm)
    levels: list[Level] = []
    for across in reversed(_VOXELS_ACROSS):  # each from the finer one: smoothing adds up, and large scans cost once
        moving, fixed = (resample(scan, Grid.of(scan).coarser(edge_mm / across)) for scan in (moving, fixed))
        low_mask = resample_mask(fixed_mask, Grid.of(fixed))
        if not sitk.GetArrayViewFromImage(low_mask).any():
            raise AlignmentError("The mask covers nothing of the last scan. Draw it on the last scan, or leave it out.")
        levels.insert(0, Level(moving, fixed, resample_mask(moving_mask, Grid.of(moving)), low_mask))
    return levels


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in a fixed order: ITK's metric heeds only the global number of threads, not the registration's own."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def is_flat(values: np.ndarray) -> bool:
    """Whether an array holds one value only."""
    return bool(values.min() == values.max())


def _registration() -> sitk.ImageRegistrationMethod:
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMattesMutualInformation(_BINS)
    registration.SetInterpolator(sitk.sitkLinear)
    # ITK's recursive gradient filter needs four slices; central differences need two.
    registration.SetMetricUseFixedImageGradientFilter(False)
    registration.SetMetricUseMovingImageGradientFilter(False)
    return registration


def _not_blank(image: sitk.Image) -> sitk.Image:
    """Mask of the planes, across each axis, that hold more than one value; everything when no voxel is left."""
    values = sitk.GetArrayViewFromImage(image)
    kept = np.ones(values.shape, np.uint8)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        blank = values.min(axis=others) == values.max(axis=others)
        np.moveaxis(kept, axis, 0)[blank] = 0
    return Grid.of(image).to_image(kept if kept.any() else np.ones_like(kept))
