"""The random numbers of the samples of a forecast."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class SampleNoise:
    """Standard normal noise of K samples, the same for every patient of a batch.

    So a patient's samples depend on the seed alone: not on the other patients, on how many samples there are, or on
    the device, as all noise is drawn on the CPU. Torch's own random numbers choose the seed when this is made.
    """

    def __init__(self, samples: int, like: Tensor) -> None:
        """`like` (B, C, D, H, W): shape and device of the images."""
        self.samples = samples
        self._like = like
        self._seed = int(torch.randint(2**48, ()))

    def of(self, scan: int) -> Noise:
        """The noise of one of the scans that are sampled for a forecast; `scan` in 0 … 999 names it."""
        return Noise([self._seed + 1000 * sample + scan for sample in range(self.samples)], self._like)


class Noise:
    """Draws from one generator per sample."""

    def __init__(self, seeds: Sequence[int], like: Tensor) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._like = like

    def __len__(self) -> int:
        """B · K."""
        return len(self._like) * len(self._generators)

    def __call__(self) -> Tensor:
        """(B · K, C, D, H, W) new draws; the K samples of a patient stand together."""
        shape = self._like.shape[1:]
        drawn = torch.stack([torch.randn(shape, generator=generator) for generator in self._generators])
        return drawn.to(self._like.device).repeat(len(self._like), 1, 1, 1, 1)
