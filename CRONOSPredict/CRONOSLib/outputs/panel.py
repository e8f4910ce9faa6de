"""panel.png: last scan, forecast, change and spread side by side, and the truth below when it is known."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from CRONOSLib.evaluation.comparison import Comparison
from CRONOSLib.evaluation.drawing import BACKGROUND, FAINT, INK, diverging, grey_limits, limit
from CRONOSLib.forecast import Forecast
from CRONOSLib.outputs.slices import View, most_interesting
from CRONOSLib.packages import require
from CRONOSLib.report import RESEARCH_ONLY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_EDGE_PLACES = (
    (0.02, 0.5, "left", "center"),
    (0.98, 0.5, "right", "center"),
    (0.5, 0.98, "center", "top"),
    (0.5, 0.02, "center", "bottom"),
)
_LABEL = 46  # characters of a line below a colour bar
_WIDTH, _HEADER, _BELOW = 3.1, 0.85, 0.95
"""Inches: width of a tile, height of the header, space below a row for its colour bars."""


@dataclass(frozen=True)
class _Tile:
    """One image of the panel.

    limits: intensities of the lowest and highest colour
    bar:    label of the colour bar, or None for a grey image without one
    """

    title: str
    image: sitk.Image
    limits: tuple[float, float]
    colours: str | Colormap = "gray"
    bar: str | None = None


def write_panel(forecast: Forecast, path: Path, comparison: Comparison | None = None) -> None:
    """Draw the slice with most change as a PNG.

    Upper row: last scan | forecast | change | spread. With a comparison, lower row: truth | forecast error |
    LCI error | metrics. Zero is neutral in the colours of change and errors, and both errors share them.

    Raises MissingPackageError without matplotlib.
    """
    require("matplotlib", purpose="The panel")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    view = _view(forecast, comparison)
    rows = [_forecast_row(forecast, view)]
    if comparison is not None:
        rows.append(_truth_row(forecast, comparison, view))
    width, height = view.extent_mm(forecast.image)
    tall = _WIDTH * min(max(height / width, 0.5), 1.6)
    size = (4 * _WIDTH + 0.6, _HEADER + len(rows) * (tall + _BELOW))
    figure = Figure(figsize=size, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _draw_header(figure, forecast, view)
    places = figure.add_gridspec(
        len(rows), 4, left=0.015, right=0.985, top=1 - _HEADER / size[1], bottom=_BELOW / size[1],
        wspace=0.05, hspace=_BELOW / tall,
    )  # fmt: skip
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            axes = figure.add_subplot(places[row, column])
            axes.set_axis_off()
            if tile is not None:
                _draw_tile(figure, axes, tile, view)
            elif row == 0:
                axes.text(0.5, 0.5, "One member: no spread", color=FAINT, fontsize=10, ha="center", va="center")
            else:
                _draw_metrics(axes, comparison)
    figure.savefig(path, dpi=110, facecolor=BACKGROUND)


def _view(forecast: Forecast, comparison: Comparison | None) -> View:
    """Where the change is largest; without change, the error; without either, the scan."""
    last = forecast.series.last.image
    truth = [] if comparison is None else [_difference(comparison.truth, last)]
    return most_interesting([forecast.change, *truth, last])


def _forecast_row(forecast: Forecast, view: View) -> list[_Tile | None]:
    series, last = forecast.series, forecast.series.last
    grey = grey_limits(sitk.GetArrayViewFromImage(last.image))
    top = limit(view.pixels(forecast.change))
    tiles: list[_Tile | None] = [
        _Tile(f"Last scan  {series.describe_time(last.time)}", last.image, grey),
        _Tile(f"Forecast  {series.describe_time(forecast.target_time)}", forecast.image, grey),
        _Tile("Change", forecast.change, (-top, top), diverging(), "forecast − last scan, scan units"),
    ]
    if forecast.spread is None:
        return [*tiles, None]
    top = limit(view.pixels(forecast.spread))
    label = textwrap.fill(f"{forecast.spread_meaning}, scan units", _LABEL)
    return [*tiles, _Tile("Spread", forecast.spread, (0.0, top), "inferno", label)]


def _truth_row(forecast: Forecast, comparison: Comparison, view: View) -> list[_Tile | None]:
    last = forecast.series.last.image
    errors = [_difference(image, comparison.truth) for image in (forecast.image, last)]
    top = max(limit(view.pixels(error)) for error in errors)
    label = forecast.series.describe_time(forecast.target_time)
    shared = ((-top, top), diverging())
    return [
        _Tile(f"Truth  {label}", comparison.truth, grey_limits(sitk.GetArrayViewFromImage(last))),
        _Tile("Error of the forecast", errors[0], *shared, "forecast − truth, scan units"),
        _Tile("Error of LCI", errors[1], *shared, "last scan − truth, scan units"),
        None,
    ]


def _draw_header(figure: Figure, forecast: Forecast, view: View) -> None:
    height = figure.get_figheight()
    source = f"bundle {forecast.bundle.name}" if forecast.bundle else "no training"
    top = 1 - 0.34 / height
    figure.text(0.015, top, "CRONOS", color=INK, fontsize=15, fontweight="bold")
    figure.text(0.1, top, f"{forecast.method}  ·  {source}", color=FAINT, fontsize=11)
    figure.text(0.985, top, _where(forecast, view), color=FAINT, fontsize=11, ha="right")
    figure.text(0.985, 0.12 / height, RESEARCH_ONLY, color=FAINT, fontsize=9, ha="right")


def _draw_tile(figure: Figure, axes: Axes, tile: _Tile, view: View) -> None:
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import MaxNLocator

    width, height = view.extent_mm(tile.image)
    shown = axes.imshow(
        view.pixels(tile.image),
        cmap=tile.colours,
        vmin=tile.limits[0],
        vmax=tile.limits[1],
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    axes.set_title(tile.title, color=INK, fontsize=11, pad=6)
    for edge, place in zip(view.edges, _EDGE_PLACES):
        x, y, horizontal, vertical = place
        letter = axes.text(x, y, edge, color=INK, fontsize=8, ha=horizontal, va=vertical, transform=axes.transAxes)
        letter.set_path_effects([withStroke(linewidth=2, foreground=BACKGROUND)])
    if tile.bar is not None:
        bar = figure.colorbar(
            shown, cax=axes.inset_axes((0.1, -0.07, 0.8, 0.03)), orientation="horizontal", ticks=MaxNLocator(5)
        )
        bar.set_label(tile.bar, color=FAINT, fontsize=8, labelpad=2)
        bar.ax.tick_params(colors=FAINT, labelsize=8, length=2)
        bar.outline.set_visible(False)  # type: ignore[operator]


def _draw_metrics(axes: Axes, comparison: Comparison | None) -> None:
    """Metrics of forecast and LCI side by side."""
    if comparison is None:
        return
    a, b = comparison.forecast, comparison.lci
    skill = "–" if comparison.skill is None else f"{comparison.skill:+.3f}"
    lines = [
        f"{'':8}{'forecast':>9}{'LCI':>9}",
        f"{'NRMSE':8}{a.nrmse:>9.4f}{b.nrmse:>9.4f}",
        f"{'PSNR':8}{a.psnr:>9.2f}{b.psnr:>9.2f}",
        f"{'SSIM':8}{a.ssim.value:>9.4f}{b.ssim.value:>9.4f}",
        "",
        f"{'skill':8}{skill:>9}",
    ]
    text = "\n".join(lines)
    axes.text(0.08, 0.92, text, color=INK, fontsize=10, family="monospace", va="top", linespacing=1.7)


def _where(forecast: Forecast, view: View) -> str:
    spacing = " × ".join(f"{step:.3g}" for step in forecast.image.GetSpacing())
    return f"{view.plane} slice {view.index + 1} of {view.count}  ·  {spacing} mm"


def _difference(first: sitk.Image, second: sitk.Image) -> sitk.Image:
    """First − second, float32, on the grid of the first; both lie on the last scan's grid."""
    values = sitk.GetArrayFromImage(first).astype(np.float32) - sitk.GetArrayFromImage(second).astype(np.float32)
    difference = sitk.GetImageFromArray(values)
    difference.CopyInformation(first)
    return difference
