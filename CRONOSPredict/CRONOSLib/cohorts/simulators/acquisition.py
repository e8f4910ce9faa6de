"""The scanner: patient position, coil shading, gain and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.fields import rotation

_HEAD_CENTRE = np.array([0.0, 17.0, 20.0])  # LPS, mm


@dataclass(frozen=True)
class AcquisitionSettings:
    """Imperfections of one scan (METHODS 13.3).

    shift_mm, turn_degrees: largest motion along or about one axis; the defaults are what registration leaves,
                            2 mm and 2 degrees is an unregistered patient
    noise:        range of the Rician σ relative to full scale
    bias:         range of the coil shading's peak, relative
    bias_change:  share of the shading that is new at every visit; the rest belongs to the patient
    gain:         range of the scanner's gain, new at every visit
    full_scale:   stored value of signal 1 at gain 1
    """

    shift_mm: float = 0.5
    turn_degrees: float = 0.5
    noise: tuple[float, float] = (0.01, 0.04)
    bias: tuple[float, float] = (0.05, 0.20)
    bias_change: float = 0.25
    gain: tuple[float, float] = (0.8, 1.2)
    full_scale: float = 800.0


@dataclass(frozen=True)
class Position:
    """Rigid motion of the head: p' = R (p − h) + h + t, h the middle of the head."""

    matrix: np.ndarray
    offset: np.ndarray


def draw_position(rng: np.random.Generator, settings: AcquisitionSettings) -> Position:
    """Where the head lies at one visit."""
    matrix = rotation(rng.uniform(-1, 1, 3) * settings.turn_degrees)
    shift = rng.uniform(-1, 1, 3) * settings.shift_mm
    return Position(matrix, _HEAD_CENTRE - matrix @ _HEAD_CENTRE + shift)


@dataclass(frozen=True)
class Scanner:
    """One patient's scanner: noise level, shading strength, and the shading's lasting part.

    noise: Rician σ relative to full scale
    bias:  peak of the shading, relative
    shading: coefficients (19,) of a cubic polynomial
    """

    noise: float
    bias: float
    shading: np.ndarray

    def acquire(self, rng: np.random.Generator, signal: Tensor, settings: AcquisitionSettings) -> Tensor:
        """Stored values int16 (d, h, w) of `signal` (d, h, w); 0 stays 0, as in a skull-stripped scan."""
        change = settings.bias_change
        shading = (1 - change) * self.shading + change * _draw_shading(rng)
        gain = float(rng.uniform(*settings.gain))
        shaded = signal * (gain * torch.exp(_polynomial(shading, signal) * self.bias))
        first, second = torch.from_numpy(rng.standard_normal((2, *signal.shape), dtype=np.float32)).to(signal.device)
        sigma = self.noise * gain
        noisy = torch.sqrt((shaded + sigma * first) ** 2 + (sigma * second) ** 2)  # Rician
        stored = (noisy * settings.full_scale).round().clamp(1, 32767)
        return torch.where(signal > 0, stored, torch.zeros_like(stored)).to(torch.int16)


def draw_scanner(rng: np.random.Generator, settings: AcquisitionSettings) -> Scanner:
    """Noise and shading of one patient's scans."""
    return Scanner(float(rng.uniform(*settings.noise)), float(rng.uniform(*settings.bias)), _draw_shading(rng))


def _draw_shading(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(19)


def _polynomial(coefficients: np.ndarray, like: Tensor) -> Tensor:
    """Cubic polynomial over the grid of `like` (d, h, w), scaled to a largest value of 1 in magnitude."""
    z, y, x = (torch.linspace(-1, 1, n, dtype=like.dtype, device=like.device) for n in like.shape)
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    powers = [(a, b, c) for a in range(4) for b in range(4) for c in range(4) if 0 < a + b + c <= 3]
    total = torch.zeros_like(like)
    for weight, (a, b, c) in zip(coefficients, powers, strict=True):
        total = total + float(weight) / (a + b + c) * (x**a * y**b * z**c)
    return total / total.abs().max()
