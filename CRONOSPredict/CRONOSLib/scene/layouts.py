"""Slice views beside each other: their layout, what each shows, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import qt
import slicer

from CRONOSLib.scene.nodes import ijk_to_ras

AXIAL = ("Axial",)
ALL_PLANES = ("Axial", "Sagittal", "Coronal")

_LAID_OUT_MS = 50
"""After this time the window has given new views their size."""


def slice_view(tag: str, plane: str, label: str, color: str) -> str:
    """One slice view; the tag is its name, unlike any other."""
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        f'<property name="orientation" action="default">{plane}</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{color}</property></view></item>'
    )


def in_rows(views: Sequence[str], columns: int) -> str:
    """Views from left to right, row under row."""
    rows = (views[first : first + columns] for first in range(0, len(views), columns))
    items = "".join(f'<item><layout type="horizontal" split="true">{"".join(row)}</layout></item>' for row in rows)
    return f'<layout type="vertical" split="true">{items}</layout>'


def set_layout(layout_manager, number: int, description: str) -> None:
    """Show a layout under its number, which is registered, or renewed.

    layout_manager: qSlicerLayoutManager
    """
    layouts = layout_manager.layoutLogic().GetLayoutNode()
    if not layouts.AddLayoutDescription(number, description):
        layouts.SetLayoutDescription(number, description)
    layout_manager.setLayout(number)


def show_alone(widget, node: slicer.vtkMRMLScalarVolumeNode, group: int) -> None:
    """Show one volume in a slice view that moves together with the others of its group."""
    view = widget.mrmlSliceNode()
    view.SetViewGroup(group)
    composite = widget.mrmlSliceCompositeNode()
    composite.SetBackgroundVolumeID(node.GetID())
    composite.SetForegroundVolumeID(None)
    composite.SetLabelVolumeID(None)
    composite.SetLinkedControl(True)


def place_of_most(strength: np.ndarray, grid: slicer.vtkMRMLScalarVolumeNode) -> tuple[float, float, float]:
    """Right, anterior, superior of the slices that hold most of something: that is what the user wants to see first.

    strength: (D, H, W) on the grid of a volume in world space, not negative
    """
    by_axis = [strength.sum(axis=axes).argmax() for axes in ((0, 1), (0, 2), (1, 2))]  # i, j, k
    right, anterior, superior, _ = ijk_to_ras(grid) @ [*by_axis, 1]
    return right, anterior, superior


def look_at(widgets: Sequence, place: tuple[float, float, float]) -> None:
    """Let slice views show the whole of their volumes, at a place, mm in RAS.

    Views of a new layout get their size only when the window comes to lay them out; then they are fitted again.
    """

    def look() -> None:
        for widget in widgets:
            widget.sliceController().fitSliceToBackground()
        for widget in widgets:  # after all: a view that is fitted takes those that it is linked with to their middle
            widget.mrmlSliceNode().JumpSliceByOffsetting(*place)

    look()
    qt.QTimer.singleShot(_LAID_OUT_MS, look)
