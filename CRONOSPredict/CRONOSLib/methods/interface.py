"""One interface for every way to forecast: tensors and times in, members out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from CRONOSLib.flow.aggregation import last_weights
from CRONOSLib.flow.series_batch import SeriesBatch

OnStep = Callable[[float], None]
"""Told the fraction of the work done, in [0, 1]; it may raise to stop the forecast."""


class MemberKind(Enum):
    """What a member is.

    SCAN:   the forecast reached from one context scan; as many as scans, in their order
    SAMPLE: one draw from the distribution of the target; as many as were asked for, all of equal weight
    """

    SCAN = "scan"
    SAMPLE = "sample"


@dataclass(frozen=True)
class Members:
    """Several forecasts of one target, and how they make one. T counts members: context scans or samples.

    images:     (B, T, C, D, H, W), normalised intensity
    mask:       (B, T), True for a member, False for padding
    weights:    (B, T), non-negative, 0 for padding, summing to 1 over T
    nfe:        evaluations of the network
    trajectory: (S, B, T, C, D, H, W), the state at S flow steps τ from 0 to 1, or None
    one_step:   like the images, where a single Euler step of the flow ends; None without the trajectory
    kind:       what the members are
    displacement: of a method that deforms: (B, 3, D, H, W), voxels, components along D, H, W; voxel x of the forecast
                shows what the last scan shows at x + u(x); else None
    """

    images: Tensor
    mask: Tensor
    weights: Tensor
    nfe: int = 0
    trajectory: Tensor | None = None
    one_step: Tensor | None = None
    kind: MemberKind = MemberKind.SCAN
    displacement: Tensor | None = None

    @classmethod
    def of_one(cls, image: Tensor, batch: SeriesBatch, nfe: int = 0) -> Members:
        """One forecast (B, C, D, H, W) of a patient, held by the member of the last scan."""
        images = image.unsqueeze(1).expand_as(batch.images)
        return cls(images, batch.mask, last_weights(batch.times, batch.mask), nfe)

    @property
    def forecast(self) -> Tensor:
        """(B, C, D, H, W) weighted mean of the members."""
        return self._average(self.images, self.weights)

    @property
    def spread(self) -> Tensor:
        """(B, C, D, H, W) standard deviation of the members; 0 where there is one."""
        equal = self.mask.to(self.images.dtype) / self.mask.sum(dim=1, keepdim=True)
        mean = self._average(self.images, equal)
        return self._average((self.images - mean.unsqueeze(1)) ** 2, equal).sqrt()

    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """(Q, B, C, D, H, W) quantiles of the members, which count the same, at each level in [0, 1].

        Between members the quantile is interpolated linearly.
        """
        mask = self.mask[:, :, None, None, None, None]
        ordered = torch.where(mask, self.images, torch.inf).sort(dim=1).values
        last = self.mask.sum(dim=1) - 1
        found = []
        for level in levels:
            position = level * last
            below = position.floor().long()
            low, high = (self._chosen(ordered, index) for index in (below, torch.minimum(below + 1, last)))
            found.append(torch.lerp(low, high, (position - below)[:, None, None, None, None].to(low.dtype)))
        return torch.stack(found)

    @staticmethod
    def _chosen(images: Tensor, index: Tensor) -> Tensor:
        return images[torch.arange(len(images), device=images.device), index]

    @staticmethod
    def _average(images: Tensor, weights: Tensor) -> Tensor:
        weights = weights[:, :, None, None, None, None]
        return (weights * torch.where(weights > 0, images, 0)).sum(dim=1)


class Method(nn.Module, ABC):
    """A published way to forecast a scan.

    A method knows tensors and times, not patients or files. Methods that learn from a cohort train through `loss`;
    methods that fit one patient fit inside `forecast`.
    """

    @abstractmethod
    def loss(self, batch: SeriesBatch) -> Tensor:
        """Scalar that training minimises; `batch.target` is given."""

    @abstractmethod
    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """Forecast of `batch.target_time` from the contexts; never looks at `batch.target`."""
