"""One simulated glioma patient: anatomy, growth, mass effect, appearance and scanner put together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.acquisition import AcquisitionSettings, draw_position, draw_scanner
from CRONOSLib.cohorts.simulators.anatomy import (
    Anatomy,
    AnatomySettings,
    Tissue,
    draw_anatomy,
    draw_site,
)
from CRONOSLib.cohorts.simulators.appearance import (
    ENHANCING,
    NECROSIS,
    OEDEMA,
    Appearance,
    AppearanceSettings,
    draw_appearance,
)
from CRONOSLib.cohorts.simulators.fields import (
    centred_grid,
    grid_points,
    rotation,
    sample_field,
    smooth_noise,
    transform_points,
)
from CRONOSLib.cohorts.simulators.growth import (
    GrowthRates,
    GrowthSettings,
    ReactionDiffusion,
    diffusion_map,
    draw_patches,
    draw_rates,
    seed_density,
)
from CRONOSLib.cohorts.simulators.mass_effect import MassEffectSettings, push
from CRONOSLib.cohorts.simulators.visits import VisitSettings, draw_visit_days
from CRONOSLib.imaging.grid import Grid

_WINDOW_CENTRE = (0.0, 17.0, 21.0)  # LPS, mm: a window of 192 × 192 × 128 mm holds the cerebrum
_LONGEST_SILENT_GROWTH_DAYS = 6 * 365
_ATTEMPTS = 50
_FIRST_DATE = datetime(2012, 1, 1)
_DATE_RANGE_DAYS = 3650


@dataclass(frozen=True)
class ScanSettings:
    """Geometry of the stored scans.

    size:         voxels along x, y, z
    spacing_mm:   along x, y, z
    tilt_degrees: rotation of the scan's axes about x, y, z against the patient
    jitter_mm:    largest shift of the field of view along z, once per patient
    """

    size: tuple[int, int, int] = (96, 96, 64)
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    jitter_mm: float = 6.0


@dataclass(frozen=True)
class GliomaSettings:
    """Everything that may be chosen about a simulated glioma cohort.

    window:     cells along x, y, z in which the tumour grows, of `growth.spacing_mm`
    least_growth: visible volume at the last visit relative to the first
    keep_clean: also keep each scan without shading, gain and noise
    """

    anatomy: AnatomySettings = field(default_factory=AnatomySettings)
    growth: GrowthSettings = field(default_factory=GrowthSettings)
    mass_effect: MassEffectSettings = field(default_factory=MassEffectSettings)
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)
    acquisition: AcquisitionSettings = field(default_factory=AcquisitionSettings)
    visits: VisitSettings = field(default_factory=VisitSettings)
    scan: ScanSettings = field(default_factory=ScanSettings)
    window: tuple[int, int, int] = (96, 96, 64)
    least_growth: float = 1.5
    keep_clean: bool = False


@dataclass(frozen=True)
class SimulatedVisit:
    """One visit: the scan as acquired, and the truth on the scan's own grid.

    day:        since the first visit
    scan:       int16, stored values
    density:    uint8, cell density times 255
    labels:     uint8, 1 necrosis, 2 oedema, 3 enhancing
    volumes_ml: of each region, from the labels
    clean:      float32 signal before the scanner, when the settings ask for it
    """

    day: int
    date: datetime
    scan: sitk.Image
    density: sitk.Image
    labels: sitk.Image
    volumes_ml: dict[str, float]
    clean: sitk.Image | None = None


@dataclass(frozen=True)
class SimulatedPatient:
    """A patient with visits, oldest first, and the drawn parameters (JSON-ready)."""

    visits: tuple[SimulatedVisit, ...]
    parameters: dict[str, object]


@dataclass(frozen=True)
class _Course:
    """The tumour before it is scanned: what grew, where, and the density at each visit."""

    anatomy: Anatomy
    rates: GrowthRates
    appearance: Appearance
    window: Grid
    site: np.ndarray
    brain: Tensor
    days: tuple[int, ...]
    densities: tuple[Tensor, ...]


def simulate_glioma_patient(
    seed: int | np.random.SeedSequence, settings: GliomaSettings | None = None, device: str = "cpu"
) -> SimulatedPatient:
    """A glioma patient; the same seed gives the same voxels on the CPU.

    Tumours that stay too small, do not grow or fill the head before the third visit are drawn again.
    Raises MissingPackageError without nilearn.
    """
    settings = settings or GliomaSettings()
    rng = np.random.default_rng(seed)
    with torch.inference_mode():
        course = _draw_course(rng, settings, device)
        return _scan_course(rng, course, settings, device)


def _draw_course(rng: np.random.Generator, settings: GliomaSettings, device: str) -> _Course:
    for _ in range(_ATTEMPTS):
        course = _try_course(rng, settings, device)
        if course is not None:
            return course
    raise RuntimeError(f"No tumour of {_ATTEMPTS} drawn ones suits the growth settings; widen their ranges.")


def _try_course(rng: np.random.Generator, settings: GliomaSettings, device: str) -> _Course | None:
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
    equation = ReactionDiffusion(diffusion, rates.proliferation_per_day, growth.spacing_mm)
    seeded = seed_density(points, site, diffusion)
    densities = tuple(_follow(equation, seeded, days, appearance, growth))
    if len(densities) < settings.visits.count[0]:
        return None
    if _visible_ml(densities[-1], appearance, growth) < settings.least_growth * growth.first_volume_ml:
        return None
    return _Course(anatomy, rates, appearance, window, site, tissue.brain, days[: len(densities)], densities)


def _plausible(rates: GrowthRates, days: tuple[int, ...], settings: GliomaSettings) -> bool:
    """Cheap test before growing: neither too large at the least number of visits nor too slow in all."""
    first_radius = 6.2  # mm, ball of 1 ml
    reached = first_radius + rates.front_speed_mm_per_day * 0.8 * days[settings.visits.count[0] - 1]
    grown = rates.front_speed_mm_per_day * days[-1]
    return reached < settings.growth.largest_diameter_mm / 2 and grown > 3.0


def _follow(
    equation: ReactionDiffusion,
    density: Tensor,
    days: tuple[int, ...],
    appearance: Appearance,
    settings: GrowthSettings,
) -> Iterator[Tensor]:
    """Density at every visit, from the first day with the first volume to the largest diameter."""
    waited, step = 0, 7
    while _visible_ml(density, appearance, settings) < settings.first_volume_ml:
        if waited > _LONGEST_SILENT_GROWTH_DAYS:
            return
        density, waited = equation.advance(density, step), waited + step
    largest_ml = np.pi / 6 * settings.largest_diameter_mm**3 / 1000
    yield density
    for earlier, later in itertools.pairwise(days):
        density = equation.advance(density, later - earlier)
        if _visible_ml(density, appearance, settings) > largest_ml:
            return
        yield density


def _visible_ml(density: Tensor, appearance: Appearance, settings: GrowthSettings) -> float:
    return float((density > appearance.enhancing_density).sum()) * settings.spacing_mm**3 / 1000


def _scan_course(rng: np.random.Generator, course: _Course, settings: GliomaSettings, device: str) -> SimulatedPatient:
    scanner = draw_scanner(rng, settings.acquisition)
    push_mm = float(rng.uniform(*settings.mass_effect.push_mm))
    noise = torch.cat(
        [smooth_noise(rng, 1, course.window.shape, sigma / settings.growth.spacing_mm, device) for sigma in (5.0, 2.5)]
    )
    start = _FIRST_DATE + timedelta(days=int(rng.integers(_DATE_RANGE_DAYS)))
    grid = _scan_grid(course.window, settings.scan)
    points = grid_points(grid, device)
    visits = []
    for day, density in zip(course.days, course.densities):
        position = draw_position(rng, settings.acquisition)
        displacement = push(density, course.brain, course.window, push_mm, settings.mass_effect)
        here = displacement.origin_of(transform_points(points, position.matrix, position.offset))
        local, coarse, fine = sample_field(torch.cat([density[None], noise]), course.window, here, outside="border")
        tissue = course.anatomy.at(here)
        labels = course.appearance.labels(local, coarse) * (tissue.brain > 0.5)
        signal = course.appearance.signal(_in_head(tissue), local, coarse, fine)
        scan = scanner.acquire(rng, signal, settings.acquisition)
        visits.append(
            SimulatedVisit(
                day=day,
                date=start + timedelta(days=day),
                scan=_image(scan, grid),
                density=_image((local * tissue.brain * 255).round().to(torch.uint8), grid),
                labels=_image(labels.to(torch.uint8), grid),
                volumes_ml=_volumes_ml(labels, grid),
                clean=_image(signal, grid) if settings.keep_clean else None,
            )
        )
    return SimulatedPatient(tuple(visits), _parameters(course, push_mm, scanner.noise, scanner.bias))


def _in_head(tissue: Tissue) -> Tissue:
    """The tissue with a sharp edge of the head, as skull stripping leaves it."""
    return Tissue(tissue.t1, tissue.grey, tissue.white, (tissue.brain > 0.5).to(tissue.brain.dtype))


def _scan_grid(window: Grid, scan: ScanSettings) -> Grid:
    return centred_grid(scan.size, scan.spacing_mm, window.centre, rotation(np.array(scan.tilt_degrees)))


def _image(array: Tensor, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array.cpu().numpy())
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def _volumes_ml(labels: Tensor, grid: Grid) -> dict[str, float]:
    voxel_ml = float(np.prod(grid.spacing)) / 1000
    regions = {"necrosis": NECROSIS, "oedema": OEDEMA, "enhancing": ENHANCING}
    return {name: round(float((labels == value).sum()) * voxel_ml, 3) for name, value in regions.items()}


def _parameters(course: _Course, push_mm: float, noise: float, bias: float) -> dict[str, object]:
    return {
        **asdict(course.rates),
        "front_speed_mm_per_day": course.rates.front_speed_mm_per_day,
        "front_width_mm": course.rates.front_width_mm,
        "site_mm": [round(float(value), 1) for value in course.site],
        "push_mm": push_mm,
        "appearance": asdict(course.appearance),
        "noise": noise,
        "bias": bias,
    }
