"""Changes from the last scan that need no learning: what a network may start from."""

from __future__ import annotations

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.time_codes import slope_weights

SLOPE_SHRINKAGE = 0.02
"""Time² added to the spread of the visits in a slope, so that close visits give no wild trend."""


def known_changes(batch: SeriesBatch) -> tuple[Tensor, Tensor]:
    """(B, C, D, H, W) changes from the last scan to the mean of the scans, and along their slope to the target."""
    images = batch.without_padding.images
    mean = images.sum(dim=1) / batch.mask.sum(dim=1)[:, None, None, None, None]
    weights = slope_weights(batch.times, batch.mask, SLOPE_SHRINKAGE) * batch.horizon[:, None]
    return mean - batch.last_image, torch.einsum("bt,bt...->b...", weights, images)
