"""ConvLSTM: a recurrent network over the scans (Shi et al., arXiv 1506.04214), in 3D and many-to-one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.regression import Regression, RegressionSettings
from CRONOSLib.networks.conv_lstm import ConvLstm, ConvLstmNetwork


@dataclass(frozen=True)
class ConvLstmSettings(RegressionSettings):
    """Switches of ConvLSTM."""

    network: ConvLstmNetwork = field(default_factory=ConvLstmNetwork)


class ConvLstmRegression(Regression):
    """The hidden state after the last scan is read out."""

    def __init__(self, settings: ConvLstmSettings | None = None) -> None:
        self.settings: ConvLstmSettings
        settings = settings or ConvLstmSettings()
        super().__init__(settings, settings.network.width)
        self.network = ConvLstm(settings.inputs, settings.network)

    def features(self, scans: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, width, d, h, w) hidden state."""
        return self.network(scans, batch.mask)


def paper() -> ConvLstmSettings:
    """The whole image from scans without times, cubes of 4 voxels as in the video code, two layers of 64.

    Four layers of 128 with kernels of 5 in two dimensions there; not its scheduled sampling, as one image is forecast.
    """
    return ConvLstmSettings(
        patch=4,
        residual=False,
        told_times=False,
        error_floor=0.0,
        kernel=1,
        network=ConvLstmNetwork(width=64),
    )


PRESETS: dict[str, Callable[[], ConvLstmSettings]] = {"paper": paper}
