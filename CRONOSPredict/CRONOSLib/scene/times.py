"""The time of a volume node that is no date: heart phases, frames of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import slicer

from CRONOSLib.series import TimeSource, TimeUnit

TIME_ATTRIBUTE = "CRONOS.Time"
"""Node attribute with the time as a number; it is saved with the scene."""

UNIT_ATTRIBUTE = "CRONOS.TimeUnit"
"""Node attribute with the value of the `TimeUnit` of that time."""


@dataclass(frozen=True)
class NodeTime:
    """When a volume was acquired, in a unit with any origin, and how that is known."""

    time: float
    unit: TimeUnit
    source: TimeSource = TimeSource.SEQUENCE


def time_of(node: slicer.vtkMRMLNode) -> NodeTime | None:
    """Time kept with a volume node, or None when it has none (it may have a date)."""
    kept = node.GetAttribute(TIME_ATTRIBUTE)
    return NodeTime(float(kept), TimeUnit(node.GetAttribute(UNIT_ATTRIBUTE))) if kept else None


def keep_time(node: slicer.vtkMRMLNode, when: NodeTime) -> None:
    """Keep a time with the node, so that it survives saving the scene."""
    node.SetAttribute(TIME_ATTRIBUTE, repr(when.time))
    node.SetAttribute(UNIT_ATTRIBUTE, when.unit.value)
