"""CRONOS continuous: real acquisition times, any number of scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import torch

from CRONOSLib.flow.path import StraightPath
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.solvers import Solver
from CRONOSLib.methods.cronos import Arrangement, Coupling, Cronos, CronosSettings, published_network
from CRONOSLib.networks.blocks import Film
from CRONOSLib.networks.time_embedding import TimeCode, TimeSettings
from CRONOSLib.networks.velocity import ScanEncoder


class Padding(Enum):
    """What stands in the slots that no scan fills (METHODS 8.9).

    MASK:        nothing; the mask tells
    REPEAT_LAST: the last scan and its time again, counted like scans: the release
    """

    MASK = "mask"
    REPEAT_LAST = "repeat-last"


@dataclass(frozen=True)
class ContinuousSettings(CronosSettings):
    """Switches of the continuous variant."""

    padding: Padding = Padding.MASK


class CronosContinuous(Cronos):
    """Times as they are: the network is told t_i, t* and τ."""

    def __init__(self, settings: ContinuousSettings | None = None) -> None:
        self.settings: ContinuousSettings
        super().__init__(settings or ContinuousSettings())

    def arrange(self, batch: SeriesBatch) -> Arrangement:
        """Scans as they are; a stacked network takes the most recent ones when there are more than its slots.

        To a stacked network padding is an empty slot, whatever flows there: in training that is the target.
        """
        batch = batch.without_padding
        if self.settings.network.encoder is ScanEncoder.SET:
            return Arrangement(batch)
        slots = self.settings.network.slots
        index = batch.most_recent_index(slots)
        if self.settings.padding is Padding.REPEAT_LAST:
            last = batch.mask.sum(dim=1, keepdim=True).clamp(max=slots) - 1
            places = torch.arange(slots, device=index.device).expand(len(index), slots)
            index = index.gather(1, torch.minimum(places, last))
        arranged = batch.taking(index)
        return Arrangement(arranged, shown=arranged.mask, copy_of=index)


def paper() -> ContinuousSettings:
    """Continuous CRONOS as the paper describes it; the number of solver steps, which it leaves open, is ours.

    Shifted times are pooled by their mean, the flow step is uniform, the members are averaged.
    """
    return ContinuousSettings(
        network=published_network(TimeCode.MEAN),
        path=StraightPath(sigma=0.01),
        solver=Solver("euler", steps=10),
        aggregate="mean",
        at_start=0.0,
        error_floor=0.0,
    )


def release() -> ContinuousSettings:
    """The released code as it runs: blind to time, optimal-transport pairs, repeated last scan, dopri5, FiLM last.

    Not kept: attention above the coarsest level, an embedding that is added beside the FiLM, and FiLM weights that do
    not start at 0.
    """
    base = paper()
    unet = replace(base.network.unet, groups=2, film=Film.AFTER)
    return replace(
        base,
        network=replace(base.network, time=TimeSettings(TimeCode.OFF), unet=unet),
        solver=Solver("dopri5", steps=10),
        coupling=Coupling.OT_RELEASE,
        padding=Padding.REPEAT_LAST,
    )


PRESETS: dict[str, Callable[[], ContinuousSettings]] = {"paper": paper, "release": release}
