"""GAN: a U-Net that forecasts at once, trained against a discriminator of patches, as pix2pix (arXiv 1611.07004)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.flow.penalty import Penalty
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.regression import Regression, RegressionSettings
from CRONOSLib.networks.context_unet import ContextUNet
from CRONOSLib.networks.discriminator import DiscriminatorSettings, PatchDiscriminator
from CRONOSLib.networks.time_embedding import TimeCode, TimeSettings
from CRONOSLib.networks.unet import UNetSettings


@dataclass(frozen=True)
class GanSettings(RegressionSettings):
    """Switches of the GAN.

    network:     the generator
    time:        how its blocks are told the times
    fidelity:    weight of the error; that of the adversarial term is 1, which errors relative to copying would upset
    """

    network: UNetSettings = field(default_factory=UNetSettings)
    time: TimeSettings = field(default_factory=TimeSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    penalty: Penalty = Penalty.ABSOLUTE
    error_floor: float = 0.0
    fidelity: float = 100.0


class Gan(Regression):
    """The forecast is as deterministic as that of a regression: no noise enters the generator.

    One loss trains both players. In the generator's term the weights of the discriminator are constants, in the
    discriminator's term the forecast is: each takes the gradient of its own term alone, at once and not in turns.
    """

    def __init__(self, settings: GanSettings | None = None) -> None:
        self.settings: GanSettings
        settings = settings or GanSettings()
        super().__init__(settings, settings.network.width, multiple=2 ** (len(settings.network.multipliers) - 1))
        self.network = ContextUNet(settings.inputs, settings.time, settings.network)
        self.discriminator = PatchDiscriminator(2 * settings.channels, settings.discriminator)

    def features(self, scans: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, width, d, h, w)."""
        return self.network(scans, batch)

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Fidelity and the non-saturating adversarial term of the generator, plus that of the discriminator."""
        assert batch.target is not None
        forecast = self.predict(batch)
        seen, scan = self._beside_last(forecast, batch), self._beside_last(batch.target, batch)
        fooling = functional.softplus(-self.discriminator.held(seen)).mean()
        caught = functional.softplus(self.discriminator(seen.detach())).mean()
        believed = functional.softplus(-self.discriminator(scan)).mean()
        return self.settings.fidelity * self.error(forecast, batch) + fooling + caught + believed

    def _beside_last(self, image: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, 2 C, D, H, W) what the discriminator sees of an image: the last scan, and what changed, made visible."""
        last = batch.last_image
        return torch.cat([last, (image - last) / self.settings.change.scale], dim=1)


def paper() -> GanSettings:
    """As the comparison in SADM describes it: one scan in, the whole image out, no times; sizes are ours."""
    return GanSettings(
        patch=1,
        scans=1,
        residual=False,
        told_times=False,
        network=UNetSettings(multipliers=(1, 2, 4, 8)),
        time=TimeSettings(TimeCode.OFF),
    )


PRESETS: dict[str, Callable[[], GanSettings]] = {"paper": paper}
