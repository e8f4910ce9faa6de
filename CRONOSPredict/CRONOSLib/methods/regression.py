"""What the methods share that answer at once: the scans of a patient in, one image out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.penalty import Penalty, relative_to_copying
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Members, Method, OnStep
from CRONOSLib.networks.blocks import Conv3d, depth_to_space, padding_to_multiple, space_to_depth, zeroed
from CRONOSLib.networks.change import Change


@dataclass(frozen=True)
class RegressionSettings:
    """Switches that all of them have. The defaults are those of CRONOS, so that only the network differs.

    channels:    image channels C
    patch:       edge of the cubes folded into channels before the network
    scans:       most scans that are looked at, the most recent ones; 0: all
    residual:    predict the change from the last scan, by a head that starts at 0; else the image itself, as published
    change:      what the outputs of a residual network stand for
    told_times:  the network is told t* − t_i of every scan, as a constant plane beside it; else only their order
    penalty:     of the difference between forecast and target
    error_floor: normalised intensity²; a patient's error counts relative to that of copying plus this; 0: as it is
    kernel:      edge of the last convolution
    """

    channels: int = 1
    patch: int = 2
    scans: int = 0
    residual: bool = True
    change: Change = field(default_factory=Change)
    told_times: bool = True
    penalty: Penalty = Penalty.SQUARED
    error_floor: float = 2e-4
    kernel: int = 3

    @property
    def inputs(self) -> int:
        """Channels of a folded scan: its intensity, its difference from the last one, and the plane of its time."""
        return self.channels * self.patch**3 * (2 if self.residual else 1) + self.told_times


class Regression(Method):
    """Scans, folded, make features; one convolution makes of them the change from the last scan, or the image."""

    def __init__(self, settings: RegressionSettings, width: int, multiple: int = 1) -> None:
        """`width`: channels of the features. `multiple`: of what the axes of a folded scan must be multiples."""
        super().__init__()
        self.settings = settings
        self.multiple = multiple
        outputs = settings.channels * settings.patch**3 * (settings.change.outputs if settings.residual else 1)
        self.norm = nn.GroupNorm(next(groups for groups in (8, 4, 2, 1) if width % groups == 0), width)
        head = Conv3d(width, outputs, settings.kernel, padding=settings.kernel // 2)
        self.head = zeroed(head) if settings.residual else head

    @abstractmethod
    def features(self, scans: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, width, d, h, w).

        scans: (B, T, inputs, d, h, w), folded
        batch: the same scans, oldest first, then padding
        """

    def predict(self, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) forecast."""
        batch = self.arranged(batch)
        return self.read_out(self.features(self.folded(batch), batch), batch)

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Mean error of the forecast."""
        return self.error(self.predict(batch), batch)

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """One evaluation; the result is the member of the last scan."""
        members = Members.of_one(self.predict(batch), batch, nfe=1)
        if on_step:
            on_step(1.0)
        return members

    def error(self, forecast: Tensor, batch: SeriesBatch) -> Tensor:
        """Scalar mean over patients of the error of a forecast (B, C, D, H, W)."""
        assert batch.target is not None
        per_patient = self.settings.penalty(forecast - batch.target).flatten(1).mean(dim=1)
        return relative_to_copying(per_patient, batch.last_image, batch.target, self.settings.error_floor).mean()

    def arranged(self, batch: SeriesBatch) -> SeriesBatch:
        """The scans that are looked at, oldest first, then padding, which holds 0."""
        return batch.without_padding.most_recent(self.settings.scans or batch.times.shape[1])

    def folded(self, batch: SeriesBatch) -> Tensor:
        """(B, T, inputs, d, h, w)."""
        images = batch.images
        if self.settings.residual:  # as plain images scans are nearly the same
            from_last = (images - batch.last_image.unsqueeze(1)) / self.settings.change.scale
            images = torch.cat([images, from_last], dim=2)
        scans = self.fold(images.flatten(0, 1)).unflatten(0, batch.mask.shape)
        if not self.settings.told_times:
            return scans
        until = (batch.target_time[:, None] - batch.times)[:, :, None, None, None, None]
        return torch.cat([scans, until.expand(-1, -1, -1, *scans.shape[3:])], dim=2)

    def fold(self, images: Tensor) -> Tensor:
        """(N, n·patch³, d, h, w) of images (N, n, D, H, W), padded at the end of each axis."""
        multiple = self.settings.patch * self.multiple
        return space_to_depth(
            functional.pad(images, padding_to_multiple(images.shape[2:], multiple)), self.settings.patch
        )

    def read_out(self, features: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) image, float32, that features (B, width, d, h, w) stand for."""
        depth, height, width = batch.images.shape[3:]
        outputs = depth_to_space(self.head(functional.silu(self.norm(features))), self.settings.patch)
        outputs = outputs[..., :depth, :height, :width].float()
        if not self.settings.residual:
            return outputs
        return batch.last_image + self.settings.change(outputs.unsqueeze(1), batch).squeeze(1)
