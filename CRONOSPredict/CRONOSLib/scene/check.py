"""The map of what a forecast missed, beside the forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_filled, filled_volume
from CRONOSLib.scene.results import RESULT_ATTRIBUTE

if TYPE_CHECKING:
    import SimpleITK as sitk


def add_error_map(
    error: sitk.Image, forecast: slicer.vtkMRMLScalarVolumeNode, truth: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    """New volume node of forecast minus true scan, beside the forecast, in the colours of a map of change."""
    node = add_filled(
        forecast.GetScene(), filled_volume(error), f"{forecast.GetName()} error against {truth.GetName()}"
    )
    node.SetAttribute(RESULT_ATTRIBUTE, "error")
    display.show_change(node)
    hierarchy = SubjectHierarchy(node.GetScene())
    hierarchy.place(node, hierarchy.parent_of(forecast))
    return node
