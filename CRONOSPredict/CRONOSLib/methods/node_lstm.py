"""NODE+LSTM: a recurrent network whose state follows an ODE between the scans (ODE-RNN, arXiv 1907.03907), in 3D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.regression import Regression, RegressionSettings
from CRONOSLib.networks.ode_lstm import OdeLstm, OdeLstmNetwork


@dataclass(frozen=True)
class NodeLstmSettings(RegressionSettings):
    """Switches of NODE+LSTM; its state moves by real time whether or not `told_times` puts it beside the scans."""

    network: OdeLstmNetwork = field(default_factory=OdeLstmNetwork)


class NodeLstm(Regression):
    """The state at the target time is read out, beside the features of the last scan."""

    def __init__(self, settings: NodeLstmSettings | None = None) -> None:
        self.settings: NodeLstmSettings
        settings = settings or NodeLstmSettings()
        super().__init__(settings, settings.network.width, multiple=2)
        self.network = OdeLstm(settings.inputs, settings.network)

    def features(self, scans: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, width, d, h, w), one patient after the other."""
        rows = zip(scans, batch.times, batch.mask, batch.target_time, strict=True)
        return torch.cat([self.network(row[mask], times[mask], target) for row, times, mask, target in rows])


def paper() -> NodeLstmSettings:
    """The whole image, as the other video methods are published; of this one nothing else is known than its name."""
    return NodeLstmSettings(residual=False, told_times=False, error_floor=0.0, kernel=1)


PRESETS: dict[str, Callable[[], NodeLstmSettings]] = {"paper": paper}
