"""The U-Net of CRONOS as a regression takes it: the scans of a patient and their times to one map of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.networks.scan_encoders import ScanSet
from CRONOSLib.networks.time_embedding import TimeEmbedding, TimeSettings
from CRONOSLib.networks.unet import UNet, UNetSettings


class ContextUNet(nn.Module):
    """Any number of scans, pooled over time, and a U-Net whose every block is told the time."""

    def __init__(self, inputs: int, time: TimeSettings, settings: UNetSettings) -> None:
        super().__init__()
        self.time = TimeEmbedding(time, settings.embedding)
        self.scans = ScanSet(inputs, settings.width, settings.embedding, slots=0)
        self.unet = UNet(settings)

    def forward(self, scans: Tensor, batch: SeriesBatch, beside: Tensor | None = None) -> Tensor:
        """(B, width, d, h, w).

        scans:  (B, T, inputs, d, h, w), folded scans of the batch, axes multiples of 2^(levels − 1)
        beside: (B, width, d, h, w), added to the features of the scans
        """
        at_start = torch.zeros_like(batch.target_time)
        per_scan, per_patient = self.time(batch.times, batch.mask, batch.target_time, at_start)
        _, features = self.scans(scans, batch, per_scan)
        return self.unet(features if beside is None else features + beside, per_patient)
