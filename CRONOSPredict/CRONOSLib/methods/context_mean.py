"""The mean of the context scans."""

from __future__ import annotations

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.untrained import Untrained


class ContextMean(Untrained):
    """Mean of the context scans."""

    def predict(self, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) mean over the true scans."""
        mask = batch.mask[:, :, None, None, None, None]
        return torch.where(mask, batch.images, 0).sum(dim=1) / mask.sum(dim=1)
