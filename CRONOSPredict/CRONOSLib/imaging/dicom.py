"""DICOM folders: series, gated or not, with the dates and phases that their headers give."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from CRONOSLib.dates import date_in_name
from CRONOSLib.errors import SeriesError
from CRONOSLib.imaging.dicom_slices import Slice, is_dicom, read_slices
from CRONOSLib.imaging.dicom_stacks import by_location, stack
from CRONOSLib.imaging.names import listed
from CRONOSLib.imaging.reading import Reading, merge
from CRONOSLib.imaging.volumes import check_volume
from CRONOSLib.series import Scan, TimeSource, TimeUnit


def read_dicom(
    files: Sequence[Path], folder: Path, *, modality: str | None = None, patient: str | None = None
) -> Reading:
    """Scans of DICOM files: dated ones, one for each series, or the phases of one gated series in ms.

    files:    DICOM files of any name, in any order
    folder:   where they lie, for names and messages
    modality: take only series of this Modality or SeriesDescription
    patient:  take only this PatientID

    A gated series holds several images at each place. They are sorted by place, then by TriggerTime; phase k is made
    of the k-th image of every place, at the mean of their trigger times.

    Raises ImageError when the slices make no volume, and SeriesError when the files are of several patients, of
    several series on one day, or of images at one place that TriggerTime does not tell apart.
    """
    slices, warnings = _without_copies(read_slices(files), folder)
    chosen = [one for one in slices if _is_chosen(one, modality, patient)]
    if not chosen:
        raise SeriesError(_nothing(folder, slices))
    _require_one_patient(chosen, folder)
    series = [by_location(group) for group in group_series(chosen)]
    if len(series) == 1:
        return _scans_of(series[0], folder, warnings)
    _require_one_each_day(series, folder)
    return merge([_scans_of(places, folder, ()) for places in series], warnings)


def read_series_of(file: Path, *, modality: str | None = None, patient: str | None = None) -> Reading:
    """Scans of the series that a DICOM file belongs to, whose other files lie beside it; otherwise as `read_dicom`."""
    own = {one.series for one in read_slices([file])}
    beside = (path for path in file.parent.iterdir() if path.is_file() and path != file and is_dicom(path))
    others = dict.fromkeys(one.path for one in read_slices(beside) if one.series in own)
    place = file.parent if others else file
    return read_dicom([file, *others], place, modality=modality, patient=patient)


def _is_chosen(one: Slice, modality: str | None, patient: str | None) -> bool:
    names = {(name or "").lower() for name in (one.modality, one.description)}
    return (modality is None or modality.lower() in names) and patient in (None, one.patient)


def _nothing(folder: Path, slices: Sequence[Slice]) -> str:
    kinds = listed(name for one in slices for name in (one.description or one.modality,) if name)
    if not kinds:
        return f"'{folder.name}' holds no DICOM images. Give the folder of an image series."
    return f"'{folder.name}' holds no scan of that patient and kind. There are: {kinds}."


def _require_one_patient(slices: Sequence[Slice], folder: Path) -> None:
    patients = {one.patient for one in slices if one.patient}
    if len(patients) > 1:
        raise SeriesError(f"'{folder.name}' holds several patients ({listed(patients)}). Choose one of them.")


def _without_copies(slices: Sequence[Slice], folder: Path) -> tuple[list[Slice], tuple[str, ...]]:
    """Each image once; copies have the same SOPInstanceUID."""
    unique = {(one.instance, one.frame): one for one in reversed(slices)}  # the first of several copies stays
    copies = len(slices) - len(unique)
    if not copies:
        return list(slices), ()
    said = f"'{folder.name}' holds {copies} {'copy' if copies == 1 else 'copies'} of other DICOM images, left out."
    return list(reversed(unique.values())), (said,)


def group_series(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices by series; gated series of one place each, as some scanners write a cine stack, become one."""
    groups: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for one in slices:
        groups[(one.series,)].append(one)
    merged: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for key, group in groups.items():
        merged[_plane(group[0]) if _is_one_gated_place(group) else key].extend(group)
    return list(merged.values())


