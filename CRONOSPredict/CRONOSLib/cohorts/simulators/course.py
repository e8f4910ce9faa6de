"""The course of one glioma before anybody scans it: where it sits, how it grows, what is left of it at each visit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.anatomy import Anatomy, draw_anatomy, draw_site
from CRONOSLib.cohorts.simulators.appearance import Appearance, draw_appearance
from CRONOSLib.cohorts.simulators.fields import centred_grid, grid_points
from CRONOSLib.cohorts.simulators.growth import (
    GrowthRates,
    GrowthSettings,
    ReactionDiffusion,
    diffusion_map,
    draw_patches,
    draw_rates,
    seed_density,
)
from CRONOSLib.cohorts.simulators.settings import GliomaSettings
from CRONOSLib.cohorts.simulators.treatment import Treatment, Tumour, advance_treated, draw_treatment
from CRONOSLib.cohorts.simulators.visits import draw_visit_days
from CRONOSLib.imaging.grid import Grid

_WINDOW_CENTRE = (0.0, 17.0, 21.0)  # LPS, mm: a window of 192 × 192 × 128 mm holds the cerebrum
_FIRST_RADIUS_MM = 6.2  # of a ball of 1 ml
_LONGEST_SILENT_GROWTH_DAYS = 6 * 365
_ATTEMPTS = 50


@dataclass(frozen=True)
class Course:
    """A tumour's life on the growth grid.

    window:  the growth grid, axes along x, y, z
    site:    where it began (3,), mm
    brain:   (D, H, W) on `window`, 1 inside the head
    days:    of the visits, the first 0
    tumours: the state at each of them
    """

    anatomy: Anatomy
    rates: GrowthRates
    appearance: Appearance
    treatment: Treatment
    window: Grid
    site: np.ndarray
    brain: Tensor
    days: tuple[int, ...]
    tumours: tuple[Tumour, ...]


def draw_course(rng: np.random.Generator, settings: GliomaSettings, device: torch.device | str = "cpu") -> Course:
    """A course with enough visits; tumours that stay too small or fill the head too soon are drawn again."""
    for _ in range(_ATTEMPTS):
        course = _try_course(rng, settings, device)
        if course is not None:
            return course
    raise RuntimeError(f"None of {_ATTEMPTS} drawn tumours suits the growth settings; their ranges are too narrow.")


def _try_course(rng: np.random.Generator, settings: GliomaSettings, device: torch.device | str) -> Course | None:
    growth = settings.growth
    rates, days = draw_rates(rng, growth), draw_visit_days(rng, settings.visits)
    if not _plausible(rates, days, settings):
        return None
    anatomy = draw_anatomy(rng, settings.anatomy, device)
    appearance = draw_appearance(rng, settings.appearance)
    x, y, z = _WINDOW_CENTRE
    centre = (x, y, z + rng.uniform(-1, 1) * settings.scan.jitter_mm)
    window = centred_grid(settings.window, (growth.spacing_mm,) * 3, centre)
    points = grid_points(window, device)
    tissue = anatomy.at(points)
    diffusion = diffusion_map(tissue.grey, tissue.white, rates, growth.grey_to_white)
    diffusion = diffusion * draw_patches(rng, window.shape, growth, device)
    site = draw_site(rng, anatomy, window)
    treatment = draw_treatment(rng, settings.treatment) if settings.treatment else Treatment()
    equation = ReactionDiffusion(diffusion, rates.proliferation_per_day, growth.spacing_mm)
    seeded = seed_density(points, site, diffusion)
    tumours = tuple(_follow(equation, seeded, days, appearance, treatment, growth))
    if len(tumours) < settings.visits.count[0]:
        return None
    if settings.treatment is None and _visible_ml(tumours[-1], appearance, growth) < settings.last_volume_ml:
        return None
    days = days[: len(tumours)]
    return Course(anatomy, rates, appearance, treatment, window, site, tissue.brain, days, tumours)


def _plausible(rates: GrowthRates, days: tuple[int, ...], settings: GliomaSettings) -> bool:
    """Cheap test before growing: neither too large at the least number of visits nor too slow in all."""
    reached = _FIRST_RADIUS_MM + rates.front_speed_mm_per_day * 0.8 * days[settings.visits.count[0] - 1]
    grown = rates.front_speed_mm_per_day * days[-1]
    return reached < settings.growth.largest_diameter_mm / 2 and grown > 3.0


def _follow(
    equation: ReactionDiffusion,
    density: Tensor,
    days: tuple[int, ...],
    appearance: Appearance,
    treatment: Treatment,
    settings: GrowthSettings,
) -> Iterator[Tumour]:
    """The tumour at every visit, from the first day with the first volume to the largest diameter."""
    waited, step = 0, 7
    tumour = Tumour(density, torch.zeros_like(density))
    while _visible_ml(tumour, appearance, settings) < settings.first_volume_ml:
        if waited > _LONGEST_SILENT_GROWTH_DAYS:
            return
        tumour = Tumour(equation.advance(tumour.density, step), tumour.cavity)
        waited += step
    largest_ml = np.pi / 6 * settings.largest_diameter_mm**3 / 1000
    yield tumour
    for earlier, later in itertools.pairwise(days):
        tumour = advance_treated(equation, tumour, earlier, later, treatment)
        if _visible_ml(tumour, appearance, settings) > largest_ml:
            return
        yield tumour


def _visible_ml(tumour: Tumour, appearance: Appearance, settings: GrowthSettings) -> float:
    return float((tumour.density > appearance.enhancing_density).sum()) * settings.spacing_mm**3 / 1000
