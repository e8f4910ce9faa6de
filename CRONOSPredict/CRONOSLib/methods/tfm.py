"""Temporal flow matching (arXiv 2508.21580): the discrete predecessor of CRONOS, told no time but the flow step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from CRONOSLib.flow.path import StraightPath
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import SlotGrid
from CRONOSLib.flow.solvers import Solver
from CRONOSLib.methods.cronos import Arrangement, Coupling, published_network
from CRONOSLib.methods.cronos_discrete import (
    CarriedForward,
    CronosDiscrete,
    DiscreteSettings,
    carried_forward,
)
from CRONOSLib.networks.time_embedding import TimeCode, TimeSettings
from CRONOSLib.networks.velocity import ScanEncoder, VelocitySettings


def _network() -> VelocitySettings:
    return VelocitySettings(encoder=ScanEncoder.STACK, slots=SlotGrid().count, time=TimeSettings(TimeCode.FLOW_STEP))


@dataclass(frozen=True)
class TfmSettings(DiscreteSettings):
    """Switches of TFM.

    mask_missing: a slot that no scan fills, where the scan before it is repeated, counts for nothing in training
    """

    network: VelocitySettings = field(default_factory=_network)
    path: StraightPath = field(default_factory=lambda: StraightPath(sigma=0.01))
    aggregate: str = "mean"
    copies: CarriedForward = CarriedForward.ALONE
    mask_missing: bool = True


class TemporalFlowMatching(CronosDiscrete):
    """Scans in their slots, filled forwards and then backwards; what lies when is told by the slot alone."""

    def __init__(self, settings: TfmSettings | None = None) -> None:
        self.settings: TfmSettings
        super().__init__(settings or TfmSettings())

    def arrange(self, batch: SeriesBatch) -> Arrangement:
        """As discrete CRONOS; filled slots are scans like others when missing ones are not masked."""
        arranged = super().arrange(batch)
        if self.settings.mask_missing:
            return arranged
        everywhere = replace(arranged.batch, mask=torch.ones_like(arranged.batch.mask))
        return Arrangement(everywhere, copy_of=carried_forward(self.settings.grid.scan_in_slot(batch)))


def release() -> TfmSettings:
    """The released code: whole scans, σ = 0.01, uniform flow steps, plain errors over all slots, mean of the members.

    Pairs are drawn from an optimal-transport plan, as by the release of CRONOS. The first axis is never halved,
    attention is in the bottleneck alone, and the finest level is recomputed in the backward pass. Not kept: the flow
    step added and not scaled and shifted in, and the adaptive solver, in whose place stand 10 Euler steps.
    """
    network = published_network(TimeCode.FLOW_STEP)
    return TfmSettings(
        network=replace(network, unet=replace(network.unet, strides=(1, 2, 2), checkpoint=True)),
        solver=Solver("euler", steps=10),
        coupling=Coupling.OT_RELEASE,
        at_start=0.0,
        error_floor=0.0,
        mask_missing=False,
    )


PRESETS: dict[str, Callable[[], TfmSettings]] = {"release": release}
