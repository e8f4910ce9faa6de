"""The voxels of the chosen scans, read one scan at a time so that the window goes on answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import SimpleITK as sitk
import slicer

from CRONOSLib.imaging.volumes import check_volume
from CRONOSLib.scene.nodes import image_of
from CRONOSLib.series import LongitudinalSeries


class SeriesReader:
    """Reads what changed since the last forecast; the worker keeps its alignment of images that stay the same."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, sitk.Image]] = {}

    def step(self, nodes: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> bool:
        """Read one scan; False when all had been read. Raises ImageError when it cannot be forecast."""
        identifiers = {node.GetID() for node in nodes}
        self._kept = {identifier: kept for identifier, kept in self._kept.items() if identifier in identifiers}
        for node in nodes:
            stamp = _stamp(node)
            if self._kept.get(node.GetID(), (None, None))[0] != stamp:
                image = image_of(node)
                check_volume(image, node.GetName())
                self._kept[node.GetID()] = (stamp, image)
                return True
        return False

    def series(
        self, timeline: LongitudinalSeries, nodes: Sequence[slicer.vtkMRMLScalarVolumeNode]
    ) -> LongitudinalSeries:
        """The series with its voxels, after every scan was read; the nodes stand in the order of the scans."""
        scans = (replace(scan, image=self._kept[node.GetID()][1]) for scan, node in zip(timeline, nodes))
        return LongitudinalSeries(tuple(scans), timeline.unit, timeline.epoch)


def _stamp(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, ...]:
    """Changes when the voxels or the place of a volume do."""
    transform = node.GetParentTransformNode()
    moved = transform.GetTransformToWorldMTime() if transform is not None else 0
    return node.GetImageData().GetMTime(), node.GetMTime(), moved
