"""One simulated stroke patient: a contrast bolus, followed by CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.anatomy import Anatomy, AnatomySettings, Tissue, draw_anatomy
from CRONOSLib.cohorts.simulators.fields import (
    centred_grid,
    grid_points,
    rotation,
    sample_field,
    smooth_noise,
    transform_points,
)
from CRONOSLib.cohorts.simulators.perfusion_bolus import (
    ARTERY_MTT_S,
    BLOOD_PER_CBV,
    Bolus,
    BolusSettings,
    Transit,
    draw_bolus,
    transit_of,
)
from CRONOSLib.cohorts.simulators.perfusion_stroke import (
    CORE,
    PENUMBRA,
    Flow,
    Stroke,
    StrokeSettings,
    draw_stroke,
    flow_of,
)
from CRONOSLib.cohorts.simulators.perfusion_vessels import vessel_fractions
from CRONOSLib.imaging.grid import Grid

_VEIN_DELAY_S, _VEIN_MTT_S = 3.0, 4.0
_NOISE_MM = (10.0, 8.0, 8.0)  # scale of the outlines, of local flow, of local transit time


@dataclass(frozen=True)
class CtSettings:
    """The scanner (METHODS 13.5); the frames are stripped of the skull: 0 HU outside the brain.

    size, spacing_mm: of the frames, along x, y, z
    centre_mm:    of the field of view in the template, LPS
    frames:       how many
    interval_s:   range of the time between two
    grey_hu, white_hu, fluid_hu: range over patients before contrast
    vessel_hu:    unenhanced blood
    core_hu:      range of what dead tissue has lost already
    noise_hu:     range of the deviation of a voxel's noise
    shift_mm, turn_degrees: largest motion of a frame along or about one axis, what registration leaves
    slab_samples: points averaged across the thickness of a slice
    """

    size: tuple[int, int, int] = (112, 112, 16)
    spacing_mm: tuple[float, float, float] = (1.7, 1.7, 5.0)
    centre_mm: tuple[float, float, float] = (0.0, 17.0, 17.0)
    frames: int = 32
    interval_s: tuple[float, float] = (1.5, 2.0)
    grey_hu: tuple[float, float] = (32.0, 38.0)
    white_hu: tuple[float, float] = (26.0, 31.0)
    fluid_hu: tuple[float, float] = (9.0, 15.0)
    vessel_hu: float = 40.0
    core_hu: tuple[float, float] = (0.0, 4.0)
    noise_hu: tuple[float, float] = (3.0, 8.0)
    shift_mm: float = 0.5
    turn_degrees: float = 0.5
    slab_samples: int = 2


@dataclass(frozen=True)
class PerfusionSettings:
    """Settings of a cohort of strokes."""

    anatomy: AnatomySettings = field(default_factory=lambda: AnatomySettings(size_change=0.06, template_mm=2))
    bolus: BolusSettings = field(default_factory=BolusSettings)
    stroke: StrokeSettings = field(default_factory=StrokeSettings)
    ct: CtSettings = field(default_factory=CtSettings)


@dataclass(frozen=True)
class PerfusionPatient:
    """A patient with frames in the order of time, the truth on their grid, and the drawn parameters (JSON-ready).

    times_s:    of the frames, the first 0
    frames:     int16, HU
    maps:       float32: "cbf" ml/100 g/min, "cbv" ml/100 g, "mtt" s, "tmax" s, 0 outside tissue; "artery" and "vein",
                share of a voxel, 0 to 1
    labels:     uint8, 1 core, 2 penumbra
    """

    times_s: tuple[float, ...]
    frames: tuple[sitk.Image, ...]
    maps: dict[str, sitk.Image]
    labels: sitk.Image
    bolus: Bolus
    parameters: dict[str, object]


def simulate_perfusion_patient(
    seed: int | Sequence[int], settings: PerfusionSettings | None = None, device: str = "cpu"
) -> PerfusionPatient:
    """A stroke patient; the same seed gives the same voxels on the CPU.

    Raises MissingPackageError without nilearn.
    """
    settings = settings or PerfusionSettings()
    rng = np.random.default_rng(seed)
    with torch.inference_mode():
        interval = round(float(rng.uniform(*settings.ct.interval_s)), 2)
        times = tuple(round(interval * index, 2) for index in range(settings.ct.frames))
        bolus = draw_bolus(rng, settings.bolus)
        stroke = draw_stroke(rng, settings.stroke)
        brain = _draw_brain(rng, stroke, settings, device)
        transit = transit_of(bolus, times[-1] + 1, device)
        noise_hu = float(rng.uniform(*settings.ct.noise_hu))
        frames = tuple(brain.scan(rng, transit, time, noise_hu, settings.ct) for time in times)
    labels = brain.flow.labels
    parameters = {
        "bolus": {**asdict(bolus), "peak_s": bolus.peak_s},
        "stroke": asdict(stroke),
        "interval_s": interval,
        "noise_hu": noise_hu,
        "core_ml": _volume_ml(labels == CORE, brain.grid),
        "penumbra_ml": _volume_ml(labels == PENUMBRA, brain.grid),
    }
    return PerfusionPatient(times, frames, brain.maps(), _image(labels, brain.grid), bolus, parameters)


@dataclass(frozen=True)
class _Brain:
    """One patient's head on the grid of the frames, each (D, H, W).

    baseline:     HU before contrast
    mask:         1 inside the stripped head
    artery, vein: share of a voxel
    """

    flow: Flow
    baseline: Tensor
    mask: Tensor
    artery: Tensor
    vein: Tensor
    grid: Grid
    points: Tensor

    def attenuation(self, transit: Transit, time_s: float) -> Tensor:
        """HU (D, H, W) without noise: baseline and enhancement."""
        hu = self.baseline.clone()
        flow, late = self.flow, self.flow.delay
        parts = (
            (flow.cbv * BLOOD_PER_CBV * (1 - self.artery) * (1 - self.vein), late, flow.mtt),
            (self.artery, late - late.amin(), torch.full_like(late, ARTERY_MTT_S)),
            (self.vein * (1 - self.artery), torch.full_like(late, _VEIN_DELAY_S), torch.full_like(late, _VEIN_MTT_S)),
        )
        for blood, delay, mtt in parts:
            there = blood > 0
            hu[there] += blood[there] * transit.enhancement(time_s, delay[there], mtt[there])
        return hu

    def scan(
        self, rng: np.random.Generator, transit: Transit, time_s: float, noise_hu: float, ct: CtSettings
    ) -> sitk.Image:
        """The frame at a time: moved a little, noisy, stripped."""
        matrix = rotation(rng.uniform(-1, 1, 3) * ct.turn_degrees)
        centre = np.array(self.grid.centre)
        offset = centre - matrix @ centre + rng.uniform(-1, 1, 3) * ct.shift_mm
        moved = transform_points(self.points, matrix, offset)
        hu = sample_field(self.attenuation(transit, time_s)[None], self.grid, moved, outside="border")[0]
        noise = torch.from_numpy(rng.standard_normal(hu.shape, dtype=np.float32)).to(hu.device)
        return _image(((hu + noise_hu * noise) * self.mask).round().to(torch.int16), self.grid)

    def maps(self) -> dict[str, sitk.Image]:
        """The truth as images."""
        flow = self.flow
        in_tissue = {"cbf": flow.cbf, "cbv": flow.cbv, "mtt": flow.mtt, "tmax": flow.tmax * flow.brain}
        shares = {"artery": self.artery, "vein": self.vein}
        return {name: _image(array.float(), self.grid) for name, array in {**in_tissue, **shares}.items()}


def _draw_brain(rng: np.random.Generator, stroke: Stroke, settings: PerfusionSettings, device: str) -> _Brain:
    ct = settings.ct
    anatomy = draw_anatomy(rng, settings.anatomy, device)
    grid = centred_grid(ct.size, ct.spacing_mm, ct.centre_mm)
    points = grid_points(grid, device)
    tissue, artery, vein = _across_slices(anatomy, points, ct)
    spacing = np.array(ct.spacing_mm)
    noise_grid = grid.coarser(float(spacing[2]))
    noise = torch.cat([smooth_noise(rng, 1, noise_grid.shape, mm / spacing[2], device) for mm in _NOISE_MM])
    noise = sample_field(noise, noise_grid, points, outside="border")
    flow = flow_of(stroke, settings.stroke, tissue, anatomy.template_points(points), noise)
    mask = (tissue.brain > 0.5).float()
    baseline = _baseline(rng, tissue, flow, ct)
    baseline = torch.lerp(baseline, torch.full_like(baseline, ct.vessel_hu), torch.maximum(artery, vein))
    return _Brain(flow, baseline, mask, artery * mask, vein * mask, grid, points)


def _across_slices(anatomy: Anatomy, points: Tensor, ct: CtSettings) -> tuple[Tissue, Tensor, Tensor]:
    """Tissue and shares of arteries and veins, averaged across the thickness of the slices."""
    samples = []
    for step in range(ct.slab_samples):
        across = ((step + 0.5) / ct.slab_samples - 0.5) * ct.spacing_mm[2]
        moved = points + torch.tensor([0.0, 0.0, across], device=points.device)
        tissue = anatomy.at(moved)
        vessels = vessel_fractions(anatomy.template_points(moved))
        samples.append(torch.stack([tissue.t1, tissue.grey, tissue.white, tissue.brain, *vessels]))
    mean = torch.stack(samples).mean(dim=0)
    return Tissue(*mean[:4]), mean[4], mean[5]


def _baseline(rng: np.random.Generator, tissue: Tissue, flow: Flow, ct: CtSettings) -> Tensor:
    """HU (D, H, W) before contrast, fluid where there is no tissue; dead tissue a little darker."""
    grey, white, fluid, lost = (float(rng.uniform(*r)) for r in (ct.grey_hu, ct.white_hu, ct.fluid_hu, ct.core_hu))
    solid = (tissue.grey + tissue.white).clamp(min=1.0)
    tissue_hu = (tissue.grey * (grey - fluid) + tissue.white * (white - fluid)) / solid
    return fluid + tissue_hu - lost * flow.core * flow.brain


def _image(array: Tensor, grid: Grid) -> sitk.Image:
    return grid.to_image(array.cpu().numpy())


def _volume_ml(mask: Tensor, grid: Grid) -> float:
    return round(float(mask.sum()) * float(np.prod(grid.spacing)) / 1000, 2)
