"""What a glioma looks like on a T1 scan after contrast: bright ring, dark core, grey halo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.anatomy import Tissue

NECROSIS, OEDEMA, ENHANCING = 1, 2, 3  # values of the label map
_FLUID_SIGNAL = 0.15


@dataclass(frozen=True)
class AppearanceSettings:
    """Ranges from which a patient's look is drawn (METHODS 13.3); signal of white matter is .70.

    *_density: cell density at which a region begins
    *_signal:  T1 signal of enhancing rim and necrosis; signal lost in oedema
    irregularity: deviation of the local density thresholds
    """

    oedema_density: tuple[float, float] = (0.08, 0.25)
    enhancing_density: tuple[float, float] = (0.55, 0.75)
    necrosis_density: tuple[float, float] = (0.88, 0.95)
    oedema_loss: tuple[float, float] = (0.10, 0.20)
    enhancing_signal: tuple[float, float] = (0.88, 1.05)
    necrosis_signal: tuple[float, float] = (0.18, 0.32)
    irregularity: float = 0.06


@dataclass(frozen=True)
class Appearance:
    """One patient's look; fields as in AppearanceSettings."""

    oedema_density: float
    enhancing_density: float
    necrosis_density: float
    oedema_loss: float
    enhancing_signal: float
    necrosis_signal: float
    irregularity: float

    def labels(self, density: Tensor, threshold_noise: Tensor) -> Tensor:
        """Label map uint8 (d, h, w): 0 no tumour, 1 necrosis, 2 oedema, 3 enhancing."""
        local = self._local(density, threshold_noise)
        labels = torch.zeros_like(density, dtype=torch.uint8)
        labels[local > self.oedema_density] = OEDEMA
        labels[local > self.enhancing_density] = ENHANCING
        labels[local > self.necrosis_density] = NECROSIS
        return labels

    def signal(
        self, tissue: Tissue, density: Tensor, cavity: Tensor, threshold_noise: Tensor, texture: Tensor
    ) -> Tensor:
        """T1 signal (d, h, w) of brain and tumour, 0 outside the brain.

        density: (d, h, w), 0 to 1
        cavity:  (d, h, w), 1 where surgery left fluid
        threshold_noise, texture: (d, h, w), unit deviation, fixed to the tissue
        """
        local = self._local(density, threshold_noise)
        oedema = torch.sigmoid((local - self.oedema_density) / 0.03)
        enhancing = torch.sigmoid((local - self.enhancing_density) / 0.03)
        necrosis = torch.sigmoid((local - self.necrosis_density) / 0.01)
        solid = (tissue.grey + tissue.white).clamp(0, 1)
        signal = tissue.t1 * (1 + 0.015 * texture) - self.oedema_loss * oedema * solid
        signal = torch.lerp(signal, self.enhancing_signal * (1 + 0.07 * texture), enhancing * solid)
        signal = torch.lerp(signal, self.necrosis_signal * (1 + 0.08 * texture), necrosis * solid)
        signal = torch.lerp(signal, _FLUID_SIGNAL * torch.ones_like(signal), cavity)
        return signal.clamp_min(0) * tissue.brain

    def _local(self, density: Tensor, noise: Tensor) -> Tensor:
        """Density with locally shifted thresholds; the shift vanishes where cells are absent or packed."""
        return density + self.irregularity * noise * 4 * density * (1 - density)


def draw_appearance(rng: np.random.Generator, settings: AppearanceSettings) -> Appearance:
    """A patient's look, every value uniform in its range."""

    def draw(bounds: tuple[float, float]) -> float:
        return float(rng.uniform(*bounds))

    return Appearance(
        oedema_density=draw(settings.oedema_density),
        enhancing_density=draw(settings.enhancing_density),
        necrosis_density=draw(settings.necrosis_density),
        oedema_loss=draw(settings.oedema_loss),
        enhancing_signal=draw(settings.enhancing_signal),
        necrosis_signal=draw(settings.necrosis_signal),
        irregularity=settings.irregularity,
    )
