"""Segments of the last scan, carried along to the forecast by a method that deforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import slicer

from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import filled_volume
from CRONOSLib.scene.regions import parts_of
from CRONOSLib.scene.results import RESULT_ATTRIBUTE, TARGET_ATTRIBUTE
from CRONOSLib.scene.steps import Steps, finished

_CARRIED_ROLE = "CRONOS.Carried"
"""Node reference of a forecast to the segmentation that it carried."""


def masks_of(segmentation: slicer.vtkMRMLSegmentationNode, last: sitk.Image) -> tuple[sitk.Image, ...]:
    """One image for each segment, uint8 and 1 inside, on the grid of the last scan in world space."""
    masks = []
    for part in parts_of(segmentation, filled_volume(last)).values():
        masks.append(sitk.GetImageFromArray(part.astype(np.uint8)))
        masks[-1].CopyInformation(last)
    return tuple(masks)


def add_carried(
    masks: Sequence[sitk.Image],
    segmentation: slicer.vtkMRMLSegmentationNode,
    forecast: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLSegmentationNode:
    """`adding_carried`, all at once."""
    return finished(adding_carried(masks, segmentation, forecast))


def adding_carried(
    masks: Sequence[sitk.Image],
    segmentation: slicer.vtkMRMLSegmentationNode,
    forecast: slicer.vtkMRMLScalarVolumeNode,
) -> Steps[slicer.vtkMRMLSegmentationNode]:
    """Segmentation beside a forecast, with the names and colours of what was carried; an earlier one is renewed.

    masks: of the carried segments, on the grid of the forecast and in the order of the segmentation
    """
    made = forecast.GetNodeReference(_CARRIED_ROLE)
    if made is None:
        scene, target = forecast.GetScene(), forecast.GetAttribute(TARGET_ATTRIBUTE)
        name = scene.GenerateUniqueName(f"{segmentation.GetName()} forecast {target}")
        made = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        made.SetAttribute(RESULT_ATTRIBUTE, "segmentation")
        made.CreateDefaultDisplayNodes()
        forecast.SetNodeReferenceID(_CARRIED_ROLE, made.GetID())
    made.GetSegmentation().RemoveAllSegments()
    made.SetReferenceImageGeometryParameterFromVolumeNode(forecast)
    segments = segmentation.GetSegmentation()
    for identifier, mask in zip(segments.GetSegmentIDs(), masks):
        segment = segments.GetSegment(identifier)
        new = made.GetSegmentation().AddEmptySegment(identifier, segment.GetName(), segment.GetColor())
        slicer.util.updateSegmentBinaryLabelmapFromArray(sitk.GetArrayFromImage(mask), made, new, forecast)
        yield
    hierarchy = SubjectHierarchy(forecast.GetScene())
    hierarchy.place(made, hierarchy.parent_of(forecast))
    return made
