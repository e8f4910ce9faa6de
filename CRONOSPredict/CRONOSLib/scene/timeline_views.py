"""A patient through time in three slice views, above its plot."""

from __future__ import annotations

import numpy as np
import slicer

from CRONOSLib.scene.arrangements import ALL_PLANES, TIME_PLOT, through_time, time_view
from CRONOSLib.scene.layouts import look_at, place_of_most, set_layout, show_alone
from CRONOSLib.scene.timeline import TimelineNodes

_VIEW_GROUP = 514


def show_timeline(
    layout_manager, timeline: TimelineNodes, chart: slicer.vtkMRMLPlotChartNode | None, label: str
) -> None:
    """Show the frame and the plot, and Slicer's toolbar that moves through time.

    layout_manager: qSlicerLayoutManager
    label:          stands in the slice views
    """
    set_layout(layout_manager, through_time(label))
    widgets = [layout_manager.sliceWidget(time_view(plane)) for plane in ALL_PLANES]
    for widget in widgets:
        show_alone(widget, timeline.volume, _VIEW_GROUP)
    look_at(widgets, _place_of_change(timeline))
    if chart is not None:
        show_chart(chart)
    slicer.modules.sequences.showSequenceBrowser(timeline.browser)


def show_chart(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Put a chart into the plot view of this layout; nothing happens while there is none."""
    view = chart.GetScene().GetSingletonNode(TIME_PLOT, "vtkMRMLPlotViewNode")
    if view is not None:
        view.SetPlotChartNodeID(chart.GetID())


def _place_of_change(timeline: TimelineNodes) -> tuple[float, float, float]:
    """Where the last frame differs most from the last scan."""
    final = timeline.sequence.GetNthDataNode(timeline.sequence.GetNumberOfDataNodes() - 1)
    change = slicer.util.arrayFromVolume(final) - slicer.util.arrayFromVolume(timeline.last).astype(np.float32)
    return place_of_most(np.abs(change), timeline.volume)
