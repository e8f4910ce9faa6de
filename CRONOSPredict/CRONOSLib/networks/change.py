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
        change = self._ungated(outputs, context)
        if self.gate_horizon:
            change = change * _gate(context.horizon, self.gate_horizon)
        if self.background:
            change = change * _body(context, self.background)
        return change

    def _ungated(self, outputs: Tensor, context: SeriesBatch) -> Tensor:
        if not self.candidates:
            return outputs * self.scale
        free, to_mean, along_slope = outputs.chunk(3, dim=2)
        mean, trend = known_changes(context)
        return free * self.scale + to_mean * mean.unsqueeze(1) + along_slope * trend.unsqueeze(1)


def _gate(horizon: Tensor, scale: float) -> Tensor:
    return torch.tanh(horizon.abs() / scale)[:, None, None, None, None, None]


def _body(context: SeriesBatch, background: float) -> Tensor:
    """(B, 1, 1, D, H, W) 1 within about two voxels of anything brighter than the background in any scan, else 0."""
    brightest = torch.where(context.mask[:, :, None, None, None, None], context.images, -torch.inf).amax(dim=(1, 2))
    bright = (brightest > background).float().unsqueeze(1)
    coarse = functional.max_pool3d(bright, 2, ceil_mode=True)
    near = functional.max_pool3d(coarse, 3, stride=1, padding=1)
    return functional.interpolate(near, size=bright.shape[2:], mode="nearest").unsqueeze(1)
