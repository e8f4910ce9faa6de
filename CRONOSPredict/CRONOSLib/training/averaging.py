"""Weights averaged over the steps, which forecast better than the last ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import lightning
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential moving average: w̄ ← d w̄ + (1 − d) w, with d = min(decay, (1 + n) / (10 + n)) after n steps.

    The decay grows so that a short run is not an average with its first, random weights.
    """

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        steps = int(count)
        return averaged.lerp(current, 1 - min(decay, (1 + steps) / (10 + steps)))

    return average


class AveragedWeights(WeightAveraging):
    """A checkpoint holds the average as its weights, and those that training goes on with beside them."""

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=moving_average(decay))

    @contextmanager
    def in_place(self, module: lightning.LightningModule) -> Iterator[None]:
        """Inside the block the module has the averaged weights."""
        self.on_validation_epoch_start(self._of(module), module)
        try:
            yield
        finally:
            self.on_validation_epoch_end(self._of(module), module)

    @staticmethod
    def _of(module: lightning.LightningModule) -> lightning.Trainer:
        return module.trainer
