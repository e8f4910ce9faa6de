"""One volume over another in the slice views of the current layout."""

from __future__ import annotations

from collections.abc import Iterator

import slicer


def lay_over(
    layout_manager,
    over: slicer.vtkMRMLScalarVolumeNode,
    under: slicer.vtkMRMLScalarVolumeNode,
    opacity: float,
) -> None:
    """Show a volume over another in every slice view that does not show the first one itself.

    opacity: 0 shows the lower volume alone, 1 the upper one
    """
    for composite in _composites(layout_manager, shown_only=True):
        if composite.GetBackgroundVolumeID() == over.GetID():
            continue
        if composite.GetBackgroundVolumeID() is None:
            composite.SetBackgroundVolumeID(under.GetID())
        composite.SetForegroundVolumeID(over.GetID())
        composite.SetForegroundOpacity(opacity)


def take_away(layout_manager, over: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume no longer over others."""
    for composite in _composites(layout_manager, shown_only=False):
        if composite.GetForegroundVolumeID() == over.GetID():
            composite.SetForegroundVolumeID(None)


def _composites(layout_manager, shown_only: bool) -> Iterator[slicer.vtkMRMLSliceCompositeNode]:
    """What the slice views show; the application keeps the views of other layouts, too."""
    for name in layout_manager.sliceViewNames():
        widget = layout_manager.sliceWidget(name)
        if widget.mrmlSliceNode().IsMappedInLayout() or not shown_only:
            yield widget.mrmlSliceCompositeNode()
