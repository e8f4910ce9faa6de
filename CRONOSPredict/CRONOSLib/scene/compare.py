"""Last scan, forecast and change side by side, in linked slice views with the same window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import slicer

from CRONOSLib.scene.nodes import ijk_to_ras
from CRONOSLib.scene.results import ResultNodes

AXIAL = ("Axial",)
ALL_PLANES = ("Axial", "Sagittal", "Coronal")

_COLUMNS = ("Last", "Forecast", "Change")
_COLORS = ("#8C8C8C", "#4C9A2A", "#B3554D")
_LAYOUT_ID = 5120
"""Number of the first of our layouts; the second number is that of all planes. Slicer's own end below 1000."""

_VIEW_GROUP = 512
"""Linked views move together when they are of one group; other views of the user do not."""


def show_comparison(
    layout_manager,
    last_scan: slicer.vtkMRMLScalarVolumeNode,
    results: ResultNodes,
    planes: Sequence[str] = AXIAL,
    labels: Sequence[str] = _COLUMNS,
) -> None:
    """Show one row of three views for each plane; the views are linked, and fitted to the last scan.

    layout_manager: qSlicerLayoutManager
    planes:         `AXIAL` or `ALL_PLANES`
    labels:         what stands on the three columns
    """
    layouts = layout_manager.layoutLogic().GetLayoutNode()
    number = _LAYOUT_ID + len(planes)
    description = _description(planes, labels)
    if not layouts.AddLayoutDescription(number, description):
        layouts.SetLayoutDescription(number, description)
    layout_manager.setLayout(number)
    for plane in planes:
        for column, node in zip(_COLUMNS, (last_scan, results.forecast, results.change)):
            show_alone(layout_manager.sliceWidget(_view_name(column, plane)), node, _VIEW_GROUP)
    _show_legend(layout_manager, results.change, planes)
    views = [layout_manager.sliceWidget(_view_name(column, plane)) for plane in planes for column in _COLUMNS]
    strength = np.abs(slicer.util.arrayFromVolume(results.change))
    jump_to([view.mrmlSliceNode() for view in views], place_of_most(strength, results.change))


def comparison_views(planes: Sequence[str] = ALL_PLANES, columns: Sequence[str] = _COLUMNS[:2]) -> tuple[str, ...]:
    """Names of the views of the last scan and the forecast."""
    return tuple(_view_name(column, plane) for plane in planes for column in columns)


def show_alone(widget, node: slicer.vtkMRMLScalarVolumeNode, group: int) -> None:
    """Show one volume, whole, in a slice view that moves together with the others of its group."""
    view = widget.mrmlSliceNode()
    view.SetViewGroup(group)
    composite = widget.mrmlSliceCompositeNode()
    composite.SetBackgroundVolumeID(node.GetID())
    composite.SetForegroundVolumeID(None)
    composite.SetLabelVolumeID(None)
    widget.sliceController().fitSliceToBackground()
    composite.SetLinkedControl(True)


def _show_legend(layout_manager, change: slicer.vtkMRMLScalarVolumeNode, planes: Sequence[str]) -> None:
    """A colour bar in the views of the change only; its title tells the quantity."""
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(change)
    if legend is None:
        return
    rename_legend(change)
    legend.RemoveAllViewNodeIDs()
    for plane in planes:
        view = layout_manager.sliceWidget(_view_name(_COLUMNS[2], plane)).mrmlSliceNode()
        legend.AddViewNodeID(view.GetID())


def rename_legend(change: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Let the colour bar of a map of change, where it has one, tell its name."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(change)
    if legend is not None:
        legend.SetTitleText(change.GetName())


def place_of_most(strength: np.ndarray, grid: slicer.vtkMRMLScalarVolumeNode) -> tuple[float, float, float]:
    """Right, anterior, superior of the slices that hold most of something: that is what the user wants to see first.

    strength: (D, H, W) on the grid of a volume in world space, not negative
    """
    by_axis = [strength.sum(axis=axes).argmax() for axes in ((0, 1), (0, 2), (1, 2))]  # i, j, k
    right, anterior, superior, _ = ijk_to_ras(grid) @ [*by_axis, 1]
    return right, anterior, superior


def jump_to(views: Iterable[slicer.vtkMRMLSliceNode], place: tuple[float, float, float]) -> None:
    """Move slice views so that they show a place, mm in RAS."""
    for view in views:
        view.JumpSliceByOffsetting(*place)


def _view_name(column: str, plane: str) -> str:
    return f"CRONOS{column}{plane}"


def _description(planes: Sequence[str], labels: Sequence[str]) -> str:
    rows = "".join(f"<item>{_row(plane, labels)}</item>" for plane in planes)
    return f'<layout type="vertical" split="true">{rows}</layout>'


def _row(plane: str, labels: Sequence[str]) -> str:
    views = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{_view_name(column, plane)}">'
        f'<property name="orientation" action="default">{plane}</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{color}</property></view></item>'
        for column, label, color in zip(_COLUMNS, labels, _COLORS)
    )
    return f'<layout type="horizontal" split="true">{views}</layout>'
