"""Smoothing kernels over the last three axes of (N, C, D, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor


class Kernel(Enum):
    """Shape of a smoothing kernel."""

    BOX = "box"
    GAUSSIAN = "gaussian"


@dataclass(frozen=True)
class Smoothing:
    """A kernel and its size.

    size: voxels; width of the box (odd), or standard deviation of the Gaussian; 0: no smoothing
    """

    kernel: Kernel = Kernel.GAUSSIAN
    size: float = 1.0

    def __call__(self, values: Tensor) -> Tensor:
        """`values` (N, C, D, H, W) smoothed, same shape."""
        if self.size <= 0:
            return values
        return box_mean(values, int(self.size)) if self.kernel is Kernel.BOX else gaussian(values, self.size)


def box_mean(values: Tensor, width: int) -> Tensor:
    """Mean over a cube of `width` (odd) voxels, stride 1; at the border over the part that lies inside."""
    return _along_axes(values, lambda distance: (distance <= width // 2).to(values.dtype))


def gaussian(values: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of standard deviation `sigma` voxels; at the border over the part that lies inside."""
    return _along_axes(values, lambda distance: torch.exp(-0.5 * (distance / sigma) ** 2).to(values.dtype))


def _along_axes(values: Tensor, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """Weighted mean along each axis in turn; `weight` of the distance in voxels.

    One matrix product per axis: on processors faster, forwards and backwards, than pooling or convolving. It keeps the
    precision of the values, also where products are made in bfloat16.
    """
    with torch.autocast(values.device.type, enabled=False):
        for axis in (2, 3, 4):
            place = torch.arange(values.shape[axis], device=values.device)
            weights = weight((place[:, None] - place).abs())
            weights = weights / weights.sum(dim=1, keepdim=True)
            values = torch.tensordot(values, weights, dims=([axis], [1])).movedim(-1, axis)
    return values
