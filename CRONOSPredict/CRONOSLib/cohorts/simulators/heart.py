"""One simulated heart patient: a beat, imaged in short-axis slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.acquisition import AcquisitionSettings, Scanner, draw_scanner
from CRONOSLib.cohorts.simulators.fields import centred_grid, grid_points
from CRONOSLib.cohorts.simulators.heart_beat import Beat, BeatSettings, draw_beat
from CRONOSLib.cohorts.simulators.heart_look import Chest, draw_chest
from CRONOSLib.cohorts.simulators.heart_motion import HeartMotion, draw_motion
from CRONOSLib.cohorts.simulators.heart_shape import DISEASES, LEFT_BLOOD, MYOCARDIUM, RIGHT_BLOOD, draw_shape
from CRONOSLib.imaging.grid import Grid

_REGIONS = {"right_blood": RIGHT_BLOOD, "myocardium": MYOCARDIUM, "left_blood": LEFT_BLOOD}


@dataclass(frozen=True)
class SliceSettings:
    """Geometry of the stored frames (METHODS 13.4), with the true spacing, not stretched.

    field_mm:      of view along x and y
    coverage_mm:   of the stack along the long axis, at most
    spacing_mm:    range of the voxel size in plane
    thickness_mm:  slice thicknesses to choose from
    above_base_mm: how far the stack reaches above the base at end-diastole
    breath_mm:     deviation of every slice's place in plane and through plane, since each is taken in its own breath
    slab_samples:  points averaged across the thickness of a slice
    """

    field_mm: float = 192.0
    coverage_mm: float = 96.0
    spacing_mm: tuple[float, float] = (1.37, 1.68)
    thickness_mm: tuple[float, ...] = (5.0, 6.0, 8.0, 10.0)
    above_base_mm: float = 8.0
    breath_mm: float = 0.7
    slab_samples: int = 2


@dataclass(frozen=True)
class HeartSettings:
    """Settings of a cohort of hearts; every disease is equally likely."""

    diseases: tuple[str, ...] = DISEASES
    beat: BeatSettings = field(default_factory=BeatSettings)
    slices: SliceSettings = field(default_factory=SliceSettings)
    acquisition: AcquisitionSettings = field(
        default_factory=lambda: AcquisitionSettings(
            noise=(0.006, 0.018), bias=(0.1, 0.3), bias_change=0.0, gain=(1.0, 1.0), full_scale=400.0
        )
    )


@dataclass(frozen=True)
class HeartFrame:
    """One frame: the scan as acquired, and the truth on the scan's own grid.

    time_ms:    after the R wave, as written
    activation: true state of the heart, 0 end-diastole to 1 end-systole
    scan:       int16, stored values
    labels:     uint8, 1 right blood, 2 myocardium of the left ventricle, 3 left blood
    volumes_ml: of each region, from the labels
    """

    time_ms: float
    activation: float
    scan: sitk.Image
    labels: sitk.Image
    volumes_ml: dict[str, float]


@dataclass(frozen=True)
class HeartPatient:
    """A patient with frames in the order of time, the motion behind them, and the drawn parameters (JSON-ready).

    motion: in the heart's frame, which is the frame of the scans
    """

    frames: tuple[HeartFrame, ...]
    motion: HeartMotion
    parameters: dict[str, object]


def simulate_heart_patient(
    seed: int | Sequence[int], settings: HeartSettings | None = None, device: str = "cpu"
) -> HeartPatient:
    """A beating heart; the same seed gives the same voxels on the CPU."""
    settings = settings or HeartSettings()
    rng = np.random.default_rng(seed)
    disease = settings.diseases[int(rng.integers(len(settings.diseases)))]
    with torch.inference_mode():
        motion = draw_motion(rng, draw_shape(rng, disease), disease)
        beat = draw_beat(rng, settings.beat)
        session = _draw_session(rng, motion, settings, device)
        frames = tuple(session.frame(rng, beat, index) for index in range(len(beat.times_ms)))
    return HeartPatient(frames, motion, _parameters(disease, motion, beat, session))


@dataclass(frozen=True)
class _Session:
    """What all frames of one patient have in common.

    points: of the slices' middles (D, H, W, 3), each slice where its breath left the heart
    """

    motion: HeartMotion
    settings: HeartSettings
    chest: Chest
    scanner: Scanner
    grid: Grid
    points: Tensor

    def frame(self, rng: np.random.Generator, beat: Beat, index: int) -> HeartFrame:
        """Image the heart."""
        time_ms = beat.times_ms[index]
        jitter = self.settings.beat.jitter_ms * float(rng.standard_normal()) if index else 0.0  # frame 0 is the trigger
        activation = beat.activation(time_ms + jitter)
        scan = self.scanner.acquire(rng, self._signal(activation), self.settings.acquisition)
        shape = self.motion.shape
        labels = shape.labels(self.motion.at_end_diastole(self.points, activation))
        return HeartFrame(
            time_ms=time_ms,
            activation=activation,
            scan=self.grid.to_image(scan.cpu().numpy()),
            labels=self.grid.to_image(labels.cpu().numpy()),
            volumes_ml=_volumes_ml(labels, self.grid),
        )

    def _signal(self, activation: float) -> Tensor:
        """Mean signal (D, H, W) across the thickness of the slices."""
        count, thickness = self.settings.slices.slab_samples, self.grid.spacing[2]
        total = torch.zeros(self.grid.shape, device=self.points.device)
        for step in range(count):
            across = torch.tensor([0.0, 0.0, ((step + 0.5) / count - 0.5) * thickness], device=self.points.device)
            place = self.motion.at_end_diastole(self.points + across, activation)
            total += self.chest.signal(self.motion.shape, place)
        return total.clamp_min(1e-3) / count


def _draw_session(rng: np.random.Generator, motion: HeartMotion, settings: HeartSettings, device: str) -> _Session:
    slices = settings.slices
    chest = draw_chest(rng, motion.shape, device)
    scanner = draw_scanner(rng, settings.acquisition)
    grid = _draw_grid(rng, slices)
    breaths = rng.standard_normal((grid.size[2], 1, 1, 3), dtype=np.float32) * slices.breath_mm
    points = grid_points(grid, device) + torch.from_numpy(breaths).to(device)
    return _Session(motion, settings, chest, scanner, grid, points)


def _draw_grid(rng: np.random.Generator, slices: SliceSettings) -> Grid:
    spacing = round(float(rng.uniform(*slices.spacing_mm)), 2)
    thickness = slices.thickness_mm[int(rng.integers(len(slices.thickness_mm)))]
    across, count = 2 * int(slices.field_mm / spacing / 2), int(slices.coverage_mm / thickness)
    middle = slices.above_base_mm - count * thickness / 2 + float(rng.uniform(-0.5, 0.5)) * thickness
    x, y = rng.uniform(-6, 6, 2)
    return centred_grid((across, across, count), (spacing, spacing, thickness), (x - 14.0, y + 6.0, middle))


def _volumes_ml(labels: Tensor, grid: Grid) -> dict[str, float]:
    voxel_ml = float(np.prod(grid.spacing)) / 1000
    return {name: round(float((labels == value).sum()) * voxel_ml, 2) for name, value in _REGIONS.items()}


def _parameters(disease: str, motion: HeartMotion, beat: Beat, session: _Session) -> dict[str, object]:
    return {
        "disease": disease,
        "ejection_fraction": motion.ejection_fraction,
        "end_diastolic_ml": motion.cavity_ml(0.0),
        "end_systolic_ml": motion.cavity_ml(1.0),
        "heart_rate": 60_000 / beat.length_ms,
        "systole_ms": beat.systole_ms,
        "motion": asdict(motion),
        "noise": session.scanner.noise,
        "bias": session.scanner.bias,
    }
