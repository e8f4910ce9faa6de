"""Per-voxel ridge line."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.time_codes import slope_weights
from CRONOSLib.methods.untrained import Untrained, clip_to_contexts, per_patient


@dataclass(frozen=True)
class RidgeSettings:
    """Settings of the ridge line.

    shrinkage: added to the spread of the visits Σ (t_i − t̄)², the longer of the scans' span and the horizon being 1;
               pulls the slope to 0. 1 leaves a third of the slope of three even visits: a compromise of scans that
               drift with those that jump
    clip:      widen the contexts' own intensity range by this fraction, and clip the forecast to it
    """

    shrinkage: float = 1.0
    clip: float = 0.05


class RidgeLine(Untrained):
    """Per-voxel least-squares slope, shrunk to zero, laid through the last scan (METHODS 2). One scan gives LCI."""

    def __init__(self, settings: RidgeSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or RidgeSettings()

    def predict(self, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) I_last + horizon · Σ (t_i − t̄) I_i / (Σ (t_i − t̄)² + shrinkage · max(span, horizon)²)."""
        first = batch.times.masked_fill(~batch.mask, torch.inf).amin(dim=1)
        longest = torch.maximum(batch.last_time - first, batch.horizon.abs())[:, None]
        weights = slope_weights(batch.times, batch.mask, self.settings.shrinkage * longest.square())
        images = torch.where(batch.mask[:, :, None, None, None, None], batch.images, 0)
        slope = torch.einsum("bt,bt...->b...", weights, images)
        return clip_to_contexts(batch, batch.last_image + per_patient(batch.horizon) * slope, self.settings.clip)
