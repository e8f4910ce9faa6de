"""A cohort on disk: which patients, which dated scans, which split, and a seal on the list."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from CRONOSLib.cohorts.leaks import check_patients
from CRONOSLib.cohorts.splits import SPLITS
from CRONOSLib.errors import CohortError
from CRONOSLib.series import TimeUnit
from CRONOSLib.whole_file import write_whole_file

MANIFEST_NAME = "manifest.tsv"
COHORT_NAME = "cohort.json"
_SCHEMA = 1
_REQUIRED = ("subject", "time", "unit", "path", "split")
_COLUMNS = ("subject", "time", "unit", "date", "path", "frame", "channel", "mask", "split", "sha256")
_WHEN_USED = {"frame", "channel", "mask", "sha256"}
"""Columns that a cohort without such values does not write."""
_TIME_FORMAT = ".10g"


@dataclass(frozen=True)
class Visit:
    """One scan of a patient.

    time:    in the unit of the cohort
    path:    the image file, the folder of a DICOM series, or one of its files where the folder holds others too
    date:    acquisition date, when there is one
    frame:   number of the scan in a 4D file, from 0; None for a 3D file
    channel: kind of image, such as "CT1" or "T1w"; empty when it is not known
    mask:    label image of this visit that says where to measure (lesion, heart); not 0 is inside
    sha256:  digest of the content of `path`, when it was measured
    """

    time: float
    path: Path
    date: date | None = None
    frame: int | None = None
    channel: str = ""
    mask: Path | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Patient:
    """The visits of one patient, oldest first, and the split that the whole patient belongs to."""

    subject: str
    split: str
    visits: tuple[Visit, ...]


@dataclass(frozen=True)
class Cohort:
    """Patients for training and measuring.

    folder:          where `manifest.tsv` and `cohort.json` lie
    manifest_sha256: what a bundle records as its training data
    generator, parameters, seed: how the cohort was made; empty, empty and None where that is not known
    """

    folder: Path
    name: str
    unit: TimeUnit
    patients: tuple[Patient, ...]
    manifest_sha256: str
    generator: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None

    def split(self, name: str) -> tuple[Patient, ...]:
        """The patients of "train", "validation" or "test".

        Raises CohortError for another name.
        """
        if name not in SPLITS:
            raise CohortError(f"There is no split '{name}'. Choose one of {', '.join(SPLITS)}.")
        return tuple(patient for patient in self.patients if patient.split == name)


def as_written(time: float) -> float:
    """A time with the digits that a manifest keeps."""
    return float(f"{time:{_TIME_FORMAT}}")


def write_cohort(
    folder: Path,
    patients: Iterable[Patient],
    *,
    name: str,
    unit: TimeUnit = TimeUnit.DAY,
    generator: str = "",
    parameters: Mapping[str, object] | None = None,
    seed: int | None = None,
) -> Cohort:
    """Write `manifest.tsv` and the `cohort.json` that seals it.

    Files in `folder` are listed relative to it, so that the folder can move; others by their absolute path.

    Raises CohortError as `check_patients` does.
    """
    patients = tuple(sorted(patients, key=lambda patient: patient.subject))
    check_patients(patients)
    text = _manifest_text(folder, patients, unit)
    digest = hashlib.sha256(text.encode()).hexdigest()
    parameters = dict(parameters or {})
    record = {
        "schema": _SCHEMA,
        "name": name,
        "generator": generator,
        "parameters": parameters,
        "seed": seed,
        "patients": len(patients),
        "manifest_sha256": digest,
    }
    write_whole_file(folder / MANIFEST_NAME, text)
    write_whole_file(folder / COHORT_NAME, json.dumps(record, indent=2, sort_keys=True) + "\n")
    return Cohort(folder, name, unit, patients, digest, generator, parameters, seed)


def read_cohort(folder: Path) -> Cohort:
    """The cohort in `folder`, verified.

    Raises CohortError when files are missing, the manifest is not the one that was sealed, an image is absent, and as
    `check_patients` does when a patient or a scan stands in two places.
    """
    folder = Path(folder)
    record = _read_record(folder)
    text = _read_text(folder / MANIFEST_NAME)
    if hashlib.sha256(text.encode()).hexdigest() != record["manifest_sha256"]:
        raise CohortError(
            f"{folder / MANIFEST_NAME} was changed after the cohort was made. "
            "Restore it, or make the cohort again so that results stay comparable."
        )
    patients, unit = _parse_manifest(folder, text)
    check_patients(patients)
    return Cohort(
        folder=folder,
        name=str(record.get("name", folder.name)),
        unit=unit,
        patients=patients,
        manifest_sha256=record["manifest_sha256"],
        generator=str(record.get("generator", "")),
        parameters=record.get("parameters") or {},
        seed=record.get("seed"),
    )


def _read_record(folder: Path) -> dict:
    text = _read_text(folder / COHORT_NAME)
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise CohortError(f"{folder / COHORT_NAME} is not valid JSON. Make the cohort again.") from error
    if not isinstance(record, dict) or record.get("schema") != _SCHEMA or "manifest_sha256" not in record:
        raise CohortError(f"{folder / COHORT_NAME} is not a cohort of schema {_SCHEMA}. Make the cohort again.")
    return record


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(
            f"{path} is missing or unreadable. Give the folder of a cohort, "
            "or make one with 'cronos prepare' or 'cronos simulate'."
        ) from error


def _manifest_text(folder: Path, patients: tuple[Patient, ...], unit: TimeUnit) -> str:
    rows = [_row(folder, patient, visit, unit) for patient in patients for visit in patient.visits]
    columns = [name for name in _COLUMNS if name not in _WHEN_USED or any(row[name] for row in rows)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _row(folder: Path, patient: Patient, visit: Visit, unit: TimeUnit) -> dict[str, str]:
    return {
        "subject": patient.subject,
        "time": f"{visit.time:{_TIME_FORMAT}}",
        "unit": unit.value,
        "date": visit.date.isoformat() if visit.date else "",
        "path": _written(folder, visit.path),
        "frame": "" if visit.frame is None else str(visit.frame),
        "channel": visit.channel,
        "mask": _written(folder, visit.mask) if visit.mask else "",
        "split": patient.split,
        "sha256": visit.sha256,
    }


def _written(folder: Path, path: Path) -> str:
    inside = path.is_absolute() and path.is_relative_to(folder)
    return (path.relative_to(folder) if inside else path).as_posix()


def _parse_manifest(folder: Path, text: str) -> tuple[tuple[Patient, ...], TimeUnit]:
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    if not rows or not set(_REQUIRED) <= set(rows[0]):
        raise CohortError(
            f"{folder / MANIFEST_NAME} has no patients or lacks one of the columns {', '.join(_REQUIRED)}."
        )
    units = {row["unit"] for row in rows}
    if len(units) != 1 or not units <= {unit.value for unit in TimeUnit}:
        raise CohortError(f"{folder / MANIFEST_NAME} must use one known time unit, but has {', '.join(sorted(units))}.")
    patients = []
    for subject, group in itertools.groupby(rows, key=lambda row: row["subject"]):
        visits = list(group)
        splits = {row["split"] for row in visits}
        if len(splits) != 1:
            raise CohortError(f"Patient '{subject}' stands in several splits. A patient belongs to one split only.")
        patients.append(Patient(subject, splits.pop(), tuple(_parse_visit(folder, row) for row in visits)))
    return tuple(patients), TimeUnit(units.pop())


def _parse_visit(folder: Path, row: Mapping[str, str]) -> Visit:
    path = _existing(folder / row["path"])
    try:
        return Visit(
            time=float(row["time"]),
            path=path,
            date=date.fromisoformat(row["date"]) if row.get("date") else None,
            frame=int(row["frame"]) if row.get("frame") else None,
            channel=row.get("channel") or "",
            mask=_existing(folder / row["mask"]) if row.get("mask") else None,
            sha256=row.get("sha256") or "",
        )
    except ValueError as error:
        raise CohortError(f"A number or date of {path} in the manifest is not readable ({error}).") from error


def _existing(path: Path) -> Path:
    if not path.exists():
        raise CohortError(f"The cohort lists {path}, which does not exist. Restore the file or make the cohort again.")
    return path
