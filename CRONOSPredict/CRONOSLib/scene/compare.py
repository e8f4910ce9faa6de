"""Last scan, forecast and change side by side, in linked slice views with the same window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from CRONOSLib.scene.arrangements import AXIAL, COLUMNS, comparison, comparison_view
from CRONOSLib.scene.layouts import look_at, place_of_most, set_layout, show_alone
from CRONOSLib.scene.results import ResultNodes
from CRONOSLib.scene.steps import Steps

_VIEW_GROUP = 512
"""Linked views move together when they are of one group; other views of the user do not."""

_RIGHT, _BELOW = (0.95, 0.5), (0.5, 0.05)
_LEGEND_SIZE = (0.12, 0.6)
"""Of the view: across and along the colour bar, with its text."""

_TEXT_BACKGROUND = 0.6

_COARSE = 20.0
"""Range of a map above which its colour bar needs no decimals, in the scan's units."""


def showing_comparison(
    layout_manager,
    last_scan: slicer.vtkMRMLScalarVolumeNode,
    results: ResultNodes,
    planes: Sequence[str] = AXIAL,
    labels: Sequence[str] = COLUMNS,
) -> Steps[None]:
    """Show one row of three views for each plane, one view at a time; they are linked, and fitted to the last scan.

    layout_manager: qSlicerLayoutManager
    planes:         `AXIAL` or `ALL_PLANES`
    labels:         what stands on the three columns
    """
    set_layout(layout_manager, comparison(planes, labels))
    yield
    for plane in planes:
        for column, node in zip(COLUMNS, (last_scan, results.forecast, results.change)):
            show_alone(layout_manager.sliceWidget(comparison_view(column, plane)), node, _VIEW_GROUP)
            yield
    _show_legend(layout_manager, results.change, planes, labels[2])
    yield
    views = [layout_manager.sliceWidget(comparison_view(column, plane)) for plane in planes for column in COLUMNS]
    strength = np.abs(slicer.util.arrayFromVolume(results.change))
    look_at(views, place_of_most(strength, results.change))


def _show_legend(layout_manager, change: slicer.vtkMRMLScalarVolumeNode, planes: Sequence[str], quantity: str) -> None:
    """A colour bar in the views of the change only; it stands where the slices are most likely to leave room."""
    colors = slicer.vtkSlicerColorLogic
    earlier = colors.GetColorLegendDisplayNode(change)
    if earlier is not None:  # views that are younger than a colour bar do not draw it
        change.GetScene().RemoveNode(earlier)
    legend = colors.AddDefaultColorLegendDisplayNode(change)
    if legend is None:
        return
    legend.SetTitleText(f"{quantity}, {_unit_of(change)}")
    legend.SetLabelFormat("%.0f" if change.GetDisplayNode().GetWindow() > _COARSE else "%.2g")
    upright = len(planes) > 1  # three rows make low views
    legend.SetOrientation(legend.Vertical if upright else legend.Horizontal)
    legend.SetPosition(*(_RIGHT if upright else _BELOW))
    legend.SetSize(*_LEGEND_SIZE)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetBackgroundColor(0.0, 0.0, 0.0)  # white text would be lost on white, which stands for no change
        text.SetBackgroundOpacity(_TEXT_BACKGROUND)
    legend.RemoveAllViewNodeIDs()
    for plane in planes:
        view = layout_manager.sliceWidget(comparison_view(COLUMNS[2], plane)).mrmlSliceNode()
        legend.AddViewNodeID(view.GetID())


def _unit_of(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Unit of the voxels, where the scanner told one, as for CT."""
    unit = node.GetVoxelValueUnits()
    return unit.GetCodeMeaning() if unit is not None and unit.GetCodeMeaning() else "scan units"
