"""One simulated glioma patient: a tumour's course, scanned at every visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.acquisition import Scanner, draw_position, draw_scanner
from CRONOSLib.cohorts.simulators.anatomy import Tissue
from CRONOSLib.cohorts.simulators.appearance import ENHANCING, NECROSIS, OEDEMA
from CRONOSLib.cohorts.simulators.course import Course, draw_course
from CRONOSLib.cohorts.simulators.fields import (
    centred_grid,
    grid_points,
    rotation,
    sample_field,
    smooth_noise,
    transform_points,
)
from CRONOSLib.cohorts.simulators.mass_effect import push
from CRONOSLib.cohorts.simulators.settings import GliomaSettings, ScanSettings
from CRONOSLib.cohorts.simulators.treatment import Tumour
from CRONOSLib.imaging.grid import Grid

_FIRST_DATE = datetime(2012, 1, 1)
_DATE_RANGE_DAYS = 3650
_THRESHOLD_NOISE_MM, _TEXTURE_MM = 5.0, 2.5


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


def simulate_glioma_patient(
    seed: int | Sequence[int], settings: GliomaSettings | None = None, device: str = "cpu"
) -> SimulatedPatient:
    """A glioma patient; the same seed gives the same voxels on the CPU.

    Raises MissingPackageError without nilearn.
    """
    settings = settings or GliomaSettings()
    rng = np.random.default_rng(seed)
    with torch.inference_mode():
        course = draw_course(rng, settings, device)
        session = _draw_session(rng, course, settings, device)
        start = _FIRST_DATE + timedelta(days=int(rng.integers(_DATE_RANGE_DAYS)))
        visits = tuple(
            session.visit(rng, day, start + timedelta(days=day), tumour)
            for day, tumour in zip(course.days, course.tumours)
        )
    return SimulatedPatient(visits, _parameters(course, session))


@dataclass(frozen=True)
class _Session:
    """What all scans of one patient have in common.

    push_mm: displacement beside a large tumour
    noise:   threshold noise and texture (2, D, H, W) on the course's window
    grid, points: of the stored scans
    """

    course: Course
    settings: GliomaSettings
    scanner: Scanner
    push_mm: float
    noise: Tensor
    grid: Grid
    points: Tensor

    def visit(self, rng: np.random.Generator, day: int, date: datetime, tumour: Tumour) -> SimulatedVisit:
        """Scan the tumour."""
        position = draw_position(rng, self.settings.acquisition)
        points = transform_points(self.points, position.matrix, position.offset)
        signal, density, labels = self._look(points, tumour)
        if self.settings.scan.slab_samples > 1:
            signal = self._slab(points, tumour)
        scan = self.scanner.acquire(rng, signal, self.settings.acquisition)
        return SimulatedVisit(
            day=day,
            date=date,
            scan=_image(scan, self.grid),
            density=_image((density * 255).round().to(torch.uint8), self.grid),
            labels=_image(labels, self.grid),
            volumes_ml=_volumes_ml(labels, self.grid),
            clean=_image(signal, self.grid) if self.settings.keep_clean else None,
        )

    def _look(self, points: Tensor, tumour: Tumour) -> tuple[Tensor, Tensor, Tensor]:
        """Signal, cell density and labels, each (d, h, w), at `points` (d, h, w, 3) of the pushed brain."""
        course, effect = self.course, self.settings.mass_effect
        displacement = push(tumour.density, course.brain, course.window, self.push_mm, effect)
        before = displacement.origin_of(points)
        fields = torch.cat([tumour.density[None], tumour.cavity[None], self.noise])
        density, cavity, threshold, texture = sample_field(fields, course.window, before, outside="border")
        tissue = course.anatomy.at(before)
        labels = course.appearance.labels(density, threshold) * (tissue.brain > 0.5)
        signal = course.appearance.signal(_stripped(tissue), density, cavity, threshold, texture)
        return signal, density * tissue.brain, labels.to(torch.uint8)

    def _slab(self, points: Tensor, tumour: Tumour) -> Tensor:
        """Mean signal across the thickness of the slices."""
        count, thickness = self.settings.scan.slab_samples, self.grid.spacing[2]
        across = np.array(self.grid.direction).reshape(3, 3)[:, 2] * thickness
        offsets = [(step + 0.5) / count - 0.5 for step in range(count)]
        signals = [self._look(transform_points(points, np.eye(3), across * offset), tumour)[0] for offset in offsets]
        return torch.stack(signals).mean(dim=0)


def _draw_session(rng: np.random.Generator, course: Course, settings: GliomaSettings, device: str) -> _Session:
    scanner = draw_scanner(rng, settings.acquisition)
    push_mm = float(rng.uniform(*settings.mass_effect.push_mm))
    cell = settings.growth.spacing_mm
    noise = [smooth_noise(rng, 1, course.window.shape, mm / cell, device) for mm in (_THRESHOLD_NOISE_MM, _TEXTURE_MM)]
    grid = _scan_grid(course.window, settings.scan)
    return _Session(course, settings, scanner, push_mm, torch.cat(noise), grid, grid_points(grid, device))


def _stripped(tissue: Tissue) -> Tissue:
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


def _parameters(course: Course, session: _Session) -> dict[str, object]:
    return {
        **asdict(course.rates),
        "front_speed_mm_per_day": course.rates.front_speed_mm_per_day,
        "front_width_mm": course.rates.front_width_mm,
        "site_mm": [round(float(value), 1) for value in course.site],
        "push_mm": session.push_mm,
        "appearance": asdict(course.appearance),
        "treatment": asdict(course.treatment),
        "noise": session.scanner.noise,
        "bias": session.scanner.bias,
    }