def _is_one_gated_place(group: Sequence[Slice]) -> bool:
    triggers = {one.trigger_ms for one in group}
    return len(group) > 1 and None not in triggers and len(triggers) > 1 and len({one.position for one in group}) == 1


def _plane(one: Slice) -> tuple[object, ...]:
    return one.study, one.size, one.spacing_mm, tuple(np.round(one.orientation, 2))


def _require_one_each_day(series: Sequence[list[list[Slice]]], folder: Path) -> None:
    by_day: dict[object, list[str]] = defaultdict(list)
    for places in series:
        first = places[0][0]
        by_day[first.date.date() if first.date else None].append(first.description or first.modality or "unnamed")
    for day, names in by_day.items():
        if len(names) > 1:
            raise SeriesError(
                f"'{folder.name}' holds {len(names)} series of {day or 'an unknown day'} ({listed(names)}). "
                "Choose one kind, or give the folder of one series."
            )
    if any(len(place) > 1 for places in series for place in places):
        raise SeriesError(f"'{folder.name}' mixes gated series with others. Give the folder of one series.")


def _scans_of(places: list[list[Slice]], folder: Path, warnings: tuple[str, ...]) -> Reading:
    if max(map(len, places)) == 1:
        slices = [place[0] for place in places]
        scan, said = _scan(slices, slices[0].path.parent.name, math.nan, TimeSource.DICOM)
        return Reading((_dated(scan, slices, folder),), None, warnings + said)
    phases, said = _phases(places, folder)
    scans = []
    for number, phase in enumerate(phases, start=1):
        time = float(np.mean([one.trigger_ms for one in phase]))
        scan, more = _scan(phase, f"{folder.name} phase {number:02d}", time, TimeSource.TRIGGER)
        scans.append(scan)
        said += more
    return Reading(tuple(scans), TimeUnit.MILLISECOND, warnings + tuple(dict.fromkeys(said)))


def _dated(scan: Scan, slices: Sequence[Slice], folder: Path) -> Scan:
    """With the date of the earliest slice; without one, as after de-identification, the nearest folder's name tells."""
    dates = [one.date for one in slices if one.date]
    if dates:
        return dataclasses.replace(scan, date=min(dates))
    parents = slices[0].path.relative_to(folder.parent).parts[:-1]
    named = next((date for name in reversed(parents) if (date := date_in_name(name))), None)
    return dataclasses.replace(scan, date=named, source=TimeSource.NAME)


def _phases(places: list[list[Slice]], folder: Path) -> tuple[list[list[Slice]], tuple[str, ...]]:
    """Slices of every phase, (phases, places), and warnings."""
    counts = {len(place) for place in places}
    if any(one.trigger_ms is None for place in places for one in place):
        raise SeriesError(
            f"'{folder.name}' holds several images at one place without a TriggerTime. Give one folder for each scan."
        )
    if len(counts) > 1:
        raise SeriesError(
            f"The slices in '{folder.name}' have {min(counts)} to {max(counts)} phases. "
            "Give a folder in which every slice has the same number."
        )
    ordered = [sorted(place, key=lambda one: one.trigger_ms or 0.0) for place in places]
    times = np.array([[one.trigger_ms for one in place] for place in ordered], dtype=float)  # (places, phases)
    if (np.diff(times, axis=1) <= 0).any():
        raise SeriesError(f"'{folder.name}' holds several images of one place and TriggerTime. Leave all but one out.")
    spread = float(np.ptp(times, axis=0).max())
    said = f"The trigger times of one phase differ by up to {spread:.0f} ms between slices; their mean is used."
    return [list(phase) for phase in zip(*ordered)], (said,) if spread > np.diff(times, axis=1).min() / 2 else ()


def _scan(slices: Sequence[Slice], name: str, time: float, source: TimeSource) -> tuple[Scan, tuple[str, ...]]:
    image, said = stack(slices)
    check_volume(image, name)
    first = slices[0]
    scan = Scan(
        image=image,
        time=time,
        name=name,
        source=source,
        patient=first.patient,
        modality=first.modality,
        path=first.path if first.frame is not None else first.path.parent,
    )
    return scan, said
