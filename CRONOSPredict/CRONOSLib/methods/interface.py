"""One interface for every way to forecast: tensors and times in, members out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

OnStep = Callable[[float], None]
"""Told the fraction of the work done, in [0, 1]; it may raise to stop the forecast."""


@dataclass(frozen=True)
class SeriesBatch:
    """Series of several patients as tensors.

    images:      (B, T, C, D, H, W), normalised intensity, 0…1 for most voxels; oldest scan first
    times:       (B, T), in the time scale of the method (bundle: `time_scale`)
    mask:        (B, T), True for a scan, False for padding; padding may hold any finite value
    target_time: (B,), same scale as `times`
    target:      (B, C, D, H, W), the true scan at `target_time`; only for training and evaluation
    """

    images: Tensor
    times: Tensor
    mask: Tensor
    target_time: Tensor
    target: Tensor | None = None

    @property
    def horizon(self) -> Tensor:
        """(B,) time from the last scan to the target; negative between scans."""
        return self.target_time - self.last_time

    @property
    def last_index(self) -> Tensor:
        """(B,) index of the most recent scan of each patient."""
        return self.times.masked_fill(~self.mask, -torch.inf).argmax(dim=1)

    @property
    def last_time(self) -> Tensor:
        """(B,) time of the most recent scan."""
        return self.times.gather(1, self.last_index[:, None]).squeeze(1)

    @property
    def last_image(self) -> Tensor:
        """(B, C, D, H, W) the most recent scan: the LCI forecast."""
        return self.images[torch.arange(len(self.images), device=self.images.device), self.last_index]

    def to(self, device: torch.device | str) -> SeriesBatch:
        """The same batch on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)


@dataclass(frozen=True)
class Members:
    """The forecasts reached from each context scan, and how they make one.

    images:     (B, T, C, D, H, W), normalised intensity
    weights:    (B, T), non-negative, 0 for padding, summing to 1 over T
    nfe:        evaluations of the network
    trajectory: (S, B, T, C, D, H, W), the state at S flow steps τ from 0 to 1, or None
    """

    images: Tensor
    weights: Tensor
    nfe: int = 0
    trajectory: Tensor | None = None

    @property
    def forecast(self) -> Tensor:
        """(B, C, D, H, W) weighted mean of the members."""
        kept = torch.where(self._weights_like_images > 0, self.images, 0)
        return (self._weights_like_images * kept).sum(dim=1)

    @property
    def _weights_like_images(self) -> Tensor:
        return self.weights[:, :, None, None, None, None]


class Method(nn.Module, ABC):
    """A published way to forecast a scan.

    A method knows tensors and times, not patients or files. Methods that learn from a cohort train through `loss`;
    methods that fit one patient fit inside `forecast`.
    """

    min_scans: int = 1
    """Fewest context scans the method can use."""

    trainable: bool = True
    """Whether the method learns from a cohort and so needs a bundle."""

    @abstractmethod
    def loss(self, batch: SeriesBatch) -> Tensor:
        """Scalar that training minimises; `batch.target` is given."""

    @abstractmethod
    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """Forecast of `batch.target_time` from the contexts; never looks at `batch.target`."""
