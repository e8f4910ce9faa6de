"""Base of the methods that learn nothing: one image for all members."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Members, Method, OnStep


class Untrained(Method):
    """A forecast without training: what every trained method has to beat."""

    @abstractmethod
    def predict(self, batch: SeriesBatch) -> Tensor:
        """(B, C, D, H, W) forecast."""

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Mean squared error, for comparison; there is nothing to train."""
        assert batch.target is not None
        return torch.mean((self.predict(batch) - batch.target) ** 2)

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """The prediction, held by the member of the last scan."""
        members = Members.of_one(self.predict(batch), batch)
        if on_step:
            on_step(1.0)
        return members


def per_patient(values: Tensor) -> Tensor:
    """(B,) values shaped to multiply (B, C, D, H, W) images."""
    return values[:, None, None, None, None]


def clip_to_contexts(batch: SeriesBatch, image: Tensor, margin: float) -> Tensor:
    """`image` (B, C, D, H, W) clipped to the intensity range of the patient's contexts, widened by a fraction."""
    mask = batch.mask[:, :, None, None, None, None]
    axes = tuple(range(1, batch.images.ndim))
    low = torch.where(mask, batch.images, torch.inf).amin(dim=axes)
    high = torch.where(mask, batch.images, -torch.inf).amax(dim=axes)
    slack = margin * (high - low)
    return torch.maximum(torch.minimum(image, per_patient(high + slack)), per_patient(low - slack))
