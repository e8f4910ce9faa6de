"""Plots without a window: what a chart's nodes say, drawn by matplotlib, as Slicer's plot view would show it."""

from __future__ import annotations

import itertools

import slicer
from PySide6 import QtGui

_DPI = 100
_LINES = {"solid": "-", "dash": "--", "dot": ":", "none": ""}
_MARKERS = {"circle": "o", "square": "s", "cross": "x", "plus": "+", "diamond": "D", "none": ""}


def chart_picture(chart: slicer.vtkMRMLPlotChartNode, width: int, height: int) -> QtGui.QImage:
    """The chart in pixels. Raises when a series names a column that its table lacks, or has one point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width / _DPI, height / _DPI), _DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=chart.GetTitle(), xlabel=chart.GetXAxisTitle(), ylabel=chart.GetYAxisTitle())
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        _draw(axes, chart.GetNthPlotSeriesNode(index))
    axes.grid(alpha=0.3)
    if not chart.GetXAxisRangeAuto():
        axes.set_xlim(chart.GetXAxisRange())
    if not chart.GetYAxisRangeAuto():
        axes.set_ylim(chart.GetYAxisRange())
    if chart.GetYAxisLogScale():
        axes.set_yscale("log")
    if chart.GetLegendVisibility():
        axes.legend()
    canvas.draw()
    return QtGui.QImage(canvas.buffer_rgba(), width, height, QtGui.QImage.Format_RGBA8888).copy()


def _draw(axes, series: slicer.vtkMRMLPlotSeriesNode) -> None:
    table = series.GetTableNode().GetTable()
    x, y = (_column(table, name) for name in (series.GetXColumnName(), series.GetYColumnName()))
    if series.GetPlotType() == series.PlotTypeScatterBar:
        width = min((right - left for left, right in itertools.pairwise(x)), default=1.0)
        axes.bar(x, y, 0.9 * width, color=series.GetColor(), label=series.GetName())
        return
    if len(x) == 1:
        raise ValueError("Slicer reports an error for a line of one point, whenever it is drawn.")
    axes.plot(
        x,
        y,
        color=series.GetColor(),
        linestyle=_LINES[series.GetLineStyleAsString(series.GetLineStyle())],
        marker=_MARKERS[series.GetMarkerStyleAsString(series.GetMarkerStyle())],
        label=series.GetName(),
    )


def _column(table, name: str) -> list[float]:
    column = table.GetColumnByName(name)
    if column is None:
        raise ValueError(f"The table has no column '{name}'.")
    return [column.GetValue(row) for row in range(column.GetNumberOfTuples())]
