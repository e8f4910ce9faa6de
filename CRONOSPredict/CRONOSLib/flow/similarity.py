"""How unlike two images are: what registration minimises."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from CRONOSLib.flow.smoothing import box_mean

_EPSILON = 1e-5
"""Added to variances (normalised intensity²): what is flat has no correlation."""


class Measure(Enum):
    """What is compared.

    MSE:        intensities as they are
    NCC:        correlation over the whole image: blind to gain and offset
    LOCAL_NCC:  squared correlation in every window: blind to gain, offset and bias field, and to the sign of contrast
    """

    MSE = "mse"
    NCC = "ncc"
    LOCAL_NCC = "local-ncc"


@dataclass(frozen=True)
class Dissimilarity:
    """0 for equal images, larger for less similar ones.

    window: width in voxels (odd) of the windows of LOCAL_NCC
    """

    measure: Measure = Measure.LOCAL_NCC
    window: int = 9

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """(N,) dissimilarity of each pair; both (N, C, D, H, W), normalised intensity."""
        if self.measure is Measure.MSE:
            return (images - others).square().flatten(1).mean(dim=1)
        if self.measure is Measure.NCC:
            return 1 - _correlation(images, others)
        return 1 - _local_squared_correlation(images, others, self.window)


def _correlation(images: Tensor, others: Tensor) -> Tensor:
    axes = (2, 3, 4)
    x, y = (values - values.mean(dim=axes, keepdim=True) for values in (images, others))
    covariance, x2, y2 = (values.mean(dim=axes) for values in (x * y, x.square(), y.square()))
    return (covariance / ((x2 + _EPSILON) * (y2 + _EPSILON)).sqrt()).mean(dim=1)


def _local_squared_correlation(images: Tensor, others: Tensor, window: int) -> Tensor:
    """Mean over all windows of cov² / (var · var) (Avants et al. 2008)."""
    x, y = (values - values.mean(dim=(2, 3, 4), keepdim=True) for values in (images, others))  # keeps float32 exact
    mean_x, mean_y = box_mean(x, window), box_mean(y, window)
    covariance = box_mean(x * y, window) - mean_x * mean_y
    variance_x = box_mean(x * x, window) - mean_x.square()
    variance_y = box_mean(y * y, window) - mean_y.square()
    squared = covariance.square() / ((variance_x.clamp(min=0) + _EPSILON) * (variance_y.clamp(min=0) + _EPSILON))
    return squared.flatten(1).mean(dim=1)
