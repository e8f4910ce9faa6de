"""CRONOS discrete: scans binned to a grid of time slots, the last observation carried forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import SlotGrid
from CRONOSLib.flow.solvers import Solver
from CRONOSLib.methods.cronos import Arrangement, Cronos, CronosSettings, published_network
from CRONOSLib.networks.time_embedding import TimeCode
from CRONOSLib.networks.velocity import ScanEncoder, VelocitySettings


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
        scan = grid.scan_in_slot(batch)
        rows = torch.arange(len(scan), device=scan.device)[:, None]
        arranged = replace(
            batch,
            images=batch.images[rows, _carried_forward(scan)],
            times=grid.times_of(batch.target_time),
            mask=scan >= 0,
        )
        return Arrangement(arranged, member=grid.slots_of(batch.times, batch.target_time))


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
        error_floor=0.0,
    )


PRESETS: dict[str, Callable[[], DiscreteSettings]] = {"paper": paper}
