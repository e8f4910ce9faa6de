"""Conditional variational auto-encoder (Sohn et al., NeurIPS 2015) of a change, given the scans and their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.aggregation import mean_weights
from CRONOSLib.flow.diffusion.sample_noise import SampleNoise
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import MemberKind, Members, OnStep
from CRONOSLib.methods.regression import Regression, RegressionSettings
from CRONOSLib.networks.blocks import Conv3d, Downsample
from CRONOSLib.networks.context_unet import ContextUNet
from CRONOSLib.networks.time_embedding import TimeSettings
from CRONOSLib.networks.unet import UNetSettings


@dataclass(frozen=True)
class VaeSettings(RegressionSettings):
    """Switches of the VAE.

    network: the decoder
    time:    how its blocks are told the times
    latent:  channels of the latent variable z, on the grid of the coarsest level
    kl:      weight of the divergence of q(z) from the prior, mean over z, against the error of the forecast, mean over
             voxels. For an error of standard deviation σ it is 2 σ² × size of z / voxels
    samples: K, drawn for every forecast
    """

    network: UNetSettings = field(default_factory=UNetSettings)
    time: TimeSettings = field(default_factory=TimeSettings)
    latent: int = 4
    kl: float = 2e-6
    samples: int = 4

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise MethodError(f"A forecast cannot be made of {self.samples} samples. Ask for 1 or more.")


class Vae(Regression):
    """q(z) sees the target's change, in training only; in a forecast z comes from its prior, the standard normal."""

    def __init__(self, settings: VaeSettings | None = None) -> None:
        self.settings: VaeSettings
        settings = settings or VaeSettings()
        width, levels = settings.network.width, len(settings.network.multipliers) - 1
        super().__init__(settings, width, multiple=2**levels)
        self.network = ContextUNet(settings.inputs, settings.time, settings.network)
        self.posterior = nn.Sequential(
            Conv3d(2 * settings.channels * settings.patch**3, width, 3, padding=1),
            *(nn.Sequential(nn.SiLU(), Downsample(width)) for _ in range(levels)),
            nn.SiLU(),
            nn.Conv3d(width, 2 * settings.latent, 1),
        )
        self.enter = nn.Conv3d(settings.latent, width, 1)

    def features(self, scans: Tensor, batch: SeriesBatch, latent: Tensor | None = None) -> Tensor:
        """(B, width, d, h, w), for a latent variable (B, latent, d′, h′, w′), or the mean of its prior."""
        beside = None
        if latent is not None:
            beside = functional.interpolate(self.enter(latent), size=scans.shape[3:], mode="nearest")
        return self.network(scans, batch, beside)

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Error of the forecast from z ~ q, plus KL(q ‖ N(0, 1)): the evidence lower bound, negative and scaled."""
        assert batch.target is not None
        batch = self.arranged(batch)
        mean, log_variance = self._posterior(batch)
        latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        return self.error(self._decoded(batch, latent), batch) + self.settings.kl * divergence.mean()

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """K samples, which depend on torch's seed and on nothing else that is drawn."""
        batch, count = self.arranged(batch), self.settings.samples
        latents = self._prior(batch, count)
        images = []
        for done, latent in enumerate(latents.unbind(1), 1):
            images.append(self._decoded(batch, latent))
            if on_step:
                on_step(done / count)
        mask = torch.ones(len(latents), count, dtype=torch.bool, device=latents.device)
        return Members(torch.stack(images, dim=1), mask, mean_weights(mask), nfe=count, kind=MemberKind.SAMPLE)

    def _posterior(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z), both (B, latent, d′, h′, w′), float32."""
        assert batch.target is not None
        change = (batch.target - batch.last_image) / self.settings.change.scale
        seen = self.fold(torch.cat([batch.last_image, change], dim=1))
        mean, log_variance = self.posterior(seen).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 10)

    def _prior(self, batch: SeriesBatch, count: int) -> Tensor:
        """(B, K, latent, d′, h′, w′) draws."""
        size = [-(-length // (self.settings.patch * self.multiple)) for length in batch.images.shape[3:]]
        like = batch.images.new_empty(len(batch.images), self.settings.latent, *size)
        return SampleNoise(count, like).of(0)().unflatten(0, (-1, count))

    def _decoded(self, batch: SeriesBatch, latent: Tensor) -> Tensor:
        return self.read_out(self.features(self.folded(batch), batch, latent), batch)


def paper() -> VaeSettings:
    """As in the comparison of arXiv 2411.05860: one source and the interval, the whole image; the rest is left open."""
    return VaeSettings(
        patch=1, scans=1, residual=False, error_floor=0.0, network=UNetSettings(multipliers=(1, 2, 4, 8)), samples=1
    )


PRESETS: dict[str, Callable[[], VaeSettings]] = {"paper": paper}
