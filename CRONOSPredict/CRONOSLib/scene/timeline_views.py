"""A patient through time in three slice views, above its plot."""

from __future__ import annotations

import numpy as np
import slicer

from CRONOSLib.scene.layouts import (
    ALL_PLANES,
    in_rows,
    look_at,
    place_of_most,
    set_layout,
    show_alone,
    slice_view,
)
from CRONOSLib.scene.timeline import TimelineNodes

_LAYOUT_ID = 5140
_PLOT = "CRONOSTimePlot"
_VIEW_GROUP = 514
_COLOR = "#4C9A2A"


def show_timeline(
    layout_manager, timeline: TimelineNodes, chart: slicer.vtkMRMLPlotChartNode | None, label: str
) -> None:
    """Show the frame and the plot, and Slicer's toolbar that moves through time.

    layout_manager: qSlicerLayoutManager
    label:          stands in the slice views
    """
    set_layout(layout_manager, _LAYOUT_ID, _description(label))
    widgets = [layout_manager.sliceWidget(_view_name(plane)) for plane in ALL_PLANES]
    for widget in widgets:
        show_alone(widget, timeline.volume, _VIEW_GROUP)
    look_at(widgets, _place_of_change(timeline))
    if chart is not None:
        show_chart(chart)
    slicer.modules.sequences.showSequenceBrowser(timeline.browser)


def show_chart(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Put a chart into the plot view of this layout; nothing happens while there is none."""
    view = chart.GetScene().GetSingletonNode(_PLOT, "vtkMRMLPlotViewNode")
    if view is not None:
        view.SetPlotChartNodeID(chart.GetID())


def _place_of_change(timeline: TimelineNodes) -> tuple[float, float, float]:
    """Where the last frame differs most from the last scan."""
    final = timeline.sequence.GetNthDataNode(timeline.sequence.GetNumberOfDataNodes() - 1)
    change = slicer.util.arrayFromVolume(final) - slicer.util.arrayFromVolume(timeline.last).astype(np.float32)
    return place_of_most(np.abs(change), timeline.volume)


def _view_name(plane: str) -> str:
    return f"CRONOSTime{plane}"


def _description(label: str) -> str:
    views = [slice_view(_view_name(plane), plane, label, _COLOR) for plane in ALL_PLANES]
    plot = (
        f'<item><view class="vtkMRMLPlotViewNode" singletontag="{_PLOT}">'
        '<property name="viewlabel" action="default">P</property></view></item>'
    )
    return f'<layout type="vertical" split="true"><item>{in_rows(views, len(views))}</item>{plot}</layout>'
