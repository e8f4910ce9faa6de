"""How much changed, inside segments or a region of interest, and in the whole body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from CRONOSLib.scene.nodes import thinned
from CRONOSLib.scene.regions import Region, body_of, parts_of
from CRONOSLib.scene.steps import Steps, finished

_WINDOW_PART = 0.1
"""Part of the last scan's range of intensities that counts as a change when the user names no threshold."""


@dataclass(frozen=True)
class RegionChange:
    """The change inside one region, in the scan's own units.

    low, high: 5th and 95th percentile
    volume_ml: of the region; changed_ml: where the change is beyond the threshold, either way
    """

    name: str
    mean: float
    sd: float
    low: float
    high: float
    voxels: int
    changed_voxels: int
    volume_ml: float
    changed_ml: float


def usual_threshold(last_scan: slicer.vtkMRMLScalarVolumeNode) -> float:
    """A tenth of the range between the darkest and the brightest half per cent of the last scan."""
    low, high = np.percentile(thinned(slicer.util.arrayFromVolume(last_scan)), (0.5, 99.5))
    return float(_WINDOW_PART * (high - low)) or 1.0


def changes_in(
    change: slicer.vtkMRMLScalarVolumeNode,
    last_scan: slicer.vtkMRMLScalarVolumeNode,
    threshold: float,
    whole: str,
    region: Region | None = None,
) -> list[RegionChange]:
    """The change in the whole body, and in each segment or the region of interest.

    threshold: in the scan's units
    whole:     name of the whole: everything above Otsu's threshold of the last scan
    """
    return finished(measuring_changes(change, last_scan, threshold, whole, region))


def measuring_changes(
    change: slicer.vtkMRMLScalarVolumeNode,
    last_scan: slicer.vtkMRMLScalarVolumeNode,
    threshold: float,
    whole: str,
    region: Region | None = None,
) -> Steps[list[RegionChange]]:
    """`changes_in` one region at a time."""
    values = slicer.util.arrayFromVolume(change)
    regions = {whole: body_of(last_scan)}
    yield
    regions |= parts_of(region, change)
    voxel_ml = float(np.prod(change.GetSpacing())) / 1000
    found = []
    for name, inside in regions.items():
        yield
        if inside.any():
            found.append(_measured(name, values[inside], threshold, voxel_ml))
    return found


def _measured(name: str, values: np.ndarray, threshold: float, voxel_ml: float) -> RegionChange:
    low, high = np.percentile(values, (5, 95))
    changed = int(np.count_nonzero(np.abs(values) > threshold))
    return RegionChange(
        name=name,
        mean=float(values.mean()),
        sd=float(values.std()),
        low=float(low),
        high=float(high),
        voxels=values.size,
        changed_voxels=changed,
        volume_ml=values.size * voxel_ml,
        changed_ml=changed * voxel_ml,
    )
