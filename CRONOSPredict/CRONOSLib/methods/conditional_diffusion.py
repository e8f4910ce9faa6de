"""Conditional diffusion: a source scan and a time interval guide the denoiser (arXiv 2411.05860)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.diffusion.prediction import Prediction
from CRONOSLib.flow.diffusion.sampler import Sampler
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule, Schedule
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.diffusion import Beside, Diffused, Diffusion, DiffusionSettings
from CRONOSLib.networks.denoiser import DenoiserSettings, Guide, Stem
from CRONOSLib.networks.time_embedding import TimeEmbedding, TimeSettings
from CRONOSLib.networks.unet import UNetSettings


class Sources(Enum):
    """Which scans the forecast starts from.

    LAST: the most recent one, as published
    ALL:  beside it the mean over all scans of conv(S_i) + emb(t* − t_i). Ours
    """

    LAST = "last"
    ALL = "all"


def _linear() -> DiffusionSchedule:
    return DiffusionSchedule(Schedule.LINEAR)


def _attention() -> DenoiserSettings:
    return DenoiserSettings(unet=UNetSettings(attention=True))


@dataclass(frozen=True)
class ConditionalSettings(DiffusionSettings):
    """Switches of conditional diffusion. The paper trains at a rate of 1e-3; that of training is lower by default."""

    network: DenoiserSettings = field(default_factory=_attention)
    schedule: DiffusionSchedule = field(default_factory=_linear)
    time: TimeSettings = field(default_factory=TimeSettings)
    sources: Sources = Sources.ALL


class ConditionalDiffusion(Diffusion):
    """Features of the source are added to those of the noisy image, the interval to the diffusion step."""

    def __init__(self, settings: ConditionalSettings | None = None) -> None:
        self.settings: ConditionalSettings
        settings = settings or ConditionalSettings()
        super().__init__(settings)
        network = settings.network
        self.time = TimeEmbedding(settings.time, network.unet.embedding)
        if settings.beside is Beside.NOTHING:
            raise MethodError("Conditional diffusion starts from the last scan. Let 'last' or 'changes' stand beside.")
        self.stem = Stem(network.channels * settings.beside.count, network)
        if settings.sources is Sources.ALL:
            self.every_stem = Stem(network.channels, network)
            self.every_time = nn.Linear(network.unet.embedding, network.unet.width)
            self.merge = nn.Conv3d(network.unet.width, network.unet.width, 1)

    def guide(self, batch: SeriesBatch) -> Guide:
        """The source, the interval to the target, and the other scans when they are asked for."""
        features = self.stem(torch.cat(self.beside(batch), dim=1))
        if self.settings.sources is Sources.LAST:
            return Guide(features, self._embedding(_last_only(batch))[1])
        per_scan, embedding = self._embedding(batch)
        return Guide(features + self._every(batch, per_scan), embedding)

    def _embedding(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        return self.time(batch.times, batch.mask, batch.target_time, torch.zeros_like(batch.target_time))

    def _every(self, batch: SeriesBatch, per_scan: Tensor) -> Tensor:
        """(B, width, d, h, w) mean over the scans."""
        features = self.every_stem(batch.images.flatten(0, 1)).unflatten(0, batch.mask.shape)
        features = functional.silu(features + self.every_time(per_scan)[..., None, None, None])
        present = batch.mask[:, :, None, None, None, None].to(features.dtype)
        return self.merge((features * present).sum(dim=1) / present.sum(dim=1))


def _last_only(batch: SeriesBatch) -> SeriesBatch:
    last = batch.last_time[:, None]
    return replace(
        batch, images=batch.last_image.unsqueeze(1), times=last, mask=torch.ones_like(last, dtype=torch.bool)
    )


def paper() -> ConditionalSettings:
    """As the paper describes it: one source, whole images in −1 … 1, ε-loss, 1000 linear steps removed one by one.

    The paper leaves open: size and attention of the U-Net, the time codes, and the variance of the steps (the larger
    bound here, σ² = β). Its learning rate is 1e-3: set `learning_rate` of the training.
    """
    return ConditionalSettings(
        network=DenoiserSettings(patch=1, unet=UNetSettings(multipliers=(1, 2, 4, 8), attention=True)),
        prediction=Prediction.NOISE,
        sampler=Sampler("ancestral", steps=1000, variance=1.0),
        diffused=Diffused.IMAGE,
        at_start=0.0,
        samples=1,
        beside=Beside.LAST,
        drop=0.0,
        bound=2.0,
        sources=Sources.LAST,
    )


PRESETS: dict[str, Callable[[], ConditionalSettings]] = {"paper": paper}
