"""What is wrong, and what is unusual, with a scan among the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _

from CRONOSLib.scene.dates import NodeDate
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.results import RESULT_ATTRIBUTE
from CRONOSLib.scene.times import NodeTime

When = NodeDate | NodeTime | None
Used = Sequence[tuple[slicer.vtkMRMLScalarVolumeNode, When]]

_SAME_SPACING = 0.05
"""Spacings that differ by less than this part count as the same."""


def problem_of(node: slicer.vtkMRMLScalarVolumeNode, when: When, used: Used) -> str:
    """Why a forecast cannot use a scan, one sentence, or "".

    used: all scans that the forecast would look at, and when they were taken
    """
    if node.GetImageData() is None:
        return _("Volume '{name}' has no voxels. Load its data first.").format(name=node.GetName())
    if when is None:
        return _("When '{name}' was acquired is not known. Give its date as 2024-03-01.").format(name=node.GetName())
    if any(isinstance(other, NodeDate) != isinstance(when, NodeDate) for _node, other in used if other is not None):
        return _("Some scans have dates and some have times only. Leave one kind out.")
    for other, time in used:
        if other is not node and time is not None and _moment(time) == _moment(when):
            return _("'{name}' and '{other}' have the same time. Give one of them another, or leave one out.").format(
                name=node.GetName(), other=other.GetName()
            )
    return ""


def notes_about(node: slicer.vtkMRMLScalarVolumeNode, used: Used) -> tuple[str, ...]:
    """What the user should know about a scan; none of it keeps a forecast from using it."""
    nodes = [other for other, _when in used]
    hierarchy = SubjectHierarchy(node.GetScene())
    notes = []
    if node.GetParentTransformNode() is not None:
        notes.append(
            _("It stands under transform '{name}', which is honoured.").format(
                name=node.GetParentTransformNode().GetName()
            )
        )
    if _differs(node, nodes, lambda other: other.GetImageData() and other.GetImageData().GetDimensions()):
        notes.append(_("It has another number of voxels than the other scans; it will be resampled."))
    elif _differs(node, nodes, _rounded_spacing):
        notes.append(_("It has another voxel size than the other scans; it will be resampled."))
    if _differs(node, nodes, hierarchy.modality):
        notes.append(_("It is of another modality ({name}).").format(name=hierarchy.modality(node)))
    if _differs(node, nodes, hierarchy.patient_name):
        notes.append(_("It belongs to another patient ({name}).").format(name=hierarchy.patient_name(node)))
    if node.GetAttribute(RESULT_ATTRIBUTE):
        notes.append(_("It is a forecast, not a real scan."))
    return tuple(notes)


def _moment(when: NodeDate | NodeTime):
    return when.date if isinstance(when, NodeDate) else when.time


def _differs(
    node: slicer.vtkMRMLScalarVolumeNode,
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
    of: Callable[[slicer.vtkMRMLScalarVolumeNode], object],
) -> bool:
    """Whether a scan has a value, and not the one that most scans have."""
    values = Counter(value for other in nodes if (value := of(other)))
    usual = values.most_common(1)[0][0] if values else None
    return bool(of(node)) and usual is not None and of(node) != usual


def _rounded_spacing(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, ...]:
    return tuple(round(step / _SAME_SPACING) for step in node.GetSpacing())
