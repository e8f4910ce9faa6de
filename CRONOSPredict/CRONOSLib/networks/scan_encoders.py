"""How the scans of a patient become one feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.known_changes import SLOPE_SHRINKAGE
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.time_codes import slope_weights
from CRONOSLib.networks.blocks import modulate, zeroed


class ScanSet(nn.Module):
    """Any number of scans: a shared encoder told each scan's time, then three contrasts over time.

    The contrasts are the last scan, the mean, and the least-squares slope times the horizon: what a level, a trend
    and a forecast need, none of which depends on the order in which the scans are given. Cost is linear in T.
    """

    def __init__(self, inputs: int, width: int, embedding: int, slots: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, width, 3, padding=1)
        self.modulation = zeroed(nn.Linear(embedding, 2 * width))
        self.merge = nn.Conv3d(3 * width, width, 1)

    def forward(self, inputs: Tensor, context: SeriesBatch, per_scan: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each scan (B, T, width, d, h, w) and of the patient (B, width, d, h, w).

        inputs:   (B, T, inputs, d, h, w)
        per_scan: (B, T, E), time embedding of each scan
        """
        features = modulate(self.conv(inputs.flatten(0, 1)), self.modulation(per_scan.flatten(0, 1)))
        features = functional.silu(features).unflatten(0, inputs.shape[:2])
        pooled = torch.einsum("bkt,btcdhw->bkcdhw", self._contrasts(context).to(features.dtype), features)
        return features, self.merge(pooled.flatten(1, 2))

    def _contrasts(self, context: SeriesBatch) -> Tensor:
        """(B, 3, T) weights of the last scan, the mean and the slope; 0 for padding."""
        times, mask = context.times, context.mask
        last = functional.one_hot(times.masked_fill(~mask, -torch.inf).argmax(dim=1), times.shape[1])
        mean = mask / mask.sum(dim=1, keepdim=True)
        slope = slope_weights(times, mask, SLOPE_SHRINKAGE) * context.horizon[:, None]
        return torch.stack([last.to(times.dtype), mean.to(times.dtype), slope], dim=1)


class ScanStack(nn.Module):
    """Scans as channels, at most `slots` of them; which slots hold a scan is told beside."""

    def __init__(self, inputs: int, width: int, embedding: int, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.conv = nn.Conv3d(inputs * slots, width, 3, padding=1)

    def forward(self, inputs: Tensor, context: SeriesBatch, per_scan: Tensor) -> tuple[None, Tensor]:
        """No features of single scans, and those of the patient (B, width, d, h, w).

        Raises MethodError when there are more scans than slots.
        """
        count = inputs.shape[1]
        if count > self.slots:
            raise MethodError(f"The network takes {self.slots} scans, not {count}. Leave {count - self.slots} out.")
        padded = functional.pad(inputs, (0, 0) * 4 + (0, self.slots - count))
        return None, self.conv(padded.flatten(1, 2))
