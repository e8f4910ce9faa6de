"""DICOM images as slices: what their headers say about place, time and patient."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from CRONOSLib.dates import parse_date
from CRONOSLib.errors import DateError, ImageError, MissingPackageError

_DATE_TAGS = (  # in this order
    ("AcquisitionDateTime", None),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)
_TAGS = [
    *(tag for pair in _DATE_TAGS for tag in pair if tag),
    *("PatientID", "Modality", "SeriesDescription", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames"),
    *("TriggerTime", "NominalCardiacTriggerDelayTime", "SliceThickness", "SamplesPerPixel"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
_NOT_SCANS = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG", "DOC"}


@dataclass(frozen=True)
class Slice:
    """One slice of a DICOM series: a file, or one frame of a file of several frames.

    position:     centre of the first voxel, mm, LPS
    orientation:  direction cosines of a row and of a column, 6 numbers
    spacing_mm:   between columns (x) and between rows (y)
    size:         columns (x), rows (y)
    thickness_mm: SliceThickness, None when not given
    trigger_ms:   time after the R wave, None when not gated
    date:         acquisition date, None when the header has no valid one
    """

    path: Path
    frame: int | None
    series: str
    study: str
    instance: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    size: tuple[int, int]
    thickness_mm: float | None
    trigger_ms: float | None
    date: datetime | None
    patient: str | None
    modality: str | None
    description: str | None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice, row × column."""
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return normal / np.linalg.norm(normal)

    @property
    def location_mm(self) -> float:
        """Place along the normal: SliceLocation as it truly is."""
        return float(self.normal @ np.asarray(self.position))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, whatever its name: 128 bytes, then `DICM` (PS3.10 section 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except FileNotFoundError:  # a link to nothing, as in data sets that are fetched bit by bit
        return False
    except PermissionError:
        raise ImageError(f"'{path}' may not be read. Give yourself permission to read it.") from None


def read_slices(files: Iterable[Path]) -> list[Slice]:
    """Slices of DICOM files, in the files' order; objects that are no scans (segmentations, reports) are left out.

    Raises ImageError when a file is damaged or an image has no place in space, and MissingPackageError without
    pydicom.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about values that break the standard in de-identified files
        return [found for path in files for found in _slices_of(path)]


def _slices_of(path: Path) -> list[Slice]:
    header = _header(path)
    if header.get("Modality") in _NOT_SCANS or not header.get("Rows"):
        return []
    if int(header.get("SamplesPerPixel") or 1) > 1:
        raise ImageError(f"'{path.name}' is a colour image. Give a DICOM series of grey values.")
    frames = header.get("PerFrameFunctionalGroupsSequence") or ()
    try:
        if int(header.get("NumberOfFrames") or 1) == 1 or not frames:
            return [_slice(header, path, None, [header])]
        shared = list(header.get("SharedFunctionalGroupsSequence") or ())
        return [_slice(header, path, number, [frame, *shared]) for number, frame in enumerate(frames)]
    except _NoSpaceError as error:
        raise ImageError(
            f"'{path.name}' has no {error} in its DICOM header, so its place is unknown. "
            "Convert the series to NIfTI or NRRD."
        ) from None


def _header(path: Path) -> Any:
    try:
        import pydicom
    except ImportError:
        raise MissingPackageError("DICOM needs the package pydicom. Install it with: pip install pydicom") from None
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (pydicom.errors.InvalidDicomError, EOFError, OSError, ValueError):
        raise ImageError(f"'{path.name}' is damaged or cut off. Copy or download it again.") from None


class _NoSpaceError(Exception):
    """A tag that says where a slice lies is missing; the message is its name."""


def _slice(header: Any, path: Path, frame: int | None, places: list[Any]) -> Slice:
    """Slice from a file's header and the places, nearest first, where functional groups may stand (PS3.3 C.7.6.16)."""
    rows, columns = _numbers(places, "PixelSpacing", "PixelMeasuresSequence")
    thickness = _find(places, "SliceThickness", "PixelMeasuresSequence")
    trigger = _find([header], "TriggerTime") if frame is None else None
    if trigger is None:
        trigger = _find(places, "NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence")
    return Slice(
        path=path,
        frame=frame,
        series=str(header.get("SeriesInstanceUID") or path.parent),
        study=str(header.get("StudyInstanceUID") or path.parent),
        instance=str(header.get("SOPInstanceUID") or path),
        position=_numbers(places, "ImagePositionPatient", "PlanePositionSequence"),
        orientation=_numbers(places, "ImageOrientationPatient", "PlaneOrientationSequence"),
        spacing_mm=(columns, rows),
        size=(int(header.Columns), int(header.Rows)),
        thickness_mm=None if thickness is None else float(thickness),
        trigger_ms=None if trigger is None else float(trigger),
        date=_date(header),
        patient=_text(header, "PatientID"),
        modality=_text(header, "Modality"),
        description=_text(header, "SeriesDescription"),
    )


def _find(places: list[Any], tag: str, group: str | None = None) -> Any:
    for place in places:
        inner = place.get(group) if group else None
        value = inner[0].get(tag) if inner else place.get(tag)
        if value not in (None, ""):
            return value
    return None


def _numbers(places: list[Any], tag: str, group: str) -> tuple[float, ...]:
    value = _find(places, tag, group)
    if value is None:
        raise _NoSpaceError(tag)
    return tuple(float(number) for number in value)


def _text(header: Any, tag: str) -> str | None:
    return str(header.get(tag) or "").strip() or None


def _date(header: Any) -> datetime | None:
    """First valid date of the header; de-identification leaves empty dates and dates such as 20120000."""
    for day_tag, clock_tag in _DATE_TAGS:
        day, clock = _text(header, day_tag), _text(header, clock_tag) if clock_tag else None
        for text in (f"{day}T{clock}", day) if day and clock else (day,):
            try:
                return parse_date(text or "")
            except DateError:
                continue
    return None
