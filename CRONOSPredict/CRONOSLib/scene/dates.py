"""The acquisition date of a volume node, and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import slicer

from CRONOSLib.dates import date_in_name, parse_date
from CRONOSLib.errors import DateError
from CRONOSLib.imaging.bids import bids_date
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.series import TimeSource

DATE_ATTRIBUTE = "CRONOS.AcquisitionDate"
"""Node attribute with the date as ISO 8601 text; it is saved with the scene."""

SOURCE_ATTRIBUTE = "CRONOS.DateSource"
"""Node attribute with the value of the `TimeSource` of that date."""

_DICOM_DATE_AND_TIME = (
    ("0008,002a", None),  # AcquisitionDateTime
    ("0008,0022", "0008,0032"),  # AcquisitionDate, AcquisitionTime
    ("0008,0021", "0008,0031"),  # SeriesDate, SeriesTime
    ("0008,0020", "0008,0030"),  # StudyDate, StudyTime
)


@dataclass(frozen=True)
class NodeDate:
    """When a volume was acquired, and how that is known."""

    date: datetime
    source: TimeSource


def date_of(node: slicer.vtkMRMLNode) -> NodeDate | None:
    """Acquisition date of a volume node, or None when nothing tells it.

    Asked in this order: the date kept with the node, the DICOM database, the study in the subject hierarchy, BIDS,
    the node's name, the name of its file.

    Raises DateError when a name holds several different dates or an ambiguous one.
    """
    kept = node.GetAttribute(DATE_ATTRIBUTE)
    if kept:
        return NodeDate(parse_date(kept), TimeSource(node.GetAttribute(SOURCE_ATTRIBUTE) or TimeSource.TYPED.value))
    dicom = _first_readable([*_database_dates(node), SubjectHierarchy(node.GetScene()).study_date(node) or ""])
    if dicom is not None:
        return NodeDate(dicom, TimeSource.DICOM)
    file = _file(node)
    bids = bids_date(file) if file else None
    if bids is not None:
        return NodeDate(bids, TimeSource.BIDS)
    named = date_in_name(node.GetName() or "") or (date_in_name(file.name) if file else None)
    return NodeDate(named, TimeSource.NAME) if named else None


def keep_date(node: slicer.vtkMRMLNode, date: datetime, source: TimeSource = TimeSource.TYPED) -> None:
    """Keep the acquisition date with the node, so that it survives saving the scene."""
    node.SetAttribute(DATE_ATTRIBUTE, date.isoformat())
    node.SetAttribute(SOURCE_ATTRIBUTE, source.value)


def _database_dates(node: slicer.vtkMRMLNode) -> Iterator[str]:
    """Dates that the application's DICOM database has for the node's first file, best first; some may be empty."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not instances or not (file := database.fileForInstance(instances[0])):
        return
    for date_tag, time_tag in _DICOM_DATE_AND_TIME:
        date = database.fileValue(file, date_tag)
        time = database.fileValue(file, time_tag) if date and time_tag else ""
        yield from (date + time, date)


def _first_readable(dates: list[str]) -> datetime | None:
    """First date that can be read: DICOM leaves dates empty, and de-identification leaves odd ones."""
    for text in dates:
        try:
            return parse_date(text)
        except DateError:
            continue
    return None


def _file(node: slicer.vtkMRMLNode) -> Path | None:
    storage = node.GetStorageNode()
    name = storage.GetFileName() if storage else None
    return Path(name) if name else None
