"""What the panel draws in Slicer's plot views: gaps between scans, loss, and validation skill above that of copying."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from CRONOSLib.scene.arrangements import GAPS_PLOT, LOSS_PLOT, SKILL_PLOT, training_curves, training_gaps
from CRONOSLib.scene.layouts import set_layout
from CRONOSLib.scene.panel.target import unit_words
from CRONOSLib.scene.plot import add_series
from CRONOSLib.scene.tables import for_a_line, set_columns
from CRONOSLib.scene.training.patients import FoundPatients

_GREEN, _BLUE, _GREY = (0.3, 0.6, 0.16), (0.16, 0.38, 0.66), (0.65, 0.65, 0.65)
_SMOOTHED = 9  # neighbouring points of the loss that are averaged
_BELOW, _ABOVE = 0.1, 0.4  # room below and above the skill, as parts of its range: the legend stands above


@dataclass(frozen=True)
class Curves:
    """What metrics.csv of a run says so far.

    loss:  of the steps `steps`
    skill: on the validation patients, at `validated` steps; 0 is copying the last scan
    """

    steps: tuple[float, ...] = ()
    loss: tuple[float, ...] = ()
    validated: tuple[float, ...] = ()
    skill: tuple[float, ...] = ()

    @property
    def smooth_loss(self) -> tuple[float, ...]:
        """Mean of each point of the loss and its neighbours; fewer of them at the ends."""
        near = _SMOOTHED // 2
        return tuple(
            statistics.fmean(self.loss[max(0, place - near) : place + near + 1]) for place in range(len(self.loss))
        )

    @classmethod
    def read(cls, metrics: Path) -> Curves:
        """The rows that are whole; none where there is no file yet."""
        try:
            with metrics.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if None not in row.values()]
        except OSError:
            return cls()
        losses = [(float(row["step"]), float(row["loss"])) for row in rows if row["loss"]]
        skills = [(float(row["step"]), float(row["validation_skill"])) for row in rows if row["validation_skill"]]
        return cls(*_columns(losses), *_columns(skills))


def show_gaps(layout_manager, owner: slicer.vtkMRMLNode, patients: FoundPatients) -> None:
    """Histogram of the times between neighbouring scans.

    layout_manager: qSlicerLayoutManager
    owner:          node that knows the nodes of the chart, so that they are used again
    """
    counts, edges = np.histogram(patients.gaps, bins="auto")
    time, count = _("Days between scans"), _("Gaps")
    if unit_words(patients.unit) != _("days"):
        time = _("Time between scans, {unit}").format(unit=unit_words(patients.unit))
    columns = {time: (edges[:-1] + edges[1:]) / 2, count: counts}
    series = _series(owner, GAPS_PLOT, count, columns, _BLUE, slicer.vtkMRMLPlotSeriesNode.PlotTypeScatterBar)
    chart = _chart(owner, GAPS_PLOT, _("Gaps between scans"), time, count, [series])
    chart.SetLegendVisibility(False)
    set_layout(layout_manager, training_gaps())
    _put(GAPS_PLOT, chart)


def draw_curves(owner: slicer.vtkMRMLNode, curves: Curves, steps: int) -> None:
    """Renew the charts of a run.

    steps: of the whole run, which the line of copying spans
    """
    step, loss, skill = _("Step"), _("Loss"), _("Validation skill")
    copying = _("Copying the last scan")
    line = slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter
    usual = _("Running mean")
    each = _series(owner, "Loss", loss, {step: curves.steps, loss: curves.loss}, _GREY, line)
    mean = _series(owner, "Mean", usual, {step: curves.steps, usual: curves.smooth_loss}, _BLUE, line)
    losses = _chart(owner, LOSS_PLOT, loss, step, loss, [each, mean] if curves.loss else [])
    losses.SetYAxisLogScale(bool(curves.loss) and min(curves.loss) > 0)
    base = _series(owner, "Copying", copying, {step: (0, steps), copying: (0, 0)}, _GREY, line)
    base.SetLineStyle(base.LineStyleDash)
    measured = _series(owner, "Skill", skill, {step: curves.validated, skill: curves.skill}, _GREEN, line)
    measured.SetMarkerStyle(measured.MarkerStyleCircle)
    title = _("Validation skill: 0 is copying the last scan, 1 is perfect")
    skills = _chart(owner, SKILL_PLOT, title, step, skill, [base, measured] if curves.skill else [base])
    low, high = min((0.0, *curves.skill)), max((0.0, *curves.skill))
    skills.SetYAxisRangeAuto(False)
    skills.SetYAxisRange(low - _BELOW * (high - low or 1), high + _ABOVE * (high - low or 1))
    for chart in (losses, skills):
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(0, steps)


def show_curves(layout_manager, owner: slicer.vtkMRMLNode) -> None:
    """Loss above skill in two plot views."""
    set_layout(layout_manager, training_curves())
    for name in (LOSS_PLOT, SKILL_PLOT):
        chart = owner.GetNodeReference(_role(name))
        if chart is not None:
            _put(name, chart)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(x for x, _y in points), tuple(y for _x, y in points)


def _chart(
    owner: slicer.vtkMRMLNode,
    name: str,
    title: str,
    x: str,
    y: str,
    series: Sequence[slicer.vtkMRMLPlotSeriesNode],
) -> slicer.vtkMRMLPlotChartNode:
    chart = _node(owner, name, "vtkMRMLPlotChartNode", title)
    chart.SetTitle(title)
    chart.SetXAxisTitle(x)
    chart.SetYAxisTitle(y)
    add_series(chart, series)
    return chart


def _series(
    owner: slicer.vtkMRMLNode,
    name: str,
    label: str,
    columns: Mapping[str, Sequence[float]],
    color: tuple[float, float, float],
    kind: int,
) -> slicer.vtkMRMLPlotSeriesNode:
    """One series with a table of its own: the first column along x, the second along y."""
    table = _node(owner, f"{name}Table", "vtkMRMLTableNode", label)
    line = kind == slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter
    set_columns(table, {name: for_a_line(values) if line else values for name, values in columns.items()})
    series = _node(owner, f"{name}Series", "vtkMRMLPlotSeriesNode", label)
    x, y = columns
    series.SetPlotType(kind)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(x)
    series.SetYColumnName(y)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetColor(*color)
    return series


def _node(owner: slicer.vtkMRMLNode, name: str, node_class: str, label: str) -> slicer.vtkMRMLNode:
    """The node that the owner knows by this name, made when there is none."""
    node = owner.GetNodeReference(_role(name))
    if node is None:
        node = owner.GetScene().AddNewNodeByClass(node_class)
        owner.SetNodeReferenceID(_role(name), node.GetID())
    node.SetName(label)
    return node


def _role(name: str) -> str:
    return f"CRONOS.{name}"


def _put(name: str, chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Put a chart into the plot view of that name; nothing happens while no layout has it."""
    view = chart.GetScene().GetSingletonNode(name, "vtkMRMLPlotViewNode")
    if view is not None:
        view.SetPlotChartNodeID(chart.GetID())
