"""Volume nodes with dates as the longitudinal series of one patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import slicer

from CRONOSLib.dates import parse_date
from CRONOSLib.errors import DateError, SeriesError
from CRONOSLib.imaging.volumes import check_volume
from CRONOSLib.scene.dates import NodeDate, date_of
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import image_of
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit

Date = str | date | datetime
"""A date as a caller may write it: ISO 8601 or DICOM text, or a Python date."""


@dataclass(frozen=True)
class NodeSeries:
    """A longitudinal series and the volume nodes that its scans come from, both oldest first."""

    series: LongitudinalSeries
    nodes: tuple[slicer.vtkMRMLScalarVolumeNode, ...]

    @property
    def last_node(self) -> slicer.vtkMRMLScalarVolumeNode:
        """Node of the most recent scan."""
        return self.nodes[-1]


def series_of_dates(
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode], dates: Sequence[Date | None] | None = None
) -> NodeSeries:
    """Series in days from volume nodes in any order; the nodes are left as they are.

    dates: one per node; None, as a whole or for one node, asks the node itself (`CRONOSLib.scene.dates.date_of`)

    Raises SeriesError, DateError or ImageError when a number does not fit, a date is missing or a volume is no scan.
    """
    given: Sequence[Date | None] = [None] * len(nodes) if dates is None else dates
    _check_one_per_node(nodes, given, "dates")
    known = [_known_date(node, text) for node, text in zip(nodes, given)]
    scans = [_scan(node, time=0.0, source=when.source, date=when.date) for node, when in zip(nodes, known)]
    return NodeSeries(LongitudinalSeries.from_dates(scans), _in_order(nodes, [when.date for when in known]))


def series_of_times(
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
    times: Sequence[float],
    unit: TimeUnit,
    source: TimeSource = TimeSource.TYPED,
) -> NodeSeries:
    """Series from volume nodes whose times, in `unit`, are no dates: cardiac phases, index values of a sequence.

    Raises SeriesError or ImageError as `series_of_dates`.
    """
    _check_one_per_node(nodes, times, "times")
    scans = tuple(_scan(node, time=float(time), source=source, date=None) for node, time in zip(nodes, times))
    return NodeSeries(LongitudinalSeries(scans, unit), _in_order(nodes, times))


def as_datetime(when: Date) -> datetime:
    """A date as a caller may write it, at midnight when it has no time. Raises DateError when it cannot be read."""
    if isinstance(when, datetime):
        return when
    if isinstance(when, date):
        return datetime(when.year, when.month, when.day)
    return parse_date(when)


def _in_order(nodes: Sequence, times: Sequence) -> tuple:
    return tuple(nodes[index] for index in sorted(range(len(nodes)), key=lambda index: times[index]))


def _check_one_per_node(nodes: Sequence, values: Sequence, what: str) -> None:
    if len(nodes) != len(values):
        raise SeriesError(f"{len(nodes)} volumes but {len(values)} {what} were given. Give one for each volume.")


def _known_date(node: slicer.vtkMRMLScalarVolumeNode, given: Date | None) -> NodeDate:
    if given is not None:
        return NodeDate(as_datetime(given), TimeSource.TYPED)
    found = date_of(node)
    if found is None:
        raise DateError(f"When volume '{node.GetName()}' was acquired is not known. Give its date as 2024-03-01.")
    return found


def _scan(node: slicer.vtkMRMLScalarVolumeNode, time: float, source: TimeSource, date: datetime | None) -> Scan:
    image = image_of(node)
    check_volume(image, node.GetName())
    hierarchy = SubjectHierarchy(node.GetScene())
    return Scan(
        image=image,
        time=time,
        name=node.GetName(),
        source=source,
        date=date,
        patient=hierarchy.patient_name(node),
        modality=hierarchy.modality(node),
    )
