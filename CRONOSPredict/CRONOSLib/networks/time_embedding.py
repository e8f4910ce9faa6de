"""From times to the vectors that modulate the network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from CRONOSLib.flow.time_codes import fourier_features, ordered_features, shifted_times, sinusoidal_features


class TimeCode(Enum):
    """What the network is told about time (METHODS 8.1–8.4).

    ORDERED:    every scan knows its own t* − t_i, its age and the horizon; τ apart. Ours.
    MEAN:       Fourier features of the shifted times T_τ, averaged over the scans: the paper
    SUM:        sinusoidal features of the shifted times, summed over the scans: the release with its mask undone
    FLOW_STEP:  τ alone: the paper's discrete variant
    OFF:        nothing: the release as it runs
    """

    ORDERED = "ordered"
    MEAN = "mean"
    SUM = "sum"
    FLOW_STEP = "flow-step"
    OFF = "off"


@dataclass(frozen=True)
class TimeSettings:
    """How times are encoded.

    code:        which code
    frequencies: of the Fourier features, in cycles per unit of the network's time
    """

    code: TimeCode = TimeCode.ORDERED
    frequencies: tuple[float, ...] = (0.25, 0.5, 1.0)


class TimeEmbedding(nn.Module):
    """Times to one vector per scan (B, T, E) and one per patient (B, E)."""

    def __init__(self, settings: TimeSettings, size: int) -> None:
        super().__init__()
        self.settings = settings
        self.size = size
        self.encode = nn.Sequential(nn.Linear(self._features, size), nn.SiLU(), nn.Linear(size, size), nn.SiLU())

    @property
    def _features(self) -> int:
        count = len(self.settings.frequencies)
        code = self.settings.code
        return {TimeCode.ORDERED: 5 + 6 * count, TimeCode.MEAN: 2 * count, TimeCode.FLOW_STEP: 1 + 2 * count}.get(
            code, self.size
        )

    def forward(self, times: Tensor, mask: Tensor, target_time: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of each scan (B, T, E) and of the patient (B, E).

        times, mask: (B, T); target_time, tau: (B,)
        """
        code, frequencies = self.settings.code, self.settings.frequencies
        if code is TimeCode.ORDERED:
            per_scan = self.encode(ordered_features(times, mask, target_time, tau, frequencies))
            return per_scan, _mean(per_scan, mask)
        if code is TimeCode.MEAN:
            pooled = _mean(fourier_features(shifted_times(times, target_time, tau), frequencies), mask)
        elif code is TimeCode.SUM:
            features = sinusoidal_features(shifted_times(times, target_time, tau), self.size)
            pooled = torch.where(mask[..., None], features, 0).sum(dim=1)
        elif code is TimeCode.FLOW_STEP:
            pooled = torch.cat([tau[:, None], fourier_features(tau, frequencies)], dim=-1)
        else:
            pooled = tau.new_zeros(len(tau), self.size)
        embedding = self.encode(pooled)
        return embedding[:, None].expand(-1, times.shape[1], -1), embedding


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[..., None], values, 0).sum(dim=1) / mask.sum(dim=1, keepdim=True)
