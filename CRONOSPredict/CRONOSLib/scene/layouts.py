"""Slice views beside each other: what each shows, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import qt
import slicer

from CRONOSLib.scene.arrangements import Layout
from CRONOSLib.scene.nodes import ijk_to_ras

_LAID_OUT_MS = 50
"""After this time the window has given new views their size."""


def set_layout(layout_manager, layout: Layout) -> None:
    """Show a layout, which is registered, or renewed.

    layout_manager: qSlicerLayoutManager
    """
    layouts = layout_manager.layoutLogic().GetLayoutNode()
    modifying = layouts.StartModify()  # else the window builds its views twice
    if not layouts.AddLayoutDescription(layout.number, layout.description):
        layouts.SetLayoutDescription(layout.number, layout.description)
    layout_manager.setLayout(layout.number)
    layouts.EndModify(modifying)


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
