"""CRONOS discrete: scans binned to a grid of time slots, the last observation carried forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import Filling, SlotGrid
from CRONOSLib.flow.solvers import Solver
from CRONOSLib.methods.cronos import Arrangement, Cronos, CronosSettings, published_network
from CRONOSLib.networks.time_embedding import TimeCode
from CRONOSLib.networks.velocity import ScanEncoder, VelocitySettings


class CarriedForward(Enum):
    """How a scan that is carried forward into further slots flows.

    AS_ONE: all its copies as the scan itself: slots cost nothing. Ours.
    ALONE:  each as its own slot's head says, as published
    """

    AS_ONE = "as-one"
    ALONE = "alone"


@dataclass(frozen=True)
class DiscreteSettings(CronosSettings):
    """Switches of the discrete variant: σ = 0, as many network slots as the grid has."""

    network: VelocitySettings = field(
        default_factory=lambda: VelocitySettings(encoder=ScanEncoder.STACK, slots=SlotGrid().count)
    )
    grid: SlotGrid = field(default_factory=SlotGrid)
    copies: CarriedForward = CarriedForward.AS_ONE


class CronosDiscrete(Cronos):
    """The network sees slots, not times: what lies when is told by the channel in which it stands."""

    def __init__(self, settings: DiscreteSettings | None = None) -> None:
        self.settings: DiscreteSettings
        settings = settings or DiscreteSettings()
        super().__init__(replace(settings, network=replace(settings.network, slots=settings.grid.count)))

    def arrange(self, batch: SeriesBatch) -> Arrangement:
        """Scans in their slots (the later wins), empty slots filled from the slot before, leading ones from the first.

        The mask marks slots that hold a scan, or scans that hold a slot; their times are those of the grid.
        """
        grid = self.settings.grid
        scan, slot = grid.scan_in_slot(batch), grid.slots_of(batch.times, batch.target_time)
        if self.settings.copies is CarriedForward.AS_ONE:
            return self._scans_in_slots(batch.without_padding, Filling(carried_forward(scan), slot), scan)
        rows = torch.arange(len(scan), device=scan.device)[:, None]
        arranged = replace(
            batch,
            images=batch.images[rows, carried_forward(scan)],
            times=grid.times_of(batch.target_time),
            mask=scan >= 0,
        )
        return Arrangement(arranged, member=slot)

    def _scans_in_slots(self, batch: SeriesBatch, filling: Filling, scan: Tensor) -> Arrangement:
        """Each scan once; one that a later scan puts out of its slot is masked. `scan` (B, slots) as it is found."""
        winner = scan.gather(1, filling.slot).clamp(min=0)
        wins = winner == torch.arange(winner.shape[1], device=winner.device)
        times = self.settings.grid.times_of(batch.target_time).gather(1, filling.slot)
        arranged = replace(batch, times=times, mask=batch.mask & wins)
        return Arrangement(arranged, member=winner, filling=filling)


def carried_forward(scan: Tensor) -> Tensor:
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
        error_floor=0.0,
        copies=CarriedForward.ALONE,
    )


PRESETS: dict[str, Callable[[], DiscreteSettings]] = {"paper": paper}
