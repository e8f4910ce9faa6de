"""How near a forecast comes to the true scan, per patient and with one fixed intensity range.

Every metric takes normalised intensity, clips both volumes to 0…`data_range` and looks at one pair at a time: nothing
is ever pooled over a batch, because the average of such pools depends on the batch size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.errors import ImageError

Volume = NDArray[np.float64]
NrmseDefinition = Literal["range", "euclidean"]

_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_WINDOWS = (11, 7)


@dataclass(frozen=True)
class Ssim:
    """Structural similarity and how it was measured, because a thin stack cannot hold the usual window.

    value:  mean over the volume, -1…1; 1 for equal volumes
    window: what the sum ran over, as shown to users: "11x11x11", "7x7x7" or "11x11 per slice"
    """

    value: float
    window: str


@dataclass(frozen=True)
class Metrics:
    """One forecast against the truth.

    nrmse:           root mean square error / `data_range` (the CRONOS and TFM tables)
    nrmse_euclidean: ||x - y|| / ||y|| (the SADM and NODER tables)
    psnr:            dB; infinite for equal volumes
    ssim:            see `Ssim`
    """

    nrmse: float
    nrmse_euclidean: float
    psnr: float
    ssim: Ssim

    def to_json(self) -> dict[str, float | str | None]:
        """Numbers for report files; an infinite PSNR becomes None, which JSON can hold."""
        return {
            "nrmse": self.nrmse,
            "nrmse_euclidean": self.nrmse_euclidean,
            "psnr": self.psnr if math.isfinite(self.psnr) else None,
            "ssim": self.ssim.value,
            "ssim_window": self.ssim.window,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Metrics:
        """Metrics from `to_json`'s values."""
        psnr = math.inf if values["psnr"] is None else values["psnr"]
        similarity = Ssim(values["ssim"], values["ssim_window"])
        return cls(values["nrmse"], values["nrmse_euclidean"], psnr, similarity)


def mean_square_error(
    forecast: ArrayLike, truth: ArrayLike, *, data_range: float = 1.0, mask: ArrayLike | None = None
) -> float:
    """Mean of (x - y)² over the voxels of `mask`, both clipped to 0…`data_range`.

    forecast, truth: any equal shape; mask: the same shape, True where it counts (default: everywhere).
    Raises ImageError when the shapes differ or the mask is empty.
    """
    x, y, inside = clipped_pair(forecast, truth, data_range, mask)
    return float(np.mean(np.square(x - y)[inside]))


def nrmse(
    forecast: ArrayLike,
    truth: ArrayLike,
    *,
    definition: NrmseDefinition = "range",
    data_range: float = 1.0,
    mask: ArrayLike | None = None,
) -> float:
    """Normalised root mean square error, by either published definition.

    "range":     sqrt(MSE) / data_range, what the tables of CRONOS and TFM print
    "euclidean": ||x - y|| / ||y||, what the tables of SADM and NODER print; 1 for an all-zero forecast
    Raises ImageError as `mean_square_error`, and for "euclidean" when the truth is zero everywhere.
    """
    root = math.sqrt(mean_square_error(forecast, truth, data_range=data_range, mask=mask))
    if definition == "range":
        return root / data_range
    _, y, inside = clipped_pair(forecast, truth, data_range, mask)
    norm = math.sqrt(float(np.mean(np.square(y[inside]))))
    if norm == 0:
        raise ImageError("The true scan is zero everywhere, so nothing can be measured against it. Give another one.")
    return root / norm


def psnr(forecast: ArrayLike, truth: ArrayLike, *, data_range: float = 1.0, mask: ArrayLike | None = None) -> float:
    """Peak signal-to-noise ratio, 10 log10(R² / MSE) in dB; infinite for equal volumes.

    Raises ImageError as `mean_square_error`.
    """
    error = mean_square_error(forecast, truth, data_range=data_range, mask=mask)
    return math.inf if error == 0 else 10.0 * math.log10(data_range**2 / error)


