"""The layouts of CRONOS: their numbers, and their views as Slicer's layout manager has them described."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

AXIAL = ("Axial",)
ALL_PLANES = ("Axial", "Sagittal", "Coronal")

COLUMNS = ("Last", "Forecast", "Change")
"""What the views of a comparison show from left to right."""

TIME_PLOT = "CRONOSTimePlot"
GAPS_PLOT, LOSS_PLOT, SKILL_PLOT = "CRONOSTrainGaps", "CRONOSTrainLoss", "CRONOSTrainSkill"
"""Names of the plot views."""

_COMPARISON, _THROUGH_TIME, _CURVES, _GAPS, _MEMBERS = 5120, 5140, 5142, 5143, 5160
"""Numbers of the layouts, of comparisons and members of the first; Slicer's own end below 1000."""

_MOST_MEMBERS = 20
_GREY, _GREEN, _RED = "#8C8C8C", "#4C9A2A", "#B3554D"


@dataclass(frozen=True)
class Layout:
    """A layout under its number; the description is XML."""

    number: int
    description: str


def comparison(planes: Sequence[str], labels: Sequence[str] = COLUMNS) -> Layout:
    """Three views in a row for each plane; `labels` stand on the columns."""
    views = [
        _slice_view(comparison_view(column, plane), plane, label, color)
        for plane in planes
        for column, label, color in zip(COLUMNS, labels, (_GREY, _GREEN, _RED))
    ]
    return Layout(_COMPARISON + len(planes), _in_rows(views, len(COLUMNS)))


def comparison_view(column: str, plane: str) -> str:
    """Name of a view of a comparison."""
    return f"CRONOS{column}{plane}"


def through_time(label: str = "T") -> Layout:
    """Three planes above a plot; `label` stands on the planes."""
    views = [_slice_view(time_view(plane), plane, label, _GREEN) for plane in ALL_PLANES]
    rows = f"<item>{_in_rows(views, len(views))}</item>{_plot_view(TIME_PLOT)}"
    return Layout(_THROUGH_TIME, _under_each_other(rows))


def time_view(plane: str) -> str:
    """Name of a slice view above the plot."""
    return f"CRONOSTime{plane}"


def members(labels: Sequence[str]) -> Layout:
    """One axial view for each member of a flow, the last scan's in green; `labels` stand on them."""
    count = len(labels)
    columns = count if count <= 3 else math.ceil(math.sqrt(count))
    colors = [_GREY] * (count - 1) + [_GREEN]
    views = [
        _slice_view(member_view(index), "Axial", label, color)
        for index, (label, color) in enumerate(zip(labels, colors))
    ]
    return Layout(_MEMBERS + count, _in_rows(views, columns))


def member_view(index: int) -> str:
    """Name of the view of a member, counted from 0."""
    return f"CRONOSMember{index + 1}"


def training_gaps() -> Layout:
    """One plot of the times between scans."""
    return Layout(_GAPS, _under_each_other(_plot_view(GAPS_PLOT)))


def training_curves() -> Layout:
    """Loss above skill."""
    return Layout(_CURVES, _under_each_other(_plot_view(LOSS_PLOT) + _plot_view(SKILL_PLOT)))


def register_layouts(layout_node) -> None:
    """Make all layouts known, so that a scene that was saved in one of them opens in it; else its window is empty.

    layout_node: vtkMRMLLayoutNode
    """
    by_members = (members([str(number + 1) for number in range(count)]) for count in range(1, _MOST_MEMBERS + 1))
    fixed = (comparison(AXIAL), comparison(ALL_PLANES), through_time(), training_gaps(), training_curves())
    modifying = layout_node.StartModify()  # else the window builds its views anew for each of them
    for layout in (*fixed, *by_members):
        layout_node.AddLayoutDescription(layout.number, layout.description)
    layout_node.SetViewArrangement(layout_node.GetViewArrangement())  # of a scene that was opened before
    layout_node.EndModify(modifying)


def _slice_view(name: str, plane: str, label: str, color: str) -> str:
    """One slice view; its name is unlike any other."""
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">{plane}</property>'
        f'<property name="viewlabel" action="default">{escape(label)}</property>'
        f'<property name="viewcolor" action="default">{color}</property></view></item>'
    )


def _plot_view(name: str) -> str:
    return (
        f'<item><view class="vtkMRMLPlotViewNode" singletontag="{name}">'
        '<property name="viewlabel" action="default">P</property></view></item>'
    )


def _in_rows(views: Sequence[str], columns: int) -> str:
    """Views from left to right, row under row."""
    rows = (views[first : first + columns] for first in range(0, len(views), columns))
    return _under_each_other(
        "".join(f'<item><layout type="horizontal" split="true">{"".join(row)}</layout></item>' for row in rows)
    )


def _under_each_other(items: str) -> str:
    return f'<layout type="vertical" split="true">{items}</layout>'
