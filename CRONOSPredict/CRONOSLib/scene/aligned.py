"""The earlier scans as they were aligned with the last one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_filled, fill_volume, filled_volume, nodes_of_class
from CRONOSLib.scene.results import RESULT_ATTRIBUTE
from CRONOSLib.scene.steps import Steps
from CRONOSLib.series import LongitudinalSeries

if TYPE_CHECKING:
    from CRONOSLib.timeline import Frame

ALIGNED = "aligned"
"""Value of `RESULT_ATTRIBUTE` of an aligned scan."""

_LAST_SCAN = "CRONOS.LastScan"


def adding_aligned(
    frames: Iterable[Frame],
    series: LongitudinalSeries,
    last: slicer.vtkMRMLScalarVolumeNode,
    *,
    keep_earlier: bool = False,
) -> Steps[tuple[slicer.vtkMRMLScalarVolumeNode, ...]]:
    """Volume nodes of the aligned scans, oldest first, in a folder under the patient; the last scan itself is left out.

    frames:       the scans on the last scan's grid and in its units
    keep_earlier: leave those of an earlier alignment; else they get the new voxels
    """
    scene, hierarchy = last.GetScene(), SubjectHierarchy(last.GetScene())
    folder = hierarchy.study(hierarchy.home_of(last), "Aligned scans", None)
    nodes = []
    names = {scan.time: f"{scan.name} aligned" for scan in series.scans[:-1]}
    for frame in frames:
        if frame.time not in names:
            continue
        name, image = names[frame.time], frame.image
        node = None if keep_earlier else _earlier(last, name)
        if node is None:
            node = add_filled(scene, filled_volume(image), name)
            node.SetAttribute(RESULT_ATTRIBUTE, ALIGNED)
            node.SetNodeReferenceID(_LAST_SCAN, last.GetID())
            display.show_like(node, last)
            hierarchy.place(node, folder)
        else:
            fill_volume(node, image)
        nodes.append(node)
        yield
    return tuple(nodes)


def _earlier(last: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLScalarVolumeNode | None:
    for node in nodes_of_class(last.GetScene(), "vtkMRMLScalarVolumeNode"):
        of_last = node.GetNodeReference(_LAST_SCAN) is last
        if of_last and node.GetAttribute(RESULT_ATTRIBUTE) == ALIGNED and node.GetName() == name:
            return node
    return None
