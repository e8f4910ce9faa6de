"""How sharp a forecast is beside the truth, from power spectra alone: no trained network judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.evaluation.metrics import Volume, clipped_pair

_FLOOR = 1e-12  # of the largest power: below it is rounding, not image


@dataclass(frozen=True)
class Sharpness:
    """Radial power spectra of forecast and truth, in decades of power.

    distance: mean |log₁₀ P_forecast(f) / P_truth(f)| over the radial frequencies f; 0 for equal spectra
    detail:   mean log₁₀ ratio over the upper half of them; below 0 is blurrier than the truth, above 0 noisier
    """

    distance: float
    detail: float


def sharpness(forecast: ArrayLike, truth: ArrayLike) -> Sharpness:
    """Compare the radially averaged power spectra of two volumes, (D, H, W) normalised intensity.

    Frequencies are in cycles per voxel, from the first above 0 to 0.5. Raises ImageError when the shapes differ.
    """
    x, y, _ = clipped_pair(forecast, truth)
    spectra = [np.maximum(power, _FLOOR * power.max()) for power in (radial_power(x), radial_power(y))]
    ratio = np.log10(spectra[0] / spectra[1]) if all(power.max() > 0 for power in spectra) else np.full(1, np.nan)
    return Sharpness(float(np.abs(ratio).mean()), float(ratio[len(ratio) // 2 :].mean()))


def radial_power(volume: Volume) -> NDArray[np.float64]:
    """Mean of |FFT|² over shells of equal |f|, 0 < |f| ≤ 0.5 cycles per voxel; as many as half the shortest axis."""
    power = np.abs(np.fft.fftn(volume)) ** 2
    axes = np.meshgrid(*(np.fft.fftfreq(size) for size in volume.shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    count = max(1, min(volume.shape) // 2)
    shell = np.ceil(radius / 0.5 * count).astype(int).ravel()  # 0: the mean; above count: corners of the cube
    sums = np.bincount(shell, weights=power.ravel())[1 : count + 1]
    return sums / np.bincount(shell)[1 : count + 1]
