"""Intensities a network can compare, from the statistics of the context scans alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import BundleError

TISSUE_WINDOW_HU = (0.0, 100.0)
"""Brain tissue on CT, with and without contrast agent; bone and the great vessels at their peak lie above."""


@dataclass(frozen=True)
class IntensitySpec:
    """Which intensities become 0 and `high_value`.

    low_percentile:  of all voxels of a scan; becomes 0 (air, in most scans)
    high_percentile: of the foreground (above Otsu's threshold); becomes `high_value`. The published 99.5 (with 1.0)
                     follows the bright ring of a growing tumour, which then darkens the rest of the brain from visit
                     to visit; 90 stays with healthy tissue.
    high_value:      leaves room above for what is brighter, since metrics clip at 1
    scope:           "each" scales every context scan by its own statistics, for intensities without unit (MR);
                     "shared" takes one scale for all of them, where intensities mean something (CT, perfusion, cine)
    window:          lowest and highest intensity that a method sees, in the scan's units (HU); what lies beyond takes
                     the edge, in contexts and in truths. So a few vessels full of contrast agent do not outweigh the
                     tissue. None: nothing is clipped

    Percentages, 0…100. A target never contributes. Without a window the way back is exact; with one, intensities
    beyond it are lost to the method, but a forecast is the last scan plus a change, which keeps them where nothing
    changes.
    Raises BundleError when the percentiles or the edges are out of order or the scope is unknown.
    """

    low_percentile: float = 1.0
    high_percentile: float = 90.0
    high_value: float = 0.7
    scope: Literal["each", "shared"] = "each"
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise BundleError(
                f"The intensity percentiles {self.low_percentile:g} and {self.high_percentile:g} are not in order "
                "within 0 to 100. Correct the preprocessing settings."
            )
        if self.high_value <= 0:
            raise BundleError(
                f"The high intensity percentile cannot become {self.high_value:g}. Give a number above 0, such as 0.7."
            )
        if self.window is not None and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise BundleError(
                f"The intensity window {self.window} is no lower and higher edge. Correct the preprocessing settings."
            )
        if self.scope not in ("each", "shared"):
            raise BundleError(f"The intensity scope '{self.scope}' is unknown. Use 'each' or 'shared'.")


@dataclass(frozen=True)
class IntensityScale:
    """Linear map between a scan's units and normalised intensity: normalised = (intensity − offset) / scale.

    window: as `IntensitySpec` describes it
    """

    offset: float
    scale: float
    window: tuple[float, float] | None = None

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Normalised intensity of intensities in the scan's units, any shape, float32; clipped to the window."""
        return ((_inside(np.asarray(array, np.float64), self.window) - self.offset) / self.scale).astype(np.float32)

    def invert(self, array: np.ndarray) -> np.ndarray:
        """Intensity in the scan's units of normalised intensity, any shape, float32."""
        return (np.asarray(array, np.float64) * self.scale + self.offset).astype(np.float32)

    def invert_change(self, array: np.ndarray) -> np.ndarray:
        """Difference in the scan's units of a difference in normalised intensity, any shape, float32."""
        return (np.asarray(array, np.float64) * self.scale).astype(np.float32)


def scales_of(arrays: Sequence[np.ndarray], spec: IntensitySpec) -> list[IntensityScale]:
    """One scale per context scan, oldest first; the last one leads back to the last scan's units.

    arrays: context scans in their own units, any shapes; not empty
    """
    if spec.scope == "shared":
        pooled = np.concatenate([np.ravel(array) for array in arrays])
        return [_scale_of(pooled, spec)] * len(arrays)
    return [_scale_of(array, spec) for array in arrays]


def foreground_of(image: sitk.Image) -> sitk.Image:
    """Mask (uint8) of the voxels above Otsu's threshold (Otsu 1979), on the scan's grid."""
    return sitk.Cast(image > foreground_threshold(sitk.GetArrayViewFromImage(image)), sitk.sitkUInt8)


def foreground_threshold(array: np.ndarray) -> float:
    """Otsu's threshold of an array of any shape, in its own units.

    The brightest thousandth is clipped first: one hot voxel would stretch the histogram until all tissue falls into
    its first bin.
    """
    values = np.ravel(array).astype(np.float32)
    clipped = np.minimum(values, np.percentile(values, 99.9))
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(256)
    otsu.Execute(sitk.GetImageFromArray(clipped.reshape(1, 1, -1)))
    return float(otsu.GetThreshold())


def _scale_of(array: np.ndarray, spec: IntensitySpec) -> IntensityScale:
    array = _inside(array, spec.window)
    low = float(np.percentile(array, spec.low_percentile))
    foreground = array[array > foreground_threshold(array)]
    high = float(np.percentile(foreground, spec.high_percentile)) if foreground.size else low
    return IntensityScale(low, (high - low) / spec.high_value if high > low else 1.0, spec.window)


def _inside(array: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    return array if window is None else np.clip(array, *window)
