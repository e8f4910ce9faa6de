"""Times of the frames of a 4D file, as its header gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import SimpleITK as sitk

from CRONOSLib.dates import parse_unit, parse_when
from CRONOSLib.errors import DateError
from CRONOSLib.imaging.files import read_header
from CRONOSLib.imaging.volumes import is_sequence
from CRONOSLib.series import TimeUnit

_NIFTI_TIME_UNITS = {8: TimeUnit.SECOND, 16: TimeUnit.MILLISECOND, 24: TimeUnit.MILLISECOND}  # xyzt_units & 0x38
_MICROSECONDS = 24
_ANY_UNIT = TimeUnit.DAY  # stands in when numbers are read whose unit is not known


@dataclass(frozen=True)
class FrameTimes:
    """When the frames of a 4D file were taken.

    values: T times, in `unit` where they are numbers
    unit:   None when the header does not say it, or when the values are dates
    """

    values: tuple[datetime | float, ...]
    unit: TimeUnit | None


def times_of_frames(
    path: Path, count: int, given: Sequence[float] | None = None, unit: TimeUnit | None = None
) -> FrameTimes:
    """Times of the `count` frames of a 4D file: those given, in `unit`, else those of its header.

    Raises DateError when neither tells the times or their unit, or when there are more or fewer times than frames.
    """
    times = FrameTimes(tuple(given), unit) if given is not None else frame_times(path)
    if times is None:
        raise DateError(f"'{path.name}' holds {count} frames without times. Give the times of the frames and a unit.")
    if len(times.values) != count:
        raise DateError(f"'{path.name}' holds {count} frames, but there are {len(times.values)} times. Give one each.")
    dated = [isinstance(value, datetime) for value in times.values]
    if any(dated) and not all(dated):
        raise DateError(f"'{path.name}' mixes dates and numbers as times of its frames. Give the times of the frames.")
    if all(dated):
        return FrameTimes(times.values, None)
    if times.unit is None and unit is None:
        first = ", ".join(f"{value:g}" for value in times.values[:3])
        raise DateError(f"The times of the {count} frames of '{path.name}' ({first}, …) have no unit. Say the unit.")
    return FrameTimes(times.values, times.unit or unit)


def frame_times(path: Path) -> FrameTimes | None:
    """Times in the header of a 4D file: index values of a Slicer sequence, or NIfTI pixdim[4] with xyzt_units.

    None when the header gives none. A NIfTI frame spacing of exactly 1 s counts as no unit, because most programs
    write it without knowing; the values are then 0, 1, 2, … for the user to confirm by naming a unit.

    Raises ImageError when the file cannot be opened, and DateError when an index value is neither number nor date.
    """
    reader = read_header(path)
    if reader.GetDimension() == 4 and reader.HasMetaDataKey("pixdim[4]"):
        return _nifti_times(reader)
    if is_sequence(reader, path):
        return _sequence_times(reader)
    return None


def _nifti_times(reader: sitk.ImageFileReader) -> FrameTimes | None:
    step = float(reader.GetMetaData("pixdim[4]"))
    code = int(float(reader.GetMetaData("xyzt_units"))) & 0x38
    if step <= 0:
        return None
    if code == _MICROSECONDS:
        step /= 1000
    written_by_default = step == 1 and code == 8
    values = tuple(step * index for index in range(reader.GetSize()[3]))
    return FrameTimes(values, None if written_by_default else _NIFTI_TIME_UNITS.get(code))


def _sequence_times(reader: sitk.ImageFileReader) -> FrameTimes | None:
    key = next((key for key in reader.GetMetaDataKeys() if key.endswith("index values")), None)
    if key is None:
        return None
    unit = _sequence_unit(reader)
    texts = [unquote(text) for text in reader.GetMetaData(key).split()]
    return FrameTimes(tuple(_index_value(text, unit) for text in texts), unit)


def _index_value(text: str, unit: TimeUnit | None) -> datetime | float:
    could_be_date = unit is None and len(text) == 8 and text.isdigit()
    return parse_when(text, None if could_be_date else unit or _ANY_UNIT)


def _sequence_unit(reader: sitk.ImageFileReader) -> TimeUnit | None:
    if not reader.HasMetaDataKey("NRRD_units[pixel]"):
        return None
    try:
        return parse_unit(reader.GetMetaData("NRRD_units[pixel]"))
    except DateError:
        return None
