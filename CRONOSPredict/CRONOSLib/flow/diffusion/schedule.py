"""How much noise there is at each diffusion step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from CRONOSLib.errors import MethodError


class Schedule(Enum):
    """How the log signal-to-noise ratio falls with the diffusion step.

    COSINE: λ = −2 ln tan(a u + b) with u = k/K (Ho & Salimans, arXiv 2207.12598, section 3.2)
    LINEAR: the noise added per step grows linearly (Ho et al., arXiv 2006.11239)
    """

    COSINE = "cosine"
    LINEAR = "linear"


@dataclass(frozen=True)
class DiffusionSchedule:
    """z_k = α_k x + σ_k ε with α² = 1/(1 + e^−λ_k) and σ² = 1 − α², for the diffusion steps k = 1 … K.

    steps:         K
    betas:         variance added at the first and at the last step of the linear schedule
    log_snr_range: λ at K and at 0 of the cosine schedule
    """

    kind: Schedule = Schedule.COSINE
    steps: int = 1000
    betas: tuple[float, float] = (1e-4, 0.02)
    log_snr_range: tuple[float, float] = (-20.0, 20.0)

    def log_snr(self) -> Tensor:
        """(K,) λ_1 … λ_K, float64, falling."""
        if self.kind is Schedule.LINEAR:
            kept = (1 - torch.linspace(*self.betas, self.steps, dtype=torch.double)).cumprod(dim=0)  # α²
            return kept.log() - torch.log1p(-kept)
        noisiest, cleanest = (math.atan(math.exp(-value / 2)) for value in self.log_snr_range)
        share = torch.arange(1, self.steps + 1, dtype=torch.double) / self.steps
        return -2 * torch.tan(cleanest + (noisiest - cleanest) * share).log()

    def levels(self, count: int) -> list[Level]:
        """`count` equally spaced levels, from step K downwards; the step after the last of them is the clean image.

        Raises MethodError when there are fewer steps than that.
        """
        if not 1 <= count <= self.steps:
            raise MethodError(f"A sampler cannot take {count} steps here. Ask for 1 to {self.steps}.")
        table = self.log_snr()
        chosen = [round(self.steps * (count - index) / count) for index in range(count)]
        return [Level(step / self.steps, float(table[step - 1])) for step in chosen]


@dataclass(frozen=True)
class Level:
    """Where a sampler is.

    share:   k/K, in (0, 1]
    log_snr: λ_k
    """

    share: float
    log_snr: float

    @property
    def alpha(self) -> float:
        """Share of the image."""
        return (1 + math.exp(-self.log_snr)) ** -0.5

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise."""
        return (1 + math.exp(self.log_snr)) ** -0.5


def alpha_sigma(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """α and σ at each λ (…), float32."""
    return torch.sigmoid(log_snr).sqrt().float(), torch.sigmoid(-log_snr).sqrt().float()
