"""Equidistant time slots around a target, and which scan stands in each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch


@dataclass(frozen=True)
class Filling:
    """What stands in the slots.

    scan: (B, slots) scan that stands in each slot, some in several
    slot: (B, T) slot of each scan
    """

    scan: Tensor
    slot: Tensor


@dataclass(frozen=True)
class SlotGrid:
    """Equidistant time slots around the target.

    length: time from one slot to the next, in the network's time (0.15 years: 8 weeks)
    before: slots before the target's own; earlier scans go to the first
    after:  slots after it, for a target between scans
    """

    length: float = 56 / 365.25
    before: int = 6
    after: int = 1

    @property
    def count(self) -> int:
        """Number of slots, the target's own among them."""
        return self.before + 1 + self.after

    def slots_of(self, times: Tensor, target_time: Tensor) -> Tensor:
        """(B, T) nearest slot of each time; `times` (B, T), `target_time` (B,)."""
        offset = ((times - target_time[:, None]) / self.length).round().long()
        return (offset + self.before).clamp(0, self.count - 1)

    def times_of(self, target_time: Tensor) -> Tensor:
        """(B, count) time of every slot."""
        offsets = torch.arange(self.count, device=target_time.device) - self.before
        return target_time[:, None] + offsets * self.length

    def scan_in_slot(self, batch: SeriesBatch) -> Tensor:
        """(B, count) index of the most recent scan in each slot, −1 where there is none."""
        slot = self.slots_of(batch.times, batch.target_time)
        inside = (slot.unsqueeze(1) == torch.arange(self.count, device=slot.device)[:, None]) & batch.mask.unsqueeze(1)
        times = batch.times.unsqueeze(1).masked_fill(~inside, -torch.inf)
        return torch.where(inside.any(dim=2), times.argmax(dim=2), -1)
