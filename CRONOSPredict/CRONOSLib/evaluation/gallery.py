"""gallery.png: the best, the median and the worst held-out patient, so that a mean hides nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CRONOSLib.evaluation.drawing import BACKGROUND, FAINT, INK, diverging, grey_limits, limit
from CRONOSLib.packages import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("Last scan", "Forecast", "Truth", "Forecast change", "True change")
_WIDTH, _HEADER, _CAPTION = 1.9, 0.55, 0.35
"""Inches: width of a tile, height of the header, space above a row for its caption."""


@dataclass(frozen=True)
class Picture:
    """One patient of the gallery; volumes (D, H, W) in normalised intensity on the bundle's grid.

    caption: who, why and how well, in one line
    """

    caption: str
    last: np.ndarray
    forecast: np.ndarray
    truth: np.ndarray


def best_median_worst(skills: Sequence[float]) -> tuple[tuple[str, int], ...]:
    """Name and index of the best, the median and the worst of some skills; fewer when there are fewer."""
    order = np.argsort(skills)[::-1].tolist()
    named = (("best", order[0]), ("median", order[len(order) // 2]), ("worst", order[-1]))
    return tuple({index: (name, index) for name, index in named}.values())


def write_gallery(path: Path, pictures: Sequence[Picture], title: str) -> None:
    """Draw one row per patient: last scan, forecast, truth, forecast change, true change.

    Each row shows the slice across the first axis where the patient truly changed most; both changes share colours.
    Raises MissingPackageError without matplotlib.
    """
    require("matplotlib", purpose="The gallery")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tall = _WIDTH * pictures[0].last.shape[1] / pictures[0].last.shape[2]
    size = (len(_COLUMNS) * _WIDTH, _HEADER + len(pictures) * (tall + _CAPTION))
    figure = Figure(figsize=size, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    figure.text(0.01, 1 - 0.22 / size[1], title, color=INK, fontsize=10, va="center")
    for column, name in enumerate(_COLUMNS):
        figure.text((column + 0.5) / len(_COLUMNS), 1 - 0.46 / size[1], name, color=FAINT, fontsize=8, ha="center")
    for row, picture in enumerate(pictures):
        _draw_row(figure, picture, 1 - (_HEADER + row * (tall + _CAPTION)) / size[1], tall / size[1], size[1])
    figure.savefig(path, dpi=90, facecolor=BACKGROUND)


def _draw_row(figure: Figure, picture: Picture, top: float, tall: float, inches: float) -> None:
    """One patient below `top`; heights as fractions of the figure."""
    where = int(np.argmax(((picture.truth - picture.last) ** 2).sum(axis=(1, 2))))
    last, forecast, truth = (volume[where] for volume in (picture.last, picture.forecast, picture.truth))
    grey, most = grey_limits(picture.last), max(limit(forecast - last), limit(truth - last))
    figure.text(0.01, top - 0.5 * _CAPTION / inches, picture.caption, color=INK, fontsize=8, va="center")
    for column, pixels in enumerate((last, forecast, truth, forecast - last, truth - last)):
        place = (column / len(_COLUMNS), top - _CAPTION / inches - tall, 0.98 / len(_COLUMNS), tall)
        axes = figure.add_axes(place)
        axes.set_axis_off()
        low, high = grey if column < 3 else (-most, most)
        axes.imshow(pixels, cmap="gray" if column < 3 else diverging(), vmin=low, vmax=high, interpolation="nearest")
