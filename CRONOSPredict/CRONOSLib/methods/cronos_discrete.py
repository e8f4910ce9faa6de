"""CRONOS discrete: scans binned to a grid of time slots, the last observation carried forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.solvers import Solver
from CRONOSLib.methods.cronos import Arrangement, Cronos, CronosSettings, published_network
from CRONOSLib.networks.time_embedding import TimeCode
from CRONOSLib.networks.velocity import ScanEncoder, VelocitySettings


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


@dataclass(frozen=True)
class DiscreteSettings(CronosSettings):
    """Switches of the discrete variant: σ = 0, as many network slots as the grid has."""

    network: VelocitySettings = field(
        default_factory=lambda: VelocitySettings(encoder=ScanEncoder.STACK, slots=SlotGrid().count)
    )
    grid: SlotGrid = field(default_factory=SlotGrid)


class CronosDiscrete(Cronos):
    """The network sees slots, not times: what lies when is told by the channel in which it stands."""

    def __init__(self, settings: DiscreteSettings | None = None) -> None:
        self.settings: DiscreteSettings
        settings = settings or DiscreteSettings()
        super().__init__(replace(settings, network=replace(settings.network, slots=settings.grid.count)))

    def arrange(self, batch: SeriesBatch) -> Arrangement:
        """Scans in their slots (the later wins), empty slots filled from the slot before, leading ones from the first.

        The mask marks slots that hold a scan; their times are those of the grid.
        """
        grid = self.settings.grid
        slot = grid.slots_of(batch.times, batch.target_time)
        scan = _scan_in_slot(slot, batch, grid.count)
        rows = torch.arange(len(scan), device=scan.device)[:, None]
        arranged = replace(
            batch,
            images=batch.images[rows, _carried_forward(scan)],
            times=grid.times_of(batch.target_time),
            mask=scan >= 0,
        )
        return Arrangement(arranged, member=slot)


def _scan_in_slot(slot: Tensor, batch: SeriesBatch, count: int) -> Tensor:
    """(B, count) index of the most recent scan in each slot, −1 where there is none."""
    inside = (slot.unsqueeze(1) == torch.arange(count, device=slot.device)[:, None]) & batch.mask.unsqueeze(1)
    times = batch.times.unsqueeze(1).masked_fill(~inside, -torch.inf)
    return torch.where(inside.any(dim=2), times.argmax(dim=2), -1)


def _carried_forward(scan: Tensor) -> Tensor:
    """(B, count) scan that stands in each slot after carrying the last observation forward, and the first backward."""
    position = torch.arange(scan.shape[1], device=scan.device).expand_as(scan)
    latest = torch.where(scan >= 0, position, -1).cummax(dim=1).values
    first = (scan >= 0).int().argmax(dim=1, keepdim=True)
    return scan.gather(1, torch.where(latest >= 0, latest, first))


def paper() -> DiscreteSettings:
    """Discrete CRONOS as the paper describes it: X_τ alone, τ the only time, σ = 0, mean of the members."""
    return DiscreteSettings(
        network=published_network(TimeCode.FLOW_STEP),
        solver=Solver("euler", steps=10),
        aggregate="mean",
        at_start=0.0,
    )


PRESETS: dict[str, Callable[[], DiscreteSettings]] = {"paper": paper}