def ssim(forecast: ArrayLike, truth: ArrayLike, *, data_range: float = 1.0, mask: ArrayLike | None = None) -> Ssim:
    """3D structural similarity: Gaussian σ 1.5, window 11³, K₁ .01, K₂ .03, population covariance, border cropped.

    forecast, truth, mask: (D, H, W). A stack with an axis of 7…10 voxels gets a window of 7³; a thinner one is
    measured slice by slice with 11×11 and averaged. `Ssim.window` says which it was. With a mask the average runs
    over windows centred in the mask, and over the whole volume when none is (the mask lies in the border).

    Plain numpy, so that it can be measured where MONAI is not installed, as in Slicer.

    Raises ImageError when the shapes differ or are not 3D or too small in plane.
    """
    x, y, inside = clipped_pair(forecast, truth, data_range, mask)
    if x.ndim != 3:
        raise ImageError(f"SSIM needs a 3D volume, but this one has {x.ndim} axes. Give one scan at a time.")
    for size in _WINDOWS:
        if min(x.shape) >= size:
            volume = _similarity_map(x[None], y[None], size, data_range)[0]
            return Ssim(_mean_inside(volume, inside, (size // 2,) * 3), f"{size}x{size}x{size}")
    thin = int(np.argmin(x.shape))
    x, y, inside = np.moveaxis(x, thin, 0), np.moveaxis(y, thin, 0), np.moveaxis(inside, thin, 0)
    for size in _WINDOWS:
        if min(x.shape[1:]) >= size:
            slices = _similarity_map(x, y, size, data_range)
            return Ssim(_mean_inside(slices, inside, (0, size // 2, size // 2)), f"{size}x{size} per slice")
    raise ImageError(f"SSIM needs slices of at least 7 x 7 voxels, but the scan is {x.shape}. Give a larger scan.")


def measure(
    forecast: ArrayLike, truth: ArrayLike, *, data_range: float = 1.0, mask: ArrayLike | None = None
) -> Metrics:
    """All metrics of one pair; (D, H, W) normalised intensity. Raises as `nrmse` and `ssim`."""
    return Metrics(
        nrmse=nrmse(forecast, truth, data_range=data_range, mask=mask),
        nrmse_euclidean=nrmse(forecast, truth, definition="euclidean", data_range=data_range, mask=mask),
        psnr=psnr(forecast, truth, data_range=data_range, mask=mask),
        ssim=ssim(forecast, truth, data_range=data_range, mask=mask),
    )


def clipped_pair(
    forecast: ArrayLike, truth: ArrayLike, data_range: float = 1.0, mask: ArrayLike | None = None
) -> tuple[Volume, Volume, NDArray[np.bool_]]:
    """Both volumes clipped to 0…`data_range` in float64, and where to look: the mask, or everywhere without one.

    Raises ImageError when the shapes differ or the mask is empty.
    """
    x = np.clip(np.asarray(forecast, dtype=np.float64), 0.0, data_range)
    y = np.clip(np.asarray(truth, dtype=np.float64), 0.0, data_range)
    if x.shape != y.shape:
        raise ImageError(f"Forecast {x.shape} and true scan {y.shape} differ in size. Bring them to one grid first.")
    inside = np.ones(x.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if inside.shape != x.shape:
        raise ImageError(
            f"The mask {inside.shape} and the scan {x.shape} differ in size. Bring them to one grid first."
        )
    if not inside.any():
        raise ImageError("The mask is empty, so there is nothing to measure. Give a mask that covers some voxels.")
    return x, y, inside


def _similarity_map(x: Volume, y: Volume, size: int, data_range: float) -> Volume:
    """SSIM at every window that fits (Wang et al. 2004, eq. 13): of one volume (1, D, H, W), or of slices (D, H, W)."""
    mean_x, mean_y = _windowed(x, size), _windowed(y, size)
    variances = _windowed(x * x, size) + _windowed(y * y, size) - mean_x**2 - mean_y**2  # σx² + σy²
    covariance = _windowed(x * y, size) - mean_x * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return similarity / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))


def _windowed(images: Volume, size: int) -> Volume:
    """Gaussian means over all windows of `size` voxels that fit, along every axis but the first."""
    steps = np.arange(size) - size // 2
    weights = np.exp(-(steps**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in range(1, images.ndim):
        count = images.shape[axis] - size + 1
        band = np.zeros((count, images.shape[axis]))  # each row is one window: a matrix product is the fastest sum
        for step, weight in enumerate(weights):
            band[np.arange(count), np.arange(count) + step] = weight
        summed = np.asarray(np.tensordot(band, images, axes=(1, axis)), dtype=np.float64)
        images = np.moveaxis(summed, 0, axis)
    return images


def _mean_inside(similarity: Volume, inside: NDArray[np.bool_], border: tuple[int, int, int]) -> float:
    """Mean over the windows whose centre lies in the mask."""
    centres = inside[tuple(slice(width, size - width) for width, size in zip(border, inside.shape))]
    return float(similarity[centres].mean() if centres.any() else similarity.mean())
