"""The course of a quantity as a plot of Slicer: real points, the forecast's line, and its band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import slicer
import vtk

from CRONOSLib.scene.course import Point
from CRONOSLib.scene.tables import for_a_line, set_columns
from CRONOSLib.scene.timeline import TimelineNodes, place_in_folder

_CHART_ROLE = "CRONOS.Chart"
_REAL_COLOR, _FORECAST_COLOR = (0.1, 0.1, 0.1), (0.3, 0.6, 0.16)
_MARKER_SIZE = 9.0


@dataclass(frozen=True)
class PlotWords:
    """What stands on the axes, beside the points, the line and the limits of its band, and over the dates."""

    time: str
    quantity: str
    real: str
    forecast: str
    low: str
    high: str
    date: str


def plot_course(timeline: TimelineNodes, points: Sequence[Point], words: PlotWords) -> slicer.vtkMRMLPlotChartNode:
    """Chart, series and tables of a quantity over time, beside the sequence; those of an earlier course are reused."""
    real, made = (for_a_line([point for point in points if point.real is taken]) for taken in (True, False))
    real_table = _table(timeline, "Real", words, real, {words.real: [point.value for point in real]})
    forecasts = {
        words.forecast: [point.value for point in made],
        words.low: [point.low for point in made],
        words.high: [point.high for point in made],
    }
    table = _table(timeline, "Forecast", words, made, forecasts)
    chart = _node(timeline, _CHART_ROLE, "vtkMRMLPlotChartNode", words.quantity)
    style = slicer.vtkMRMLPlotSeriesNode
    lines = [
        _line(timeline, table, words, name, style.LineStyleDash, style.MarkerStyleNone)
        for name in (words.high, words.low)
    ]
    lines.append(_line(timeline, table, words, words.forecast, style.LineStyleSolid, style.MarkerStyleCircle))
    lines.append(_line(timeline, real_table, words, words.real, style.LineStyleNone, style.MarkerStyleSquare))
    lines[-1].SetColor(*_REAL_COLOR)
    add_series(chart, lines)
    chart.SetTitle(timeline.last.GetName())
    chart.SetXAxisTitle(words.time)
    chart.SetYAxisTitle(words.quantity)
    place_in_folder(timeline, real_table, table, chart, *lines)
    return chart


def add_series(chart: slicer.vtkMRMLPlotChartNode, series: Sequence[slicer.vtkMRMLPlotSeriesNode]) -> None:
    """Let a chart show these series anew: a plot view fits its axes to series that come, not to those that change."""
    chart.RemoveAllPlotSeriesNodeIDs()
    for one in series:
        chart.AddAndObservePlotSeriesNodeID(one.GetID())


def chart_of(timeline: TimelineNodes) -> slicer.vtkMRMLPlotChartNode | None:
    """The plot of a patient through time, or None when there is none."""
    return timeline.browser.GetNodeReference(_CHART_ROLE)


def _node(timeline: TimelineNodes, role: str, node_class: str, name: str) -> slicer.vtkMRMLNode:
    """The node that the browser knows by a role, made when there is none."""
    node = timeline.browser.GetNodeReference(role)
    if node is None:
        scene = timeline.browser.GetScene()
        node = scene.AddNewNodeByClass(node_class)
        timeline.browser.SetNodeReferenceID(role, node.GetID())
    node.SetName(f"{timeline.last.GetName()} {name}")
    return node


def _table(
    timeline: TimelineNodes, role: str, words: PlotWords, points: Sequence[Point], columns: Mapping[str, list[float]]
) -> slicer.vtkMRMLTableNode:
    """A table with the time, the columns, and the dates."""
    node = _node(timeline, f"CRONOS.{role}Table", "vtkMRMLTableNode", words.real if role == "Real" else words.forecast)
    modifying = node.StartModify()
    set_columns(node, {words.time: [point.time for point in points], **columns})
    dates = vtk.vtkStringArray()
    dates.SetName(words.date)
    for point in points:
        dates.InsertNextValue(point.label)
    node.AddColumn(dates)
    node.EndModify(modifying)
    return node


def _line(
    timeline: TimelineNodes, table: slicer.vtkMRMLTableNode, words: PlotWords, column: str, line: int, marker: int
) -> slicer.vtkMRMLPlotSeriesNode:
    """The series of one column; its name is what the legend shows."""
    roles = {words.real: "Real", words.forecast: "Forecast", words.low: "Low", words.high: "High"}
    node = _node(timeline, f"CRONOS.{roles[column]}Series", "vtkMRMLPlotSeriesNode", column)
    node.SetName(column)
    node.SetPlotType(node.PlotTypeScatter)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(words.time)
    node.SetYColumnName(column)
    node.SetLabelColumnName(words.date)
    node.SetLineStyle(line)
    node.SetMarkerStyle(marker)
    node.SetMarkerSize(_MARKER_SIZE)
    node.SetColor(*_FORECAST_COLOR)
    return node
