"""One step: CRONOS held at the flow step 0, the ablation that tells whether flow matching adds anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.solvers import Solver
from CRONOSLib.methods.cronos_continuous import ContinuousSettings, CronosContinuous
from CRONOSLib.methods.interface import Members, Method, OnStep
from CRONOSLib.networks.velocity import VelocitySettings


@dataclass(frozen=True)
class OneStepSettings:
    """Switches that mean something without a flow; as in `CronosSettings`."""

    network: VelocitySettings = field(default_factory=VelocitySettings)
    aggregate: str = "last"
    error_floor: float = 2e-4


class OneStepUNet(Method):
    """The network, inputs and weights of `cronos-continuous`, trained and asked at τ = 0 alone: a regression."""

    def __init__(self, settings: OneStepSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or OneStepSettings()
        self.flow = CronosContinuous(
            ContinuousSettings(
                network=settings.network,
                solver=Solver("euler", steps=1),
                aggregate=settings.aggregate,
                at_start=1.0,
                error_floor=settings.error_floor,
            )
        )

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Squared error of X₀ + v(X₀, 0) against the target, mean over true scans."""
        return self.flow.loss(batch)

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """One evaluation of the network."""
        return self.flow.forecast(batch, on_step=on_step)


PRESETS: dict[str, Callable[[], OneStepSettings]] = {}
