"""ViViT: a transformer over the scans (Arnab et al., arXiv 2103.15691), in 3D and many-to-one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.regression import Regression, RegressionSettings
from CRONOSLib.networks.time_embedding import TimeEmbedding, TimeSettings
from CRONOSLib.networks.video_transformer import VideoTransformer, ViVit


@dataclass(frozen=True)
class ViVitSettings(RegressionSettings):
    """Switches of ViViT; of time, the tokens are told by an embedding, too.

    time: how the times are encoded; without `told_times`, the number of the scan in the series stands for its time
    """

    network: VideoTransformer = field(default_factory=VideoTransformer)
    time: TimeSettings = field(default_factory=TimeSettings)


class ViVitRegression(Regression):
    """The tokens of the last scan, which have seen those of the others, are decoded."""

    def __init__(self, settings: ViVitSettings | None = None) -> None:
        self.settings: ViVitSettings
        settings = settings or ViVitSettings()
        network = settings.network
        super().__init__(settings, network.features, multiple=network.token)
        self.time = TimeEmbedding(settings.time, network.width)
        self.network = ViVit(settings.inputs, network.width, network)

    def features(self, scans: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, features, d, h, w)."""
        times, target_time = batch.times, batch.target_time
        if not self.settings.told_times:
            times = torch.arange(times.shape[1], device=times.device, dtype=times.dtype).expand_as(times)
            target_time = batch.mask.sum(dim=1).to(times.dtype)
        codes, _ = self.time(times, batch.mask, target_time, torch.zeros_like(target_time))
        return self.network(scans, batch.mask, batch.last_index, codes)


def paper() -> ViVitSettings:
    """The whole image from scans without times: tokens of 16³ voxels, six blocks and six, one linear layer per token.

    The joint of the tokens shows. Not kept: tokens that are flatter than wide, dropout, pre-training.
    """
    return ViVitSettings(
        patch=16,
        residual=False,
        told_times=False,
        error_floor=0.0,
        kernel=1,
        network=VideoTransformer(token=1, width=256, heads=8, spatial=6, temporal=6),
    )


PRESETS: dict[str, Callable[[], ViVitSettings]] = {"paper": paper}
