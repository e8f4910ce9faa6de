"""Contrast in the blood: the arterial bolus, and what reaches tissue after its transit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BLOOD_PER_CBV = 1.05 / 100
"""Volume fraction of blood at a CBV of 1 ml/100 g, the tissue weighing 1.05 g/ml."""
ARTERY_MTT_S = 0.5
"""Transit time that stands for no transit: the bolus itself."""
_STEP_S = 0.1
_MTT_S = (ARTERY_MTT_S, 40.0)
_TRANSITS = 96


@dataclass(frozen=True)
class BolusSettings:
    """Ranges from which a patient's arterial curve is drawn (METHODS 13.5).

    arrival_s, shape, scale_s: t0, a and b of the gamma variate
    peak_hu:             enhancement of a large artery
    recirculation:       second passage relative to the first
    recirculation_s:     its delay
    dispersion_s:        how far it is drawn out
    plateau:             share of the transit time during which no contrast has left the tissue
    """

    arrival_s: tuple[float, float] = (5.0, 15.0)
    shape: tuple[float, float] = (2.0, 4.0)
    scale_s: tuple[float, float] = (1.5, 3.0)
    peak_hu: tuple[float, float] = (250.0, 485.0)
    recirculation: tuple[float, float] = (0.2, 0.3)
    recirculation_s: tuple[float, float] = (15.0, 20.0)
    dispersion_s: tuple[float, float] = (4.0, 7.0)
    plateau: tuple[float, float] = (0.5, 0.8)


@dataclass(frozen=True)
class Bolus:
    """One patient's arterial curve; fields as in BolusSettings."""

    arrival_s: float
    shape: float
    scale_s: float
    peak_hu: float
    recirculation: float
    recirculation_s: float
    dispersion_s: float
    plateau: float

    @property
    def peak_s(self) -> float:
        """Time of the arterial peak, a·b after the arrival."""
        return self.arrival_s + self.shape * self.scale_s

    def first_pass(self, time: Tensor) -> Tensor:
        """Enhancement in HU at times in s: peak · (x/ab)^a · exp(a − x/b), x = t − t0."""
        passed = (time - self.arrival_s).clamp(min=0) / (self.shape * self.scale_s)
        return self.peak_hu * passed**self.shape * torch.exp(self.shape * (1 - passed))

    def arterial(self, time: Tensor) -> Tensor:
        """First passage and recirculation at evenly spaced times (N,) in s."""
        step = float(time[1] - time[0])
        again = _convolve(self.first_pass(time - self.recirculation_s), self._dispersion(time - time[0]), step)
        return self.first_pass(time) + self.recirculation * again

    def residue(self, time: Tensor, mtt: Tensor) -> Tensor:
        """Share of the contrast still in the tissue, 1 on the plateau, then exponential; its integral is the MTT."""
        held = self.plateau * mtt
        return torch.where(time < held, 1.0, torch.exp(-(time - held) / ((1 - self.plateau) * mtt)))

    def _dispersion(self, time: Tensor) -> Tensor:
        return torch.exp(-time / self.dispersion_s) / self.dispersion_s


@dataclass(frozen=True)
class Transit:
    """Mean enhancement of the blood in tissue, (AIF * R)(t)/MTT in HU, tabulated.

    table: (transits, times): MTT evenly spaced in its logarithm, times 0, 0.1, 0.2, … s
    """

    table: Tensor

    def enhancement(self, time_s: float, delay_s: Tensor, mtt_s: Tensor) -> Tensor:
        """HU of the blood (N,) in tissue of the given MTT, the bolus arriving `delay_s` after the artery's."""
        times = self.table.shape[1]
        low, high = (math.log(value) for value in _MTT_S)
        across = (time_s - delay_s) / _STEP_S * (2 / (times - 1)) - 1
        down = (mtt_s.clamp(*_MTT_S).log() - low) / (high - low) * 2 - 1
        where = torch.stack([across, down], dim=-1)[None, None]
        return functional.grid_sample(self.table[None, None], where, padding_mode="border", align_corners=True).view(-1)


def transit_of(bolus: Bolus, duration_s: float, device: torch.device | str = "cpu") -> Transit:
    """The table of a patient's bolus, long enough for `duration_s`."""
    time = torch.arange(int(duration_s / _STEP_S) + 2, dtype=torch.float64) * _STEP_S
    shortest, longest = (math.log(value) for value in _MTT_S)
    mtt = torch.exp(torch.linspace(shortest, longest, _TRANSITS, dtype=torch.float64))
    residue = bolus.residue(time, mtt[:, None]) / mtt[:, None]
    table = _convolve(bolus.arterial(time)[None], residue, _STEP_S)
    return Transit(table.to(device, torch.float32))


def draw_bolus(rng: np.random.Generator, settings: BolusSettings) -> Bolus:
    """A patient's bolus, every value uniform in its range."""
    return Bolus(**{name: float(rng.uniform(*bounds)) for name, bounds in vars(settings).items()})


def _convolve(curve: Tensor, kernel: Tensor, step_s: float) -> Tensor:
    """∫ curve(t − s) kernel(s) ds at the times of `curve` (…, N), by the trapezoidal rule."""
    count = curve.shape[-1]
    weighted = kernel.clone()
    weighted[..., 0] /= 2
    spectrum = torch.fft.rfft(curve, n=2 * count) * torch.fft.rfft(weighted, n=2 * count)
    return torch.fft.irfft(spectrum, n=2 * count)[..., :count] * step_s
