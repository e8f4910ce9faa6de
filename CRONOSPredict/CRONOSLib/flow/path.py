"""The straight path from every context scan to the target, and how training draws flow steps on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor


class NoiseSchedule(Enum):
    """How the noise σ(τ) of a path depends on the flow step."""

    CONSTANT = "constant"
    BRIDGE = "bridge"


@dataclass(frozen=True)
class PathSample:
    """One point per context scan, with the velocity there.

    point:    (B, T, C, D, H, W), X_τ
    velocity: (B, T, C, D, H, W), u = X₁ − X₀
    """

    point: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class StraightPath:
    """X_τ = (1 − τ) X₀ + τ X₁ + σ(τ) ε, with X₁ the target broadcast over the T context scans (CRONOS, eq. 2).

    The coupling is paired: a patient's contexts always go to the same patient's target.

    sigma:    standard deviation of ε in normalised intensity, ≥ 0
    schedule: constant σ, or the bridge σ √(τ(1 − τ)) that vanishes at both ends
    """

    sigma: float = 0.0
    schedule: NoiseSchedule = NoiseSchedule.CONSTANT

    def sample(self, context: Tensor, target: Tensor, tau: Tensor) -> PathSample:
        """Point and velocity on the path.

        context: (B, T, C, D, H, W), X₀
        target:  (B, C, D, H, W)
        tau:     (B,), flow step in [0, 1]
        """
        broadcast = target.unsqueeze(1).expand_as(context)
        tau = tau.view(-1, 1, 1, 1, 1, 1)
        point = torch.lerp(context, broadcast, tau)
        if self.sigma:
            point = point + self._noise_level(tau) * torch.randn_like(point)
        return PathSample(point=point, velocity=broadcast - context)

    def _noise_level(self, tau: Tensor) -> Tensor:
        if self.schedule is NoiseSchedule.BRIDGE:
            return self.sigma * torch.sqrt(tau * (1 - tau))
        return self.sigma * torch.ones_like(tau)


def draw_flow_steps(count: int, at_start: float, device: torch.device) -> Tensor:
    """Flow steps for training: (count,), uniform in [0, 1] but exactly 0 with probability `at_start`.

    A solver always evaluates the velocity at τ = 0, where only the contexts are visible and forecasting is hardest;
    uniform draws (`at_start` = 0, as published) almost never train there.
    """
    tau = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < at_start, torch.zeros_like(tau), tau)
