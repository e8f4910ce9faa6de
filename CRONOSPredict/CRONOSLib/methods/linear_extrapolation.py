"""Per-voxel linear extrapolation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from CRONOSLib.flow.aggregation import last_weights
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.untrained import Untrained, clip_to_contexts, per_patient


@dataclass(frozen=True)
class LinearSettings:
    """Settings of the linear extrapolation.

    max_ratio: largest horizon ÷ gap between the last two scans; caps the step when two scans lie close in time
    clip:      widen the contexts' own intensity range by this fraction, and clip the forecast to it
    """

    max_ratio: float = 3.0
    clip: float = 0.05


class LinearExtrapolation(Untrained):
    """Per-voxel line through the last two scans, clipped (METHODS 1.8). One scan gives LCI."""

    def __init__(self, settings: LinearSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or LinearSettings()

    def predict(self, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) I_last + (I_last − I_previous) · horizon / gap."""
        latest = last_weights(batch.times, batch.mask).bool()
        earlier = batch.mask & ~latest
        previous_times = batch.times.masked_fill(~earlier, -torch.inf)
        previous = previous_times.argmax(dim=1)
        gap = batch.last_time - previous_times.amax(dim=1)
        limit = self.settings.max_ratio
        ratio = torch.where(earlier.any(dim=1), (batch.horizon / gap).clamp(-limit, limit), 0.0)
        previous_image = batch.images[torch.arange(len(gap), device=gap.device), previous]
        slope = batch.last_image - previous_image
        return clip_to_contexts(batch, batch.last_image + per_patient(ratio) * slope, self.settings.clip)
