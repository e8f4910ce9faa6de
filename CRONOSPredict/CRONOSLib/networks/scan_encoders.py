"""How the scans of a patient become one feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.known_changes import SLOPE_SHRINKAGE
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import Filling
from CRONOSLib.flow.time_codes import slope_weights
from CRONOSLib.networks.blocks import Conv3d, zeroed
from CRONOSLib.networks.modulation import modulate


class ScanSet(nn.Module):
    """Any number of scans: a shared encoder told each scan's time, then three contrasts over time.

    The contrasts are the last scan, the mean, and the least-squares slope times the horizon: what a level, a trend
    and a forecast need, none of which depends on the order in which the scans are given. Cost is linear in T.
    """

    def __init__(self, inputs: int, width: int, embedding: int, slots: int) -> None:
        super().__init__()
        self.conv = Conv3d(inputs, width, 3, padding=1)
        self.modulation = zeroed(nn.Linear(embedding, 2 * width))
        self.merge = nn.Conv3d(3 * width, width, 1)

    def forward(
        self, inputs: Tensor, context: SeriesBatch, per_scan: Tensor, filling: None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Features of each of the T scans and of the patient, all (B, width, d, h, w).

        inputs:   (B, T, inputs, d, h, w)
        per_scan: (B, T, E), time embedding of each scan
        """
        # One scan at a time: as one tensor, their gradients would lose the order of voxels that convolutions work in.
        modulations = self.modulation(per_scan).unbind(1)
        features = [
            functional.silu(modulate(self.conv(scan), modulation))
            for scan, modulation in zip(inputs.unbind(1), modulations, strict=True)
        ]
        return features, self._merged(features, self._contrasts(context))

    def _merged(self, features: list[Tensor], contrasts: Tensor) -> Tensor:
        """(B, width, d, h, w) `merge` of the contrasts (B, 3, T) of the features.

        Σ_k W_k Σ_t c_kt f_t = Σ_t (Σ_k c_kt W_k) f_t: weights are summed in place of volumes, and every voxel stays a
        row of channels. The contrasts as volumes took a sixth of a training step.
        """
        weights = self.merge.weight.view(self.merge.out_channels, contrasts.shape[1], -1)
        per_scan = torch.einsum("bkt,okc->btco", contrasts, weights).unbind(1)
        rows = [scan.permute(0, 2, 3, 4, 1).flatten(1, 3) for scan in features]
        assert self.merge.bias is not None
        merged = self.merge.bias.to(rows[0].dtype)
        for row, weight in zip(rows, per_scan, strict=True):
            merged = merged + torch.matmul(row, weight)
        return merged.unflatten(1, features[0].shape[2:]).permute(0, 4, 1, 2, 3)

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
        self.conv = Conv3d(inputs * slots, width, 3, padding=1)

    def forward(
        self, inputs: Tensor, context: SeriesBatch, per_scan: Tensor, filling: Filling | None = None
    ) -> tuple[None, Tensor]:
        """No features of single scans, and those of the patient (B, width, d, h, w).

        filling: which scan stands in which slot; None: the scans stand in the first slots in turn

        Raises MethodError when there are more scans than slots.
        """
        count = inputs.shape[1]
        if filling is not None:
            return None, self._filled(inputs, functional.one_hot(filling.scan, count))
        if count > self.slots:
            raise MethodError(f"The network takes {self.slots} scans, not {count}. Leave {count - self.slots} out.")
        padded = functional.pad(inputs, (0, 0) * 4 + (0, self.slots - count))
        return None, self.conv(padded.flatten(1, 2))

    def _filled(self, inputs: Tensor, scan_of_slot: Tensor) -> Tensor:
        """`conv` of the scans in their slots, (B, slots, T) `scan_of_slot`.

        Σ_s W_s x_scan(s) = Σ_t (Σ_s∈t W_s) x_t: weights are summed in place of scans repeated.
        """
        by_slot = self.conv.weight.unflatten(1, (self.slots, -1))
        by_scan = torch.einsum("osi...,bst->boti...", by_slot, scan_of_slot.to(by_slot.dtype)).flatten(2, 3)
        patients = inputs.flatten(1, 2).split(1)
        return torch.cat([self.conv.convolved(x, w, self.conv.bias) for x, w in zip(patients, by_scan, strict=True)])
