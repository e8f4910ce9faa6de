"""Frames of a sequence as dated or timed volume nodes."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from CRONOSLib.dates import parse_date, parse_unit
from CRONOSLib.errors import DateError, ImageError
from CRONOSLib.scene.dates import keep_date
from CRONOSLib.scene.display import show_scan
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_volume, image_of
from CRONOSLib.scene.times import NodeTime, keep_time
from CRONOSLib.series import TimeSource, TimeUnit


def add_frames(sequence: slicer.vtkMRMLSequenceNode) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """New volume nodes of a sequence's frames, each with its index value as its time or date.

    Raises DateError when the index is neither dates nor numbers with a known unit, ImageError when a frame is no scan.
    """
    times = [_when(sequence, index) for index in range(sequence.GetNumberOfDataNodes())]
    if not times:
        raise ImageError(f"Sequence '{sequence.GetName()}' has no frames. Load its data first.")
    images = [image_of(sequence.GetNthDataNode(index)) for index in range(len(times))]
    scene = sequence.GetScene()
    hierarchy = SubjectHierarchy(scene)
    folder = hierarchy.folder(hierarchy.home_of(sequence), sequence.GetName())
    nodes = []
    for index, (image, when) in enumerate(zip(images, times)):
        node = add_volume(scene, image, f"{sequence.GetName()} {sequence.GetNthIndexValue(index)}")
        show_scan(node)
        if isinstance(when, NodeTime):
            keep_time(node, when)
        else:
            keep_date(node, when, TimeSource.SEQUENCE)
        hierarchy.place(node, folder)
        nodes.append(node)
    return nodes


def _when(sequence: slicer.vtkMRMLSequenceNode, index: int):
    value = sequence.GetNthIndexValue(index)
    try:
        return NodeTime(float(value), _unit(sequence))
    except ValueError:
        return parse_date(value)


def _unit(sequence: slicer.vtkMRMLSequenceNode) -> TimeUnit:
    try:
        return parse_unit(sequence.GetIndexUnit() or "")
    except DateError:
        raise DateError(
            _(
                "The index of sequence '{name}' has the unit '{unit}', which is no time. "
                "Set it to ms, s, day, week or year."
            ).format(name=sequence.GetName(), unit=sequence.GetIndexUnit() or "")
        ) from None
