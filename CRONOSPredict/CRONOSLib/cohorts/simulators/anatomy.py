"""Brains: the MNI152 tissue maps, bent differently for every patient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.fields import (
    centred_grid,
    grid_points,
    rotation,
    sample_field,
    smooth_noise,
    transform_points,
)
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.packages import require

_BRAIN_CENTRE = np.array([0.0, 17.0, 5.0])  # of MNI152, LPS, mm
_WARP_SPACING_MM = 4.0
_CSF, _WHITE = 0.27, 0.875  # medians of the template's T1 map
_OUTSIDE = 0.1  # T1 beyond the head; above 0 because resampling the template rings


@dataclass(frozen=True)
class AnatomySettings:
    """How much the patients' brains differ from the template (METHODS 13.3).

    size_change:   largest relative change of one axis by the affine map
    tilt_degrees:  largest rotation about one axis
    warp_mm:       deviation of the smooth warp along one axis
    warp_scale_mm: Gaussian width of the warp
    template_mm:   voxel size of the template maps, whole mm
    """

    size_change: float = 0.10
    tilt_degrees: float = 6.0
    warp_mm: float = 2.0
    warp_scale_mm: float = 12.0
    template_mm: int = 1


@dataclass(frozen=True)
class Tissue:
    """Maps sampled at points, each (d, h, w).

    t1:    T1 contrast without tumour, white matter about .70, grey .50, cerebrospinal fluid .15, 0 outside
    grey, white: fraction of the tissue, 0 to 1
    brain: 1 inside the skull-stripped head, 0 outside
    """

    t1: Tensor
    grey: Tensor
    white: Tensor
    brain: Tensor


@dataclass(frozen=True)
class Anatomy:
    """One patient's brain as a map of points (mm, LPS) into the template.

    maps:   template maps t1, grey, white, brain (4, D, H, W) on `grid`
    matrix, offset: affine part, patient to template
    warp:   displacement in mm (3, D, H, W) on `warp_grid`, applied first
    """

    maps: Tensor
    grid: Grid
    matrix: np.ndarray
    offset: np.ndarray
    warp: Tensor
    warp_grid: Grid

    def template_points(self, points: Tensor) -> Tensor:
        """Where `points` (d, h, w, 3) of the patient lie in the template."""
        moved = points + sample_field(self.warp, self.warp_grid, points, outside="border").permute(1, 2, 3, 0)
        return transform_points(moved, self.matrix, self.offset)

    def at(self, points: Tensor) -> Tissue:
        """Tissue at `points` (d, h, w, 3)."""
        return Tissue(*sample_field(self.maps, self.grid, self.template_points(points)))


def draw_anatomy(rng: np.random.Generator, settings: AnatomySettings, device: torch.device | str = "cpu") -> Anatomy:
    """A random brain; raises MissingPackageError without nilearn, whose wheel holds the maps."""
    maps, grid = _template(settings.template_mm)
    matrix = rotation(rng.uniform(-settings.tilt_degrees, settings.tilt_degrees, 3))
    common = rng.uniform(-0.7, 0.7) * settings.size_change
    scale = 1 + common + rng.uniform(-0.3, 0.3, 3) * settings.size_change
    matrix = matrix @ np.diag(1 / scale)
    warp_grid = centred_grid((50, 58, 48), (_WARP_SPACING_MM,) * 3, tuple(_BRAIN_CENTRE))
    warp = smooth_noise(rng, 3, (48, 58, 50), settings.warp_scale_mm / _WARP_SPACING_MM, device)
    return Anatomy(
        maps=maps.to(device),
        grid=grid,
        matrix=matrix,
        offset=_BRAIN_CENTRE - matrix @ _BRAIN_CENTRE,
        warp=warp * settings.warp_mm,
        warp_grid=warp_grid,
    )


def draw_site(rng: np.random.Generator, anatomy: Anatomy, window: Grid, margin_mm: float = 24.0) -> np.ndarray:
    """A point (3,) mm in the white matter of the cerebrum, at least `margin_mm` inside the window."""
    points = grid_points(window, anatomy.maps.device)
    template = anatomy.template_points(points)
    white = anatomy.at(points).white
    x, y, z = template.unbind(-1)
    cerebrum = (z > 4) | ((x.abs() > 32) & (y < 40) & (z > -28))
    allowed = (white > 0.8) & cerebrum & (x.abs() > 12) & _interior(window, margin_mm).to(white.device)
    candidates = points[allowed].cpu().numpy()
    return candidates[rng.integers(len(candidates))].astype(float)


def _interior(grid: Grid, margin_mm: float) -> Tensor:
    inside = torch.ones(grid.size[::-1], dtype=torch.bool)
    for axis, (count, spacing) in enumerate(zip(grid.size[::-1], grid.spacing[::-1])):
        width = min(round(margin_mm / spacing), count // 2 - 1)
        inside.narrow(axis, 0, width).fill_(False)
        inside.narrow(axis, count - width, width).fill_(False)
    return inside


@lru_cache(maxsize=2)
def _template(spacing_mm: int) -> tuple[Tensor, Grid]:
    """T1, grey, white and brain maps of MNI152 (Fonov et al. 2011), turned from RAS to LPS."""
    require("nilearn", purpose="Simulating a brain")
    from nilearn import datasets

    images = [
        datasets.load_mni152_template(resolution=spacing_mm),
        datasets.load_mni152_gm_template(resolution=spacing_mm),
        datasets.load_mni152_wm_template(resolution=spacing_mm),
    ]
    t1, grey, white = (np.ascontiguousarray(_to_lps(image.get_fdata(dtype=np.float32))) for image in images)
    head = t1 > _OUTSIDE
    t1 = np.where(head, np.clip(0.15 + (t1 - _CSF) * 0.55 / (_WHITE - _CSF), 0.02, None), 0).astype(np.float32)
    affine, size = images[0].affine, images[0].shape
    origin = (
        float(-(affine[0, 3] + spacing_mm * (size[0] - 1))),
        float(-(affine[1, 3] + spacing_mm * (size[1] - 1))),
        float(affine[2, 3]),
    )
    grid = Grid(tuple(size), (float(spacing_mm),) * 3, origin, tuple(np.eye(3).ravel()))
    return torch.from_numpy(np.stack([t1, grey, white, head.astype(np.float32)])), grid


def _to_lps(array: np.ndarray) -> np.ndarray:
    """RAS array (x, y, z) as LPS array (z, y, x)."""
    return array[::-1, ::-1, :].transpose(2, 1, 0)
