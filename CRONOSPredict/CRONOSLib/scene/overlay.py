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
    for composite in shown_composites(layout_manager):
        if composite.GetBackgroundVolumeID() == over.GetID():
            continue
        if composite.GetBackgroundVolumeID() is None:
            composite.SetBackgroundVolumeID(under.GetID())
        composite.SetForegroundVolumeID(over.GetID())
        composite.SetForegroundOpacity(opacity)


def take_away(layout_manager, over: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume no longer over others."""
    for _shown, composite in _composites(layout_manager):
        if composite.GetForegroundVolumeID() == over.GetID():
            composite.SetForegroundVolumeID(None)


def shown_composites(layout_manager) -> Iterator[slicer.vtkMRMLSliceCompositeNode]:
    """What the slice views of the current layout show."""
    return (composite for shown, composite in _composites(layout_manager) if shown)


def _composites(layout_manager) -> Iterator[tuple[bool, slicer.vtkMRMLSliceCompositeNode]]:
    """What every slice view shows, and whether the layout has it; the application keeps the views of other layouts."""
    for name in layout_manager.sliceViewNames():
        widget = layout_manager.sliceWidget(name)
        yield bool(widget.mrmlSliceNode().IsMappedInLayout()), widget.mrmlSliceCompositeNode()
