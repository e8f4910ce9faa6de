"""From noise to an image, given what a network thinks of every noisy image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule, Level

SAMPLERS = ("ancestral", "ddim", "dpm++")


@dataclass(frozen=True)
class Sampler:
    """How noise is removed.

    name:     ancestral: fresh noise at every step (DDPM; arXiv 2207.12598, eq. 4)
              ddim:      none but the first (arXiv 2010.02502, η = 0)
              dpm++:     the same, of second order (DPM-Solver++ 2M, arXiv 2211.01095)
    steps:    evaluations of the network, at most those of the schedule
    variance: of ancestral steps: 0 the smaller bound, 1 the larger, between them by log-interpolation

    Raises MethodError for an unknown name or fewer than one step.
    """

    name: str = "dpm++"
    steps: int = 5
    variance: float = 0.3

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise MethodError(f"There is no sampler '{self.name}'. Choose one of {', '.join(SAMPLERS)}.")
        if self.steps < 1:
            raise MethodError(f"A sampler cannot take {self.steps} steps. Ask for 1 or more.")


def sample(
    clean: Callable[[Tensor, Level], Tensor],
    noise: Callable[[], Tensor],
    schedule: DiffusionSchedule,
    sampler: Sampler,
) -> Tensor:
    """Images of the shape of the noise.

    clean: (z, level) ↦ x̂, what the network takes for the image behind z
    noise: a new draw of standard normal noise at every call
    """
    levels = schedule.levels(sampler.steps)
    z = noise()
    before: tuple[Tensor, Level] | None = None
    for now, then in pairwise(levels):
        guess = clean(z, now)
        if sampler.name == "ancestral":
            z = _ancestral(z, guess, now, then, sampler.variance, noise)
        else:
            aim = guess if before is None or sampler.name == "ddim" else _extrapolated(guess, now, then, *before)
            z = then.alpha * aim + then.sigma / now.sigma * (z - now.alpha * aim)
        before = guess, now
    return clean(z, levels[-1])


def _ancestral(
    z: Tensor, guess: Tensor, now: Level, then: Level, variance: float, noise: Callable[[], Tensor]
) -> Tensor:
    """A draw from q(z_then | z_now, x = guess); variance between σ²_then and σ²_now, times 1 − e^(λ_now − λ_then)."""
    ratio = math.exp(now.log_snr - then.log_snr)
    mean = ratio * then.alpha / now.alpha * z + (1 - ratio) * then.alpha * guess
    spread = math.sqrt(1 - ratio) * then.sigma ** (1 - variance) * now.sigma**variance
    return mean + spread * noise()


def _extrapolated(guess: Tensor, now: Level, then: Level, previous: Tensor, past: Level) -> Tensor:
    """x̂ at the middle of the step, on the line through the last two: D_i of DPM-Solver++ 2M, with h = Δλ/2."""
    ratio = (now.log_snr - past.log_snr) / (then.log_snr - now.log_snr)
    return guess + (guess - previous) / (2 * ratio)
