"""The one way from files, folders and manifests to the series of a patient."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.dates import parse_when
from CRONOSLib.errors import DateError, ImageError, SeriesError
from CRONOSLib.imaging.dicom import read_dicom, read_series_of
from CRONOSLib.imaging.dicom_slices import is_dicom
from CRONOSLib.imaging.folders import FoundFile, ask_which, choose, describe, look_into, same_day
from CRONOSLib.imaging.frames import times_of_frames
from CRONOSLib.imaging.manifests import ManifestRow, is_manifest, read_manifest
from CRONOSLib.imaging.names import listed
from CRONOSLib.imaging.reading import Reading, join, merge
from CRONOSLib.imaging.volumes import is_label_map, label_map_doubt, read_frames
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit


@dataclass(frozen=True)
class Source:
    """Where scans lie and, for a single scan, when it was taken.

    path: image file, DICOM folder, folder of scans, 4D file, or manifest (.csv, .tsv)
    when: date (2024-03-01) or number, which needs the unit of the series; None reads it from the scan
    """

    path: Path
    when: str | None = None


@dataclass(frozen=True)
class _Choice:
    """What the user said about all sources."""

    unit: TimeUnit | None = None
    frame_times: tuple[float, ...] | None = None
    modality: str | None = None
    patient: str | None = None


def read_series(
    sources: Sequence[Source],
    *,
    unit: TimeUnit | None = None,
    frame_times: Sequence[float] | None = None,
    modality: str | None = None,
    patient: str | None = None,
) -> LongitudinalSeries:
    """The dated scans of one patient, out of one or more sources.

    unit:        unit of plain numbers in `when`, in a manifest's `time` and of `frame_times`; dates are turned into
                 it too (default: days)
    frame_times: times of the frames of a 4D file, in `unit`
    modality:    kind of scan to take where a folder or manifest holds several, such as `T1w`
    patient:     patient to take where there are several, such as `sub-01`

    Times come from `when`, else from DICOM, BIDS or the name of the file or folder; never from a guess.

    Raises DateError when a time is missing, ambiguous or unreadable, SeriesError when scans do not make a series,
    and ImageError when a file is not a 3D scan.
    """
    choice = _Choice(unit, tuple(frame_times) if frame_times is not None else None, modality, patient)
    return join([reading for source in sources for reading in _read(source, choice)], unit)


def read_scan(path: Path) -> sitk.Image:
    """One 3D scan of a file, a DICOM folder or a folder with one scan, whatever its date; float32, checked.

    Raises ImageError when it is not a 3D scan, SeriesError or DateError when it holds several.
    """
    reading = _read_place(_existing(path), _Choice())
    if len(reading.scans) > 1:
        raise SeriesError(f"'{path.name}' holds {len(reading.scans)} scans. Give one of them.")
    return reading.scans[0].image


def _existing(path: Path) -> Path:
    path = Path(path).expanduser().absolute()
    if not path.exists():
        raise ImageError(f"'{path}' does not exist. Check the path.")
    return path


def _read(source: Source, choice: _Choice) -> list[Reading]:
    path = _existing(source.path)
    if not is_manifest(path):
        return [_read_at(path, source.when, choice, TimeSource.TYPED)]
    if source.when is not None:
        raise DateError(f"'{path.name}' is a table of scans and cannot have one time. Give the times in the table.")
    rows = itertools.groupby(_rows(path, choice.patient), key=lambda row: row.path)
    return [reading for place, same in rows for reading in _read_rows(list(same), _existing(place), path, choice)]


def _rows(manifest: Path, patient: str | None) -> list[ManifestRow]:
    """Rows of one patient."""
    rows = [row for row in read_manifest(manifest) if patient in (None, row.subject)]
    if not rows:
        raise SeriesError(f"'{manifest.name}' lists no scan of patient '{patient}'. Choose one that it lists.")
    subjects = sorted({row.subject for row in rows if row.subject})
    if len(subjects) > 1:
        raise SeriesError(f"'{manifest.name}' lists {len(subjects)} patients. Choose one, such as '{subjects[0]}'.")
    return rows


def _read_rows(rows: Sequence[ManifestRow], path: Path, manifest: Path, choice: _Choice) -> list[Reading]:
    """The scans of rows with the same path; a 4D file whose frames have rows of their own is read once."""
    choices = [dataclasses.replace(choice, unit=row.unit or choice.unit, patient=None) for row in rows]
    if all(row.frame is None for row in rows):
        readings = [_read_at(path, row.when, own, TimeSource.MANIFEST) for row, own in zip(rows, choices)]
    else:
        scans = _untimed(path, choices[0])
        readings = [_read_frame(row, scans, own) for row, own in zip(rows, choices)]
    return [_named(reading, row, manifest) for reading, row in zip(readings, rows)]


def _untimed(path: Path, choice: _Choice) -> tuple[Scan, ...]:
    """The frames of a 4D file or of a DICOM series, by number."""
    return _read_place(path, choice).scans if path.is_dir() or is_dicom(path) else _scans_of(describe(path))


def _read_frame(row: ManifestRow, scans: Sequence[Scan], choice: _Choice) -> Reading:
    name = row.path.name
    if row.frame is None or row.when is None:
        raise SeriesError(f"A row of '{name}' lacks its frame or its time. Give both for each scan of a 4D file.")
    if row.frame >= len(scans):
        raise SeriesError(f"'{name}' has {len(scans)} frames, but number {row.frame} is listed. Count them from 0.")
    scan = scans[row.frame]
    numbered = dataclasses.replace(scan, name=f"{scan.name} frame {row.frame + 1:02d}", date=None)
    return Reading((numbered,)).at(parse_when(row.when, choice.unit), choice.unit, TimeSource.MANIFEST)


def _named(reading: Reading, row: ManifestRow, manifest: Path) -> Reading:
    """With the name and the subject of its row."""
    if len(reading.scans) > 1:
        raise SeriesError(f"'{row.path.name}' in '{manifest.name}' holds several scans. Give each its own row.")
    scan = reading.scans[0]
    named = dataclasses.replace(scan, name=row.name or scan.name, patient=row.subject or scan.patient)
    return dataclasses.replace(reading, scans=(named,))


def _read_at(path: Path, when: str | None, choice: _Choice, source: TimeSource) -> Reading:
    moment = None if when is None else parse_when(when, choice.unit)
    reading = _read_place(path, choice)
    return reading if moment is None else reading.at(moment, choice.unit, source)


def _read_place(path: Path, choice: _Choice) -> Reading:
    if path.is_dir():
        return _read_folder(path, choice)
    if is_dicom(path):
        return read_series_of(path, modality=choice.modality, patient=choice.patient)
    return _read_file(describe(path), choice)


def _read_folder(folder: Path, choice: _Choice) -> Reading:
    content = look_into(folder)
    if content.dicom:
        return read_dicom(content.dicom, folder, modality=choice.modality, patient=choice.patient)
    found = [describe(path, folder) for path in content.volumes]
    chosen, masks = [], list(content.masks)
    for group in same_day(choose(found, folder, choice.modality, choice.patient)):
        scans = [one for one in group if len(group) == 1 or not is_label_map(one.path)]
        if len(scans) != 1:
            raise ask_which(group, folder)
        chosen += scans
        masks += [one.path for one in group if one not in scans]
    readings = [_read_file(one, choice) for one in chosen]
    said = (f"'{folder.name}': masks left out ({listed([mask.name for mask in masks])}).",) if masks else ()
    return merge(readings, said)


def _read_file(found: FoundFile, choice: _Choice) -> Reading:
    scans = _scans_of(found)
    doubt = label_map_doubt(scans[0].image, found.path.name)
    warnings = (doubt,) if doubt else ()
    if len(scans) == 1:
        return Reading(scans, None, warnings)
    times = times_of_frames(found.path, len(scans), choice.frame_times, choice.unit)
    timed = (_frame(scan, number, value) for number, (scan, value) in enumerate(zip(scans, times.values), start=1))
    return Reading(tuple(timed), times.unit, warnings)


def _scans_of(found: FoundFile) -> tuple[Scan, ...]:
    """The scan of a file or the frames of a 4D one, of which the file's name does not tell the times."""
    return tuple(
        Scan(
            image=frame,
            time=math.nan,
            name=found.name,
            source=found.source,
            date=found.date,
            patient=found.patient,
            modality=found.modality,
            path=found.path,
        )
        for frame in read_frames(found.path)
    )


def _frame(scan: Scan, number: int, value: datetime | float) -> Scan:
    name, source = f"{scan.name} frame {number:02d}", TimeSource.SEQUENCE
    if isinstance(value, datetime):
        return dataclasses.replace(scan, name=name, source=source, date=value)
    return dataclasses.replace(scan, name=name, source=source, date=None, time=value)
