"""Where something is measured: inside segments, inside a region of interest, or in the whole body."""

from __future__ import annotations

from itertools import product
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from CRONOSLib.errors import ImageError
from CRONOSLib.imaging.intensity import foreground_threshold
from CRONOSLib.scene.nodes import ijk_to_ras, image_of, thinned

Region: TypeAlias = "slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLMarkupsROINode"


def body_of(scan: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """(D, H, W) True above Otsu's threshold of a scan."""
    voxels = sitk.GetArrayFromImage(image_of(scan))
    return voxels > foreground_threshold(thinned(voxels))


def parts_of(region: Region | None, grid: slicer.vtkMRMLScalarVolumeNode) -> dict[str, np.ndarray]:
    """(D, H, W) True inside each segment, or inside the region of interest, by its name, on the grid of a volume.

    Of segments with the same name all but the first are told by their IDs as well.
    """
    if region is None:
        return {}
    if not region.IsA("vtkMRMLSegmentationNode"):
        return {region.GetName(): _inside_box(region, grid)}
    segments = region.GetSegmentation()
    parts: dict[str, np.ndarray] = {}
    for identifier in segments.GetSegmentIDs():
        name = segments.GetSegment(identifier).GetName()
        part = slicer.util.arrayFromSegmentBinaryLabelmap(region, identifier, grid) > 0
        parts[f"{name} ({identifier})" if name in parts else name] = part
    return parts


def inside(
    region: Region | None, scan: slicer.vtkMRMLScalarVolumeNode, grid: slicer.vtkMRMLScalarVolumeNode
) -> np.ndarray:
    """(D, H, W) True inside any segment, inside the region of interest, or, without either, in the body.

    scan: whose body it is
    grid: in world space, of the scan's shape

    Raises ImageError when no voxel lies inside.
    """
    if region is None:
        found = body_of(scan)
    else:
        found = np.zeros(slicer.util.arrayFromVolume(grid).shape, bool)
        for part in parts_of(region, grid).values():
            found |= part
    if not found.any():
        name = f"'{region.GetName()}'" if region else "the body"
        raise ImageError(f"No voxel of '{scan.GetName()}' lies inside {name}. Choose another region.")
    return found


def _inside_box(roi: slicer.vtkMRMLMarkupsROINode, grid: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    to_world = vtk.vtkMatrix4x4()
    to_world.DeepCopy(roi.GetObjectToWorldMatrix())
    to_box = np.linalg.inv(slicer.util.arrayFromVTKMatrix(to_world)) @ ijk_to_ras(grid)
    half = np.array(roi.GetSize()) / 2
    mask = np.zeros(slicer.util.arrayFromVolume(grid).shape, bool)
    corners = np.array([[*(half * signs), 1.0] for signs in product((-1, 1), repeat=3)]) @ np.linalg.inv(to_box).T
    low = np.clip(np.floor(corners[:, :3].min(axis=0)), 0, mask.shape[::-1]).astype(int)
    high = np.clip(np.ceil(corners[:, :3].max(axis=0)) + 1, 0, mask.shape[::-1]).astype(int)
    i, j, k = (np.arange(first, end) for first, end in zip(low, high))
    places = np.stack([*np.meshgrid(k, j, i, indexing="ij")[::-1]], axis=-1)  # (…, 3) voxel indices
    in_box = np.abs(places @ to_box[:3, :3].T + to_box[:3, 3]) <= half
    mask[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = in_box.all(axis=-1)
    return mask
