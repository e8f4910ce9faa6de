"""LCI: copying the last scan."""

from __future__ import annotations

from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.untrained import Untrained


class LastContextImage(Untrained):
    """LCI: copy the last scan. The baseline of every skill in this project."""

    def predict(self, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) the last scan."""
        return batch.last_image
