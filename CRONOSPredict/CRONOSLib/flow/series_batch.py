"""The dated scans of several patients as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeriesBatch:
    """Series of several patients as tensors.

    images:      (B, T, C, D, H, W), normalised intensity, 0…1 for most voxels; oldest scan first
    times:       (B, T), in the time scale of the method (bundle: `time_scale`)
    mask:        (B, T), True for a scan, False for padding; padding may hold any finite value
    target_time: (B,), same scale as `times`
    target:      (B, C, D, H, W), the true scan at `target_time`; only for training and evaluation
    """

    images: Tensor
    times: Tensor
    mask: Tensor
    target_time: Tensor
    target: Tensor | None = None

    @property
    def horizon(self) -> Tensor:
        """(B,) time from the last scan to the target; negative between scans."""
        return self.target_time - self.last_time

    @property
    def last_index(self) -> Tensor:
        """(B,) index of the most recent scan of each patient."""
        return self.times.masked_fill(~self.mask, -torch.inf).argmax(dim=1)

    @property
    def last_time(self) -> Tensor:
        """(B,) time of the most recent scan."""
        return self.times.gather(1, self.last_index[:, None]).squeeze(1)

    @property
    def last_image(self) -> Tensor:
        """(B, C, D, H, W) the most recent scan: the LCI forecast."""
        return self.images[torch.arange(len(self.images), device=self.images.device), self.last_index]

    @property
    def without_padding(self) -> SeriesBatch:
        """The same batch with 0 in the images of the padding."""
        if self.mask.all():
            return self
        return replace(self, images=torch.where(self.mask[:, :, None, None, None, None], self.images, 0))

    def most_recent(self, count: int) -> SeriesBatch:
        """The `count` most recent scans of each patient, oldest first, then padding."""
        return self.taking(self.most_recent_index(count))

    def most_recent_index(self, count: int) -> Tensor:
        """(B, S) indices of the `count` most recent scans, oldest first, then of padding; S is `count` or less."""
        surplus = (self.mask.sum(dim=1) - count).clamp(min=0)
        order = self.times.masked_fill(~self.mask, torch.inf).argsort(dim=1)
        places = torch.arange(min(count, order.shape[1]), device=order.device)
        return order.gather(1, places + surplus[:, None])

    def taking(self, index: Tensor) -> SeriesBatch:
        """The same patients with the scans `index` (B, S) in this order."""
        rows = torch.arange(len(index), device=index.device)[:, None]
        return replace(
            self, images=self.images[rows, index], times=self.times[rows, index], mask=self.mask[rows, index]
        )

    def to(self, device: torch.device | str) -> SeriesBatch:
        """The same batch on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)
