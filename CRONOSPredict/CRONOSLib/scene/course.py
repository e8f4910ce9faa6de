"""A measured quantity of a patient over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
import slicer

from CRONOSLib.scene.changes import usual_threshold
from CRONOSLib.scene.regions import Region, inside
from CRONOSLib.scene.sequences import item_at
from CRONOSLib.scene.timeline import TimelineNodes, notes_of, times_of


class Quantity(Enum):
    """What is measured inside a region.

    MEAN:    mean intensity, in the last scan's units
    CHANGED: volume whose intensity differs from the last scan by more than a threshold, ml
    """

    MEAN = "mean"
    CHANGED = "changed"


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
    threshold = threshold or usual_threshold(timeline.last)
    voxel_ml = float(np.prod(timeline.volume.GetSpacing())) / 1000
    last = slicer.util.arrayFromVolume(timeline.last)[mask].astype(np.float32)
    for time, note in zip(times_of(timeline), notes_of(timeline)):
        values = _inside(timeline.sequence, time, mask)
        spread = np.zeros_like(values) if note.real else _inside(timeline.spread, time, mask, values)
        low, value, high = _measured(quantity, values, spread, last, threshold, voxel_ml)
        yield Point(time, note.time, note.real, value, low, high)


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
