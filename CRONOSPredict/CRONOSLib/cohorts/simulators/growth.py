"""Reaction and diffusion: how a glioma's cells spread and multiply."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.fields import smooth_noise

_NEGLIGIBLE = 1e-6  # cell density below which the front is not followed
_BOX_STEPS = 8  # steps in one box; also its margin in cells, so that the front cannot reach the edge


@dataclass(frozen=True)
class GrowthSettings:
    """Ranges of the Fisher-Kolmogorov equation (METHODS 13.3); both rates are drawn log-uniformly.

    diffusion_mm2_per_day:     in white matter
    proliferation_per_day:     ρ
    front_speed_mm_per_day:    accepted range of 2 √(D ρ)
    front_width_mm:            accepted range of √(D / ρ)
    grey_to_white:             diffusion in grey matter relative to white
    patchiness, patch_mm:      deviation of ln D from place to place, and the size of such places; makes fronts uneven
    spacing_mm:                cell size of the computation
    first_volume_ml:           visible volume at the first visit
    largest_diameter_mm:       of the visible tumour, taken as a ball; later visits are dropped
    """

    diffusion_mm2_per_day: tuple[float, float] = (0.02, 1.5)
    proliferation_per_day: tuple[float, float] = (0.002, 0.2)
    front_speed_mm_per_day: tuple[float, float] = (0.02, 0.35)
    front_width_mm: tuple[float, float] = (1.0, 4.0)
    grey_to_white: float = 0.1
    patchiness: float = 0.5
    patch_mm: float = 6.0
    spacing_mm: float = 2.0
    first_volume_ml: float = 1.0
    largest_diameter_mm: float = 60.0


@dataclass(frozen=True)
class GrowthRates:
    """D in white matter (mm²/day) and ρ (1/day) of one patient."""

    diffusion_mm2_per_day: float
    proliferation_per_day: float

    @property
    def front_speed_mm_per_day(self) -> float:
        """Speed of a plane front, 2 √(D ρ)."""
        return 2 * math.sqrt(self.diffusion_mm2_per_day * self.proliferation_per_day)

    @property
    def front_width_mm(self) -> float:
        """Width of a plane front, √(D / ρ)."""
        return math.sqrt(self.diffusion_mm2_per_day / self.proliferation_per_day)


def draw_rates(rng: np.random.Generator, settings: GrowthSettings) -> GrowthRates:
    """Rates drawn log-uniformly until speed and width of the front are in range."""
    while True:
        rates = GrowthRates(
            _log_uniform(rng, settings.diffusion_mm2_per_day), _log_uniform(rng, settings.proliferation_per_day)
        )
        slowest, fastest = settings.front_speed_mm_per_day
        narrowest, widest = settings.front_width_mm
        if slowest <= rates.front_speed_mm_per_day <= fastest and narrowest <= rates.front_width_mm <= widest:
            return rates


@dataclass(frozen=True)
class ReactionDiffusion:
    """∂c/∂t = ∇·(D ∇c) + ρ c (1 − c), no flux into cells where D is 0 (Swanson et al. 2000).

    diffusion:  (D, H, W), mm²/day
    proliferation_per_day: ρ
    spacing_mm: size of the cubic cells

    Lie splitting: the three axes of the diffusion one after the other, explicitly, then the logistic reaction
    exactly. One axis is stable up to D Δt / h² = 1/2, three times the step of the unsplit scheme.
    """

    diffusion: Tensor
    proliferation_per_day: float
    spacing_mm: float

    @property
    def step_days(self) -> float:
        """Longest step that is both stable and accurate."""
        fastest = max(float(self.diffusion.max()), 1e-12)
        return min(0.25 * self.spacing_mm**2 / fastest, 0.1 / max(self.proliferation_per_day, 1e-12), 7.0)

    def advance(self, density: Tensor, days: float) -> Tensor:
        """Cell density (D, H, W), 0 to 1, after `days`."""
        if days <= 0:
            return density
        steps = math.ceil(days / self.step_days)
        step = days / steps
        faces = [face * (step / self.spacing_mm**2) for face in _face_diffusion(self.diffusion)]
        growth = math.expm1(self.proliferation_per_day * step)
        density = density.clone()
        for start in range(0, steps, _BOX_STEPS):
            box = _box(density, margin=_BOX_STEPS)
            if box is None:
                break
            inside = density[box]
            conductance = [face[box] for face in faces]
            for _ in range(min(_BOX_STEPS, steps - start)):
                for axis, face in enumerate(conductance):
                    _exchange(inside, face, axis)
                inside.mul_(1 + growth).div_(1 + growth * inside / (1 + growth))  # exact logistic growth
        return density


def diffusion_map(grey: Tensor, white: Tensor, rates: GrowthRates, grey_to_white: float) -> Tensor:
    """D of every cell, mm²/day; 0 in fluid and outside, where less than half of the cell is tissue."""
    tissue = (grey + white) > 0.5
    return rates.diffusion_mm2_per_day * (white + grey_to_white * grey) * tissue


def draw_patches(
    rng: np.random.Generator, shape: tuple[int, int, int], settings: GrowthSettings, device: torch.device | str = "cpu"
) -> Tensor:
    """Factors (D, H, W) of D about 1, at most 1.5 times the `patchiness` away in the logarithm."""
    noise = smooth_noise(rng, 1, shape, settings.patch_mm / settings.spacing_mm, device)[0]
    return torch.exp(settings.patchiness * noise.clamp(-1.5, 1.5))


def seed_density(points: Tensor, site: np.ndarray, diffusion: Tensor, radius_mm: float = 3.0) -> Tensor:
    """A small tumour (D, H, W) of Gaussian shape around `site` (3,), in tissue only."""
    offset = points - torch.as_tensor(site, dtype=points.dtype, device=points.device)
    return 0.8 * torch.exp(-0.5 * (offset**2).sum(-1) / radius_mm**2) * (diffusion > 0)


def _face_diffusion(diffusion: Tensor) -> list[Tensor]:
    """D at the face between a cell and the next along each axis: mean of the two, 0 beside a cell without flux.

    Every tensor has the shape of `diffusion`; the last face of an axis, at the edge of the grid, is 0.
    """
    faces = []
    for axis in range(3):
        count = diffusion.shape[axis] - 1
        here, there = diffusion.narrow(axis, 0, count), diffusion.narrow(axis, 1, count)
        face = torch.zeros_like(diffusion)
        face.narrow(axis, 0, count).copy_((here + there) / 2 * ((here > 0) & (there > 0)))
        faces.append(face)
    return faces


def _exchange(density: Tensor, face: Tensor, axis: int) -> None:
    """One explicit step along one axis, in place: what leaves a cell enters its neighbour."""
    count = density.shape[axis] - 1
    here, there = density.narrow(axis, 0, count), density.narrow(axis, 1, count)
    flux = (there - here).mul_(face.narrow(axis, 0, count))
    here.add_(flux)
    there.sub_(flux)


def _box(density: Tensor, margin: int) -> tuple[slice, slice, slice] | None:
    """Slices around the cells that hold tumour, widened by `margin` cells; None without tumour."""
    occupied = density > _NEGLIGIBLE
    slices = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        along = torch.nonzero(occupied.any(dim=others[1]).any(dim=others[0]))
        if len(along) == 0:
            return None
        slices.append(slice(max(int(along[0]) - margin, 0), int(along[-1]) + margin + 1))
    return slices[0], slices[1], slices[2]


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))
