"""Mass effect: the growing tumour pushes the brain aside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.cohorts.simulators.fields import blur, centred_grid, sample_field
from CRONOSLib.imaging.grid import Grid


@dataclass(frozen=True)
class MassEffectSettings:
    """How far the tumour pushes (METHODS 13.3).

    push_mm:       range of the displacement beside a large tumour
    reach_mm:      Gaussian width over which the push fades
    smallest_volume: least determinant of the Jacobian, the most that tissue is squeezed
    """

    push_mm: tuple[float, float] = (0.0, 6.0)
    reach_mm: float = 12.0
    smallest_volume: float = 0.2


@dataclass(frozen=True)
class Displacement:
    """Displacement in mm (3, D, H, W), components x, y, z, on a grid with axes along x, y, z."""

    field: Tensor
    grid: Grid

    def origin_of(self, points: Tensor) -> Tensor:
        """Where the tissue now at `points` (d, h, w, 3) lay before the push, to first order."""
        return points - sample_field(self.field, self.grid, points, outside="border").permute(1, 2, 3, 0)


def push(density: Tensor, brain: Tensor, grid: Grid, push_mm: float, settings: MassEffectSettings) -> Displacement:
    """Displacement u = −s ∇(G * c), fading to 0 at the skull, scaled down where it would fold the tissue.

    density, brain: (D, H, W) on `grid`, whose axes lie along x, y, z with one spacing
    push_mm: |u| at a straight edge of an endless tumour
    """
    coarse = functional.avg_pool3d(torch.stack([density, brain])[None], 2)[0]
    spacing = 2 * grid.spacing[0]
    tumour = blur(coarse[:1], settings.reach_mm / spacing)[0]
    skull = (2 * blur(coarse[1:], 6.0 / spacing)[0] - 1).clamp(0, 1)
    slope = torch.stack(torch.gradient(tumour, spacing=spacing)[::-1])
    field = -push_mm * settings.reach_mm * math.sqrt(2 * math.pi) * slope * skull
    while float(_jacobian(-field, spacing).min()) < settings.smallest_volume:
        field = 0.85 * field
    return Displacement(field, _halved(grid))


def _halved(grid: Grid) -> Grid:
    """Grid of the means of 2 × 2 × 2 cells."""
    x, y, z = (count // 2 for count in grid.size)
    return centred_grid((x, y, z), (2 * grid.spacing[0],) * 3, grid.centre)


def _jacobian(field: Tensor, spacing: float) -> Tensor:
    """det(I + ∇u) of a displacement (3, D, H, W) in mm."""
    rows = [torch.stack(torch.gradient(component, spacing=spacing)[::-1]) for component in field]
    matrix = torch.stack(rows).permute(2, 3, 4, 0, 1) + torch.eye(3, device=field.device)
    return torch.linalg.det(matrix)
