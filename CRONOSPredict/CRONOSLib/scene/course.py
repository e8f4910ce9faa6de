"""A measured quantity of a patient over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
import SimpleITK as sitk
import slicer

from CRONOSLib.errors import ImageError
from CRONOSLib.scene.changes import usual_threshold
from CRONOSLib.scene.regions import Region, inside
from CRONOSLib.scene.sequences import item_at
from CRONOSLib.scene.timeline import TimelineNodes, notes_of, times_of

_MARGIN_MM = 10.0
"""How far around segments their volume may grow."""


class Quantity(Enum):
    """What is measured inside a region.

    MEAN:    mean intensity, in the last scan's units
    CHANGED: volume whose intensity differs from the last scan by more than a threshold, ml
    VOLUME:  volume of the segments: as drawn on the last scan, plus what comes to look like them in or near them, minus
             what no longer does, ml
    """

    MEAN = "mean"
    CHANGED = "changed"
    VOLUME = "volume"


@dataclass(frozen=True)
class Point:
    """A quantity at one time.

    time:      in the unit of the sequence
    label:     the date, or the time with its unit
    low, high: of a forecast: with every voxel lower or higher by its spread, together; an error that differs from
               voxel to voxel makes less. Of a real scan: the value itself
    """

    time: float
    label: str
    real: bool
    value: float
    low: float
    high: float


def course_of(
    timeline: TimelineNodes, quantity: Quantity, region: Region | None = None, threshold: float = 0.0
) -> Iterator[Point]:
    """A quantity at every frame, by time; each point is measured when it is asked for.

    region:    where, None: in the body, as the last scan shows it
    threshold: smallest difference from the last scan that counts, in its units; 0 takes `usual_threshold`

    Raises ImageError when no voxel lies inside the region.
    """
    mask = inside(region, timeline.volume, timeline.volume) if region else inside(None, timeline.last, timeline.volume)
    look = None
    if quantity is Quantity.VOLUME:
        if region is None:
            raise ImageError("There is no segment whose volume could be measured. Choose a segmentation.")
        mask, look = _look_of(mask, timeline)
    threshold = threshold or usual_threshold(timeline.last)
    voxel_ml = float(np.prod(timeline.volume.GetSpacing())) / 1000
    last = slicer.util.arrayFromVolume(timeline.last)[mask].astype(np.float32)
    for time, note in zip(times_of(timeline), notes_of(timeline)):
        values = _inside(timeline.sequence, time, mask)
        spread = np.zeros_like(values) if note.real else _inside(timeline.spread, time, mask, values)
        if look is None:
            low, value, high = _measured(quantity, values, spread, last, threshold, voxel_ml)
        else:
            low, value, high = (voxel_ml * look.voxels(values, sign * spread) for sign in (-1, 0, 1))
        yield Point(time, note.time, note.real, value, low, high)


@dataclass(frozen=True)
class _Look:
    """What tells segments from what lies around them in the last scan: the middle between the mean intensities of both.

    drawn:    voxels of the segments on the last scan
    alike:    voxels in and near them that look like them on the last scan
    brighter: 1 where the segments are the brighter ones, else −1
    """

    middle: float
    brighter: int
    drawn: int
    alike: int

    def voxels(self, values: np.ndarray, spread: np.ndarray) -> int:
        """Voxels of the segments at another time, from the intensities in and near them, each moved by its spread."""
        alike = np.count_nonzero(self.brighter * (values - self.middle) + spread > 0)
        return max(self.drawn + int(alike) - self.alike, 0)


def _look_of(segments: np.ndarray, timeline: TimelineNodes) -> tuple[np.ndarray, _Look]:
    """(D, H, W) the segments with `_MARGIN_MM` around them, and how the last scan tells them apart."""
    spacing = timeline.volume.GetSpacing()[::-1]
    reach = [int(np.ceil(_MARGIN_MM / step)) for step in spacing]
    box = tuple(
        slice(max(found.min() - steps, 0), found.max() + steps + 1) for found, steps in zip(np.nonzero(segments), reach)
    )
    image = sitk.GetImageFromArray(segments[box].astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    near = np.zeros_like(segments)
    near[box] = sitk.GetArrayViewFromImage(distance) <= _MARGIN_MM
    voxels = slicer.util.arrayFromVolume(timeline.last)
    within, around = float(voxels[segments].mean()), float(voxels[near & ~segments].mean())
    middle, brighter = (within + around) / 2, 1 if within > around else -1
    alike = int(np.count_nonzero(brighter * (voxels[near] - middle) > 0))
    return near, _Look(middle, brighter, int(segments.sum()), alike)


def _inside(
    sequence: slicer.vtkMRMLSequenceNode | None, time: float, mask: np.ndarray, like: np.ndarray | None = None
) -> np.ndarray:
    """(N,) voxels of a frame; 0 where there is no such frame."""
    frame = item_at(sequence, time) if sequence else None
    return np.zeros_like(like) if frame is None else slicer.util.arrayFromVolume(frame)[mask]


def _measured(
    quantity: Quantity, values: np.ndarray, spread: np.ndarray, last: np.ndarray, threshold: float, voxel_ml: float
) -> tuple[float, float, float]:
    """Low, value and high."""
    if quantity is Quantity.MEAN:
        mean, uncertainty = float(values.mean()), float(spread.mean())
        return mean - uncertainty, mean, mean + uncertainty
    change = np.abs(values - last)
    low, value, high = (voxel_ml * np.count_nonzero(change + sign * spread > threshold) for sign in (-1, 0, 1))
    return low, value, high
