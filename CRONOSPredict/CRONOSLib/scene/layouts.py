"""Layouts of slice views, as the layout manager takes them."""

from __future__ import annotations

from collections.abc import Sequence


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
