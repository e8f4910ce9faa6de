"""What the outputs of a network stand for: a change of the last scan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.flow.known_changes import known_changes
from CRONOSLib.flow.series_batch import SeriesBatch


@dataclass(frozen=True)
class Change:
    """How outputs become a change of the last scan; outputs of 0 are no change.

    scale:        normalised intensity that an output of 1 stands for: scans differ by a few per cent, and without it
                  the first steps of training overshoot that many times over
    candidates:   beside a free change, weigh two changes that need no learning, voxel by voxel: to the mean of the
                  scans, and along their least-squares slope; so that training starts from what baselines know
    gate_horizon: |t* − t_last| at which the change has reached 76 % of its strength, so that t* = t_last gives the last
                  scan exactly; 0 switches the gate off
    background:   normalised intensity below which all scans count as air; no change is forecast in air, but for about
                  two voxels around what is not. 0: everywhere
    """

    scale: float = 0.1
    candidates: bool = True
    gate_horizon: float = 0.05
    background: float = 0.05

    @property
    def outputs(self) -> int:
        """Outputs per image channel."""
        return 3 if self.candidates else 1

    def __call__(self, outputs: Tensor, context: SeriesBatch) -> Tensor:
        """(B, T, C, D, H, W) change from the last scan; `outputs` (B, T, n·C, D, H, W) with n = `self.outputs`."""
        return self.weighed(outputs, self.candidates_of(context))

    def weighed(self, outputs: Tensor, candidates: Tensor) -> Tensor:
        """(B, T, …) sum over the n candidates (B, n·…) of each times its output (B, T, n·…), float32.

        In the precision of the outputs until then: on a CPU, whole volumes in float32 took a tenth of a training step.
        """
        first, *others = outputs.chunk(self.outputs, dim=2)
        free, *known = candidates.to(outputs.dtype).unsqueeze(1).chunk(self.outputs, dim=2)
        total = first * free
        for output, candidate in zip(others, known, strict=True):
            total = torch.addcmul(total, output, candidate)
        return total.float()

    def candidates_of(self, context: SeriesBatch) -> Tensor:
        """(B, n·C, D, H, W) the change that an output of 1 stands for."""
        free = torch.full_like(context.last_image, self.scale)
        candidates = torch.cat([free, *known_changes(context)] if self.candidates else [free], dim=1)
        if self.gate_horizon:
            candidates = candidates * _gate(context.horizon, self.gate_horizon)
        if self.background:
            candidates = candidates * _body(context, self.background)
        return candidates


def _gate(horizon: Tensor, scale: float) -> Tensor:
    return torch.tanh(horizon.abs() / scale)[:, None, None, None, None]


def _body(context: SeriesBatch, background: float) -> Tensor:
    """(B, 1, D, H, W) 1 within about two voxels of anything brighter than the background in any scan, else 0."""
    brightest = context.without_padding.images.amax(dim=(1, 2))
    bright = (brightest > background).float().unsqueeze(1)
    coarse = functional.max_pool3d(bright, 2, ceil_mode=True)
    near = functional.max_pool3d(coarse, 3, stride=1, padding=1)
    return functional.interpolate(near, size=bright.shape[2:], mode="nearest")
