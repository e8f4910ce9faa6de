"""Folders of volume files: which of them are scans, of whom, and when."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from CRONOSLib.dates import date_in_name
from CRONOSLib.errors import DateError, ImageError, SeriesError
from CRONOSLib.imaging.bids import bids_date, bids_name
from CRONOSLib.imaging.dicom_slices import is_dicom
from CRONOSLib.imaging.names import (
    is_volume_name,
    listed,
    modality_in_name,
    names_a_mask,
    patient_in_path,
    stem,
    tokens,
)
from CRONOSLib.series import TimeSource

_NOT_SCANS = {"derivatives", "sourcedata", "code", "truth"}  # `truth`: what a forecast must not see
_FORECAST = {"forecast.nrrd", "report.json"}  # in the folder of a forecast, which may lie beside the scans


@dataclass(frozen=True)
class FoundFile:
    """A volume file and what its name and its tables say; its voxels are not read yet."""

    path: Path
    name: str
    date: datetime | None
    source: TimeSource
    patient: str | None
    modality: str | None


@dataclass(frozen=True)
class FolderContent:
    """Files below a folder, as `files_below` finds them; `masks` by their names."""

    volumes: tuple[Path, ...]
    masks: tuple[Path, ...]
    dicom: tuple[Path, ...]


def look_into(folder: Path) -> FolderContent:
    """What lies below a folder.

    Raises ImageError when there is no scan below it, when it may not be read, and SeriesError when DICOM and other
    scans lie there together.
    """
    files = files_below(folder)
    if not files:
        raise ImageError(f"The folder '{folder}' is empty. Give a folder with scans.")
    volumes = [path for path in files if is_volume_name(path)]
    dicom = tuple(path for path in files if not is_volume_name(path) and path.name != "DICOMDIR" and is_dicom(path))
    masks = tuple(path for path in volumes if names_a_mask(path))
    scans = tuple(path for path in volumes if path not in masks)
    if not scans and not dicom:
        raise ImageError(f"The folder '{folder}' holds no scan. Give a folder with NIfTI, NRRD, MetaImage or DICOM.")
    if scans and dicom:
        raise SeriesError(f"The folder '{folder.name}' holds DICOM beside {scans[0].name}. Give one of the two.")
    return FolderContent(scans, masks, dicom)


def describe(path: Path, root: Path | None = None) -> FoundFile:
    """What BIDS tables or the name of a file say of it; without a date there, the folders below `root` are asked.

    root: the folder that stands for the scans; None for a file given alone, whose own folder may then tell the date

    Raises DateError when the names hold several dates.
    """
    entities = bids_name(path)
    date, source = (bids_date(path), TimeSource.BIDS) if entities else (_date_in_path(path, root), TimeSource.NAME)
    return FoundFile(
        path=path,
        name=stem(path),
        date=date,
        source=source,
        patient=entities.subject if entities else patient_in_path(path),
        modality=entities.suffix if entities else modality_in_name(path),
    )


def choose(found: Sequence[FoundFile], folder: Path, modality: str | None, patient: str | None) -> list[FoundFile]:
    """The files of one patient and, when asked for, of one kind (a word of the name, such as `T1w`).

    Raises SeriesError when none is left or several patients are, DateError when one of several files has no date.
    """
    chosen = [one for one in found if modality is None or modality.lower() in map(str.lower, tokens(one.name))]
    chosen = [one for one in chosen if patient in (None, one.patient, f"sub-{one.patient}")]
    if not chosen:
        raise SeriesError(f"'{folder.name}' holds no scan of that patient and kind. Look at the names of its files.")
    patients = sorted({one.patient for one in chosen if one.patient})
    if len(patients) > 1:
        raise SeriesError(f"'{folder.name}' holds several patients ({listed(patients)}). Choose one of them.")
    undated = [str(one.path.relative_to(folder)) for one in chosen if one.date is None]
    if undated and len(chosen) > 1:
        raise DateError(
            f"{len(undated)} of {len(chosen)} scans in '{folder.name}' have no date ({listed(undated)}). "
            "Give each scan its date, or a table with the columns path and date."
        )
    return chosen


def same_day(found: Sequence[FoundFile]) -> list[list[FoundFile]]:
    """Files grouped by the time that they say, earliest first."""
    groups: dict[datetime | None, list[FoundFile]] = defaultdict(list)
    for one in found:
        groups[one.date].append(one)
    return [groups[date] for date in sorted(groups, key=lambda date: date or datetime.min)]


def ask_which(group: Sequence[FoundFile], folder: Path) -> SeriesError:
    """The question that several scans of one time raise."""
    date = group[0].date
    when = f"{date:%Y-%m-%d}" if date else "no date"
    return SeriesError(
        f"'{folder.name}' holds {len(group)} scans of {when} ({listed([one.name for one in group])}). "
        "Choose one kind of scan, or give the scans one by one."
    )


def files_below(folder: Path) -> list[Path]:
    """Files in a folder and its folders, but not in hidden, derived and true ones (`truth`), nor in those of forecasts.

    Raises ImageError when the folder may not be read.
    """
    try:
        os.scandir(folder).close()
    except PermissionError:
        raise ImageError(f"The folder '{folder}' may not be read. Give yourself permission to read it.") from None
    found = []
    for where, folders, names in os.walk(folder):
        if Path(where) != folder and set(names) >= _FORECAST:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_SCANS)
        found += [Path(where, name) for name in sorted(names) if not name.startswith(".")]
    return found


def _date_in_path(path: Path, root: Path | None) -> datetime | None:
    if root is None:
        return date_in_name(path.name) or date_in_name(path.parent.name)
    inside = path.relative_to(root)
    dates = [date for name in (*inside.parts, root.name) if (date := date_in_name(name))]
    if len({date.date() for date in dates}) > 1:
        raise DateError(f"The names in '{root.name}/{inside}' hold different dates. Say which one is the scan's.")
    return max(dates, default=None)
