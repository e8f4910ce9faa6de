"""How well the samples of a forecast cover the truth."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.errors import ImageError

CrpsEstimator = Literal["fair", "empirical"]


def crps(
    samples: ArrayLike, truth: ArrayLike, *, estimator: CrpsEstimator = "fair", mask: ArrayLike | None = None
) -> float:
    """Continuous ranked probability score E|X − y| − ½ E|X − X′|, mean over voxels; 0 is perfect, unit of intensity.

    samples:   (M, …) forecasts; one sample scores its mean absolute error
    truth:     (…); mask: the same shape, True where it counts
    estimator: "fair" divides the second mean by M(M − 1), so that scores of different M compare (Ferro 2014);
               "empirical" by M², the score of the step function itself
    Raises ImageError when the shapes do not fit or the mask is empty.
    """
    x, y = _inside(samples, truth, mask)
    count = len(x)
    error = float(np.abs(x - y).mean())
    if count == 1:
        return error
    weights = 2 * np.arange(1, count + 1) - count - 1  # Σ|xᵢ − xⱼ| over i < j is Σ weight · sorted x
    pairs = float((weights[:, None] * np.sort(x, axis=0)).sum(axis=0).mean())
    return error - pairs / (count * (count - 1) if estimator == "fair" else count**2)


def spread_skill_ratio(samples: ArrayLike, truth: ArrayLike, *, mask: ArrayLike | None = None) -> float | None:
    """Spread of the samples over the error of their mean, 1 for a reliable ensemble, below 1 when it is too sure.

    sqrt((M + 1)/M · mean variance) / RMSE of the mean (Fortin et al. 2014); None when the mean is without error.

    samples: (M, …) with M ≥ 2; truth, mask: (…). Raises ImageError as `crps`, and for a single sample.
    """
    x, y = _inside(samples, truth, mask)
    count = len(x)
    if count < 2:
        raise ImageError("One sample has no spread. Give two samples or more.")
    error = math.sqrt(float(np.mean((x.mean(axis=0) - y) ** 2)))
    spread = math.sqrt((count + 1) / count * float(x.var(axis=0, ddof=1).mean()))
    return spread / error if error else None


def _inside(
    samples: ArrayLike, truth: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples (M, N) and truth (N,) of the voxels that count."""
    x, y = np.asarray(samples, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.shape[1:] != y.shape or not len(x):
        raise ImageError(f"Samples {x.shape} and true scan {y.shape} do not fit. Bring them to one grid first.")
    inside = np.ones(y.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if inside.shape != y.shape or not inside.any():
        raise ImageError("The mask is empty or of another size. Give a mask that covers some voxels of the scan.")
    return x[:, inside], y[inside]
