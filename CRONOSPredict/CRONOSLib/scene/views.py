"""What the slice views show when a saved scene is opened."""

from __future__ import annotations

import slicer

_ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
"""Slicer's own names of its three slice views, and what each of them shows."""

_VIEW_SIZE = 256
"""Screen pixels assumed for a view that no window shows yet; the application adapts it."""


def show_in_slice_views(
    scene: slicer.vtkMRMLScene,
    background: slicer.vtkMRMLScalarVolumeNode,
    foreground: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Show two volumes in the three linked slice views of a scene that is to be saved.

    The foreground covers the background, so the views' own fade slider blinks between the two.
    """
    for name, orientation in _ORIENTATIONS.items():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLScene(scene)
        view = logic.AddSliceNode(name)
        view.SetOrientation(orientation)
        view.SetLayoutLabel(name[0])  # else its bar is grey and without a letter in the application
        view.SetLayoutColor(getattr(view, f"Get{name}Color")())
        composite = logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(1.0)
        composite.SetLinkedControl(True)
        logic.FitSliceToBackground(_VIEW_SIZE, _VIEW_SIZE)
