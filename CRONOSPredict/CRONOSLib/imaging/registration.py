"""Alignment of one scan onto another by mutual information."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import AlignmentError
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.intensity import foreground_of
from CRONOSLib.imaging.resampling import background, resample, resample_mask

_VOXELS_ACROSS = (32, 64, 128)
"""Resolution of each level: voxels along the longest edge of the last scan."""
_SAMPLES = 40_000
"""Voxels compared at one level; more cost time and move nothing."""
_BINS = 32
_SEED = 1
"""Of the jitter that ITK adds to its regular samples; 0 would mean the wall clock."""
_ITERATIONS = 100
_LEAST_OVERLAP = 0.05
"""Smallest part of the smaller field of view that must lie in the other one."""


class Alignment(Enum):
    """How the earlier scans are brought onto the last one."""

    OFF = "off"
    RIGID = "rigid"
    AFFINE = "affine"


@dataclass(frozen=True)
class AlignmentReport:
    """How one scan was brought onto another.

    transform:         from points of the fixed scan to points of the moving scan, mm; identity when refused
    similarity_before: Mattes mutual information in nats (never negative, higher is better), places as in the files
    similarity_after:  the same measure over the same voxels with the alignment that was found, refused or not
    accepted:          whether `transform` is the alignment that was found
    centre:            the point, mm, whose shift is `translation_mm`: the centre of the fixed field of view
    warning:           why the alignment was refused, else None
    """

    transform: sitk.Transform
    kind: Alignment
    similarity_before: float
    similarity_after: float
    accepted: bool
    centre: tuple[float, float, float]
    warning: str | None = None

    @property
    def translation_mm(self) -> tuple[float, float, float]:
        """How far the moving scan's content at `centre` lay away, mm along x, y, z (LPS)."""
        moved = self.transform.TransformPoint(self.centre)
        return tuple(to - start for to, start in zip(moved, self.centre))

    @property
    def rotation_degrees(self) -> float:
        """Angle of the rotation, 0…180; of an affine alignment, of the rotation nearest to its matrix."""
        left, _, right = np.linalg.svd(_matrix(self.transform))
        return math.degrees(math.acos(float(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))

    def to_json(self) -> dict[str, object]:
        """The report as plain values, for report.json."""
        return {
            "kind": self.kind.value,
            "accepted": self.accepted,
            "similarity_before": self.similarity_before,
            "similarity_after": self.similarity_after,
            "translation_mm": list(self.translation_mm),
            "rotation_degrees": self.rotation_degrees,
            "warning": self.warning,
        }


def align(moving: sitk.Image, fixed: sitk.Image, kind: Alignment, mask: sitk.Image | None = None) -> AlignmentReport:
    """Bring `moving` onto `fixed`: multi-resolution Mattes mutual information (Mattes et al. 2003), by SimpleITK.

    Three starts are compared, and the most similar is refined: places as in the files, centres of the fields of view
    together, centres of mass together. Axes of thick slices keep their resolution at every level, and planes that are
    blank (one value throughout) are not compared. The result depends on the two scans only: the sampling is regular
    and the sums run in one thread.

    The similarity is measured over the same voxels of `fixed` before and after, the scan's background standing in
    outside the field of view of `moving`; so leaving the overlap never pays. An alignment that lowers it is refused:
    the places stay as in the files, and the report carries a warning.

    kind: OFF measures the similarity only; AFFINE refines a rigid alignment by scale and shear
    mask: of `fixed`, any grid; only voxels above 0 are compared; None: all

    Raises AlignmentError when the fields of view do not overlap or the mask leaves nothing to compare.
    """
    _check_overlap(Grid.of(moving), Grid.of(fixed))
    levels = [_Level.of(moving, fixed, mask, across) for across in _VOXELS_ACROSS]
    centre = Grid.of(fixed).centre
    still = _rigid(centre)
    before = levels[1].similarity(still)
    if kind is Alignment.OFF:
        return AlignmentReport(still, kind, before, before, True, centre)
    found = _find(levels, kind, centre)
    after = levels[1].similarity(found)
    if after >= before:
        return AlignmentReport(found, kind, before, after, True, centre)
    warning = (
        f"The {kind.value} alignment made the scans less similar (mutual information {before:.3f} to {after:.3f}) "
        "and was refused; the places given in the files are kept."
    )
    return AlignmentReport(still, kind, before, after, False, centre, warning)


@dataclass(frozen=True)
class _Level:
    """Both scans at one resolution, and the masks of what is compared."""

    moving: sitk.Image
    fixed: sitk.Image
    moving_mask: sitk.Image
    fixed_mask: sitk.Image

    @classmethod
    def of(cls, moving: sitk.Image, fixed: sitk.Image, mask: sitk.Image | None, across: int) -> _Level:
        spacing_mm = max(Grid.of(fixed).extent_mm) / across
        fixed_low, moving_low = (resample(scan, Grid.of(scan).coarser(spacing_mm)) for scan in (fixed, moving))
        fixed_mask = resample_mask(_not_blank(fixed), Grid.of(fixed_low))
        if mask is not None:
            fixed_mask = sitk.And(fixed_mask, resample_mask(mask, Grid.of(fixed_low)))
        if not sitk.GetArrayViewFromImage(fixed_mask).any():
            raise AlignmentError(
                "The mask leaves no voxel of the last scan to compare. Draw it on the last scan, or leave it out."
            )
        return cls(moving_low, fixed_low, resample_mask(_not_blank(moving), Grid.of(moving_low)), fixed_mask)

    def similarity(self, transform: sitk.Transform) -> float:
        """Mattes mutual information in nats over all compared voxels of the fixed scan."""
        registration = _registration()
        registration.SetMetricFixedMask(self.fixed_mask)
        registration.SetInitialTransform(sitk.Transform(3, sitk.sitkIdentity))
        moved = resample(self.moving, Grid.of(self.fixed), transform, fill=background(self.moving))
        return -registration.MetricEvaluate(self.fixed, moved)

    def refine(self, transform: sitk.Transform) -> sitk.Transform:
        """The transform of the same kind, found from this one, that is most similar; this one if none is better."""
        registration = _registration()
        registration.SetMetricFixedMask(self.fixed_mask)
        registration.SetMetricMovingMask(self.moving_mask)
        registration.SetMetricSamplingStrategy(registration.REGULAR)
        registration.SetMetricSamplingPercentage(min(1.0, _SAMPLES / self.fixed.GetNumberOfPixels()), seed=_SEED)
        step_mm = max(self.fixed.GetSpacing()[:2])
        registration.SetOptimizerAsRegularStepGradientDescent(
            learningRate=step_mm, minStep=step_mm / 200, numberOfIterations=_ITERATIONS, relaxationFactor=0.6
        )
        registration.SetOptimizerScalesFromPhysicalShift()
        registration.SetInitialTransform(transform, inPlace=False)
        found = sitk.CompositeTransform(registration.Execute(self.fixed, self.moving)).GetNthTransform(0).Downcast()
        return max(transform, found, key=self.similarity)


def _find(levels: Sequence[_Level], kind: Alignment, centre: tuple[float, float, float]) -> sitk.Transform:
    transform = max(_starts(levels[0], centre), key=levels[0].similarity)
    for level in levels:
        transform = level.refine(transform)
    if kind is Alignment.AFFINE:
        transform = _affine(transform, centre)
        for level in levels[1:]:
            transform = level.refine(transform)
    return transform


def _starts(level: _Level, centre: tuple[float, float, float]) -> list[sitk.Transform]:
    """Where to begin: as in the files, fields of view centred, foregrounds centred."""
    fields = np.subtract(Grid.of(level.moving).centre, Grid.of(level.fixed).centre)
    masses = _centre_of_mass(level.moving) - _centre_of_mass(level.fixed)
    return [_rigid(centre), _rigid(centre, fields), _rigid(centre, masses)]


def _centre_of_mass(image: sitk.Image) -> np.ndarray:
    """(3,) centroid of the foreground, mm; of the field of view when there is no foreground."""
    found = np.argwhere(sitk.GetArrayFromImage(foreground_of(image)))
    grid = Grid.of(image)
    return grid.point(found.mean(axis=0)[::-1]) if len(found) else np.array(grid.centre)


def _rigid(
    centre: tuple[float, float, float], shift_mm: Sequence[float] | np.ndarray = (0, 0, 0)
) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(centre, 0, 0, 0, [float(step) for step in shift_mm])


def _affine(rigid: sitk.Transform, centre: tuple[float, float, float]) -> sitk.AffineTransform:
    shift = np.subtract(rigid.TransformPoint(centre), centre)
    return sitk.AffineTransform(_matrix(rigid).ravel().tolist(), shift.tolist(), centre)


def _registration() -> sitk.ImageRegistrationMethod:
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMattesMutualInformation(_BINS)
    registration.SetInterpolator(sitk.sitkLinear)
    # ITK's recursive gradient filter needs four slices; central differences need two.
    registration.SetMetricUseFixedImageGradientFilter(False)
    registration.SetMetricUseMovingImageGradientFilter(False)
    registration.SetNumberOfThreads(1)
    return registration


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """(3, 3) linear part of a transform."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    return np.stack([np.array(transform.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()], axis=1)


def _not_blank(image: sitk.Image) -> sitk.Image:
    """Mask of the planes, across each axis, that hold more than one value; everything when no voxel is left."""
    values = sitk.GetArrayViewFromImage(image)
    kept = np.ones(values.shape, np.uint8)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        blank = values.min(axis=others) == values.max(axis=others)
        np.moveaxis(kept, axis, 0)[blank] = 0
    return Grid.of(image).to_image(kept if kept.any() else np.ones_like(kept))


def _check_overlap(moving: Grid, fixed: Grid) -> None:
    inside = max(moving.contains(fixed.lattice(16)).mean(), fixed.contains(moving.lattice(16)).mean())
    if inside < _LEAST_OVERLAP:
        raise AlignmentError(
            "The scans do not overlap in space. Check origin and orientation in their headers, or leave one out."
        )
