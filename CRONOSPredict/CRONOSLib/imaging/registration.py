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
from CRONOSLib.imaging.pyramid import Level, is_flat, one_thread, pyramid

Point = tuple[float, float, float]
_JUDGE = 1
"""Level whose resolution judges an alignment: fine enough to see, coarse enough not to reward noise."""
_SAME = 0.005
"""An alignment that is less similar by a smaller part than this found the places of the files again: they are kept."""
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
    warning:           why the alignment was refused, else None
    centre:            the point, mm, whose shift is `translation_mm`: the centre of the fixed field of view
    """

    transform: sitk.Transform
    kind: Alignment
    similarity_before: float
    similarity_after: float
    accepted: bool
    warning: str | None = None
    centre: Point = (0.0, 0.0, 0.0)

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

    Three starts are compared, and the most similar is refined: places as in the files, fields of view centred on each
    other, foregrounds centred on each other. The result depends on the scans alone, not on chance or the number of
    processors.

    The similarity is measured over the same voxels of `fixed` before and after, the background of `moving` standing in
    outside its field of view; so leaving the overlap never pays. An alignment that lowers it is refused: the places
    stay as in the files, and the report carries a warning.

    kind: OFF measures the similarity only; AFFINE refines a rigid alignment by scale and shear
    mask: of `fixed`, any grid; only voxels that are not 0 are compared; None: all

    Raises AlignmentError when the fields of view do not overlap or the mask leaves nothing to compare.
    """
    _check_overlap(Grid.of(moving), Grid.of(fixed))
    centre = Grid.of(fixed).centre
    still = _rigid(centre)
    if any(is_flat(sitk.GetArrayViewFromImage(scan)) for scan in (moving, fixed)):
        warning = "One of the scans shows the same value everywhere, so there was nothing to align."
        return AlignmentReport(still, kind, 0.0, 0.0, False, warning, centre)
    levels = pyramid(moving, fixed, mask)
    with one_thread():
        found = still if kind is Alignment.OFF else _find(levels, kind, centre)
        before, after = (levels[_JUDGE].similarity(transform) for transform in (still, found))
    if before > after > (1 - _SAME) * before:
        found, after = still, before
    if after >= before:
        return AlignmentReport(found, kind, before, after, True, None, centre)
    warning = (
        f"The {kind.value} alignment made the scans less similar (mutual information {before:.3f} to {after:.3f}) "
        "and was refused; the places given in the files are kept."
    )
    return AlignmentReport(still, kind, before, after, False, warning, centre)


def _find(levels: Sequence[Level], kind: Alignment, centre: Point) -> sitk.Transform:
    """The best alignment of a kind, refined from coarse to fine."""
    transform = max(_starts(levels[0], centre), key=levels[0].similarity)
    for level in levels:
        transform = level.refine(transform)
    if kind is Alignment.AFFINE:
        transform = _affine(transform, centre)
        for level in levels[1:]:
            transform = level.refine(transform)
    return transform


def _starts(level: Level, centre: Point) -> list[sitk.Transform]:
    """Where to begin: as in the files, fields of view centred, foregrounds centred."""
    fields = np.subtract(Grid.of(level.moving).centre, Grid.of(level.fixed).centre)
    masses = _centre_of_mass(level.moving) - _centre_of_mass(level.fixed)
    return [_rigid(centre), _rigid(centre, fields), _rigid(centre, masses)]


def _centre_of_mass(image: sitk.Image) -> np.ndarray:
    """(3,) centroid of the foreground, mm; of the field of view when there is no foreground."""
    found = np.argwhere(sitk.GetArrayFromImage(foreground_of(image)))
    grid = Grid.of(image)
    return grid.point(found.mean(axis=0)[::-1]) if len(found) else np.array(grid.centre)


def _rigid(centre: Point, shift_mm: Sequence[float] | np.ndarray = (0, 0, 0)) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(centre, 0, 0, 0, [float(step) for step in shift_mm])


def _affine(rigid: sitk.Transform, centre: Point) -> sitk.AffineTransform:
    shift = np.subtract(rigid.TransformPoint(centre), centre)
    return sitk.AffineTransform(_matrix(rigid).ravel().tolist(), shift.tolist(), centre)


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """(3, 3) linear part of a transform."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    return np.stack([np.array(transform.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()], axis=1)


def _check_overlap(moving: Grid, fixed: Grid) -> None:
    inside = max(moving.contains(fixed.lattice(16)).mean(), fixed.contains(moving.lattice(16)).mean())
    if inside < _LEAST_OVERLAP:
        raise AlignmentError(
            "The scans do not overlap in space. Check origin and orientation in their headers, or leave one out."
        )
