"""Colours and limits that all pictures of scans share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

BACKGROUND, INK, FAINT = "#101316", "#e8eaed", "#9aa0a6"
_DIVERGING = ("#9be0ff", "#2b7bba", "#12324a", BACKGROUND, "#4f1d14", "#d0502f", "#ffd9a0")


def diverging() -> Colormap:
    """Blue below 0, red above, the background at 0."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("change", _DIVERGING)


def grey_limits(volume: np.ndarray) -> tuple[float, float]:
    """Intensities of black and white: percentiles 1 and 99.7 of a volume."""
    low, high = np.percentile(volume, [1.0, 99.7])
    return float(low), float(max(high, low + 1e-6))


def limit(pixels: np.ndarray) -> float:
    """Largest magnitude of a slice, but for a few outliers; 1 where all is 0, so that no change is drawn as none."""
    return float(np.percentile(np.abs(pixels), 99.8)) or float(np.abs(pixels).max()) or 1.0
