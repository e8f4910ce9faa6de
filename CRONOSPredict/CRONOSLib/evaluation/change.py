"""Whether a forecast changes the last scan where, and as, the patient truly changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.evaluation.metrics import Volume, clipped_pair

CHANGED = 0.1
"""Normalised intensity: a voxel whose true change is larger than this counts as changed."""


def change_correlation(
    forecast: ArrayLike, truth: ArrayLike, last: ArrayLike, *, mask: ArrayLike | None = None
) -> float | None:
    """Pearson correlation of forecast − last scan with truth − last scan; None where either has no variation.

    forecast, truth, last, mask: equal shape, normalised intensity. Raises ImageError as `clipped_pair`.
    """
    predicted, true = _changes(forecast, truth, last, mask)
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return None
    return float(np.corrcoef(predicted, true)[0, 1])


def changed_auroc(
    forecast: ArrayLike,
    truth: ArrayLike,
    last: ArrayLike,
    *,
    threshold: float = CHANGED,
    mask: ArrayLike | None = None,
) -> float | None:
    """Area under the ROC curve of |forecast − last| as the sign of a voxel with |truth − last| > `threshold`.

    0.5 for a forecast that changes nothing (all ties), 1 when every changed voxel is forecast to change more than every
    other; None when all voxels changed, or none. By ranks (Mann and Whitney), ties at their mean rank.

    forecast, truth, last, mask: equal shape, normalised intensity. Raises ImageError as `clipped_pair`.
    """
    predicted, true = _changes(forecast, truth, last, mask)
    changed = np.abs(true) > threshold
    positives, negatives = int(changed.sum()), int((~changed).sum())
    if not positives or not negatives:
        return None
    ranks = _mean_ranks(np.abs(predicted))
    return float((ranks[changed].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def edge_nrmse(forecast: ArrayLike, truth: ArrayLike, *, mask: ArrayLike | None = None) -> float | None:
    """‖E(x) − E(y)‖ / ‖E(y)‖ with E the magnitude of the 3D Sobel gradient; None when the truth has no edge.

    0 for equal volumes, 1 for a forecast without edges. forecast, truth, mask: (D, H, W), normalised intensity.
    Raises ImageError as `clipped_pair`.
    """
    x, y, inside = clipped_pair(forecast, truth, mask=mask)
    edges, true_edges = _edges(x)[inside], _edges(y)[inside]
    norm = float(np.linalg.norm(true_edges))
    return float(np.linalg.norm(edges - true_edges)) / norm if norm else None


def _changes(
    forecast: ArrayLike, truth: ArrayLike, last: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted and true change of the voxels that count, (N,) each."""
    x, before, inside = clipped_pair(forecast, last, mask=mask)
    y, _, _ = clipped_pair(truth, last, mask=mask)
    return (x - before)[inside], (y - before)[inside]


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value from 1; equal values share the mean of their ranks."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[group]


def _edges(volume: Volume) -> Volume:
    """(D, H, W) magnitude of the Sobel gradient; the border repeats its voxels."""
    return np.sqrt(sum(_sobel(volume, axis) ** 2 for axis in range(3)))


def _sobel(volume: Volume, axis: int) -> Volume:
    """Difference of the neighbours along the axis, weighted 1, 2, 1 along the two others."""
    for along in range(3):
        before, here, after = _neighbours(volume, along)
        volume = after - before if along == axis else before + 2 * here + after
    return volume


def _neighbours(volume: Volume, axis: int) -> tuple[Volume, Volume, Volume]:
    positions = np.arange(volume.shape[axis])
    return tuple(volume.take(np.clip(positions + step, 0, positions[-1]), axis) for step in (-1, 0, 1))  # type: ignore[return-value]
