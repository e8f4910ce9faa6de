"""The map of what a forecast missed, beside the forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_filled, fill_volume, filled_volume
from CRONOSLib.scene.results import RESULT_ATTRIBUTE

if TYPE_CHECKING:
    import SimpleITK as sitk

_ERROR_ROLE = "CRONOS.Error"
"""Node reference of a forecast to the map of its error."""


def add_error_map(
    error: sitk.Image, forecast: slicer.vtkMRMLScalarVolumeNode, truth: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    """Volume node of forecast minus true scan, beside the forecast, in the colours of a map of change.

    A forecast that was checked before keeps its node, which gets the new voxels and name.
    """
    name = f"{forecast.GetName()} error against {truth.GetName()}"
    node = error_of(forecast)
    if node is None:
        node = add_filled(forecast.GetScene(), filled_volume(error), name)
        node.SetAttribute(RESULT_ATTRIBUTE, "error")
        forecast.SetNodeReferenceID(_ERROR_ROLE, node.GetID())
    else:
        fill_volume(node, error)
        node.SetName(name)
    display.show_change(node)
    hierarchy = SubjectHierarchy(node.GetScene())
    hierarchy.place(node, hierarchy.parent_of(forecast))
    return node


def error_of(forecast: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The map of a forecast's error, or None when it was not checked or the map is gone from the scene."""
    return forecast.GetNodeReference(_ERROR_ROLE)
