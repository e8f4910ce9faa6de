"""A cohort on disk: which patients, which dated scans, which split, and a seal on the list."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from CRONOSLib.errors import CohortError
from CRONOSLib.series import TimeUnit

MANIFEST_NAME = "manifest.tsv"
COHORT_NAME = "cohort.json"
SPLITS = ("train", "validation", "test")
_SCHEMA = 1
_COLUMNS = ("subject", "time", "unit", "date", "path", "split")


@dataclass(frozen=True)
class Visit:
    """One scan of a patient.

    time: in the unit of the cohort
    path: the image file
    date: acquisition date, when there is one
    """

    time: float
    path: Path
    date: date | None = None


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
    generator, parameters, seed: how the cohort was made; empty, empty and None for collected scans
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
    """Write `manifest.tsv` and the `cohort.json` that seals it; image files must lie in `folder`.

    Raises CohortError when a patient is listed twice, a split is unknown, or times are not ascending.
    """
    patients = tuple(sorted(patients, key=lambda patient: patient.subject))
    _check_patients(patients)
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
    _replace(folder / MANIFEST_NAME, text)
    _replace(folder / COHORT_NAME, json.dumps(record, indent=2, sort_keys=True) + "\n")
    return Cohort(folder, name, unit, patients, digest, generator, parameters, seed)


def read_cohort(folder: Path) -> Cohort:
    """The cohort in `folder`, verified.

    Raises CohortError when files are missing, the manifest is not the one that was sealed, a patient stands in two
    splits, or an image is absent.
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
    _check_patients(patients)
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
            f"{path} is missing or unreadable. Give the folder of a cohort, or make one with 'cronos simulate glioma'."
        ) from error


def _manifest_text(folder: Path, patients: tuple[Patient, ...], unit: TimeUnit) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(_COLUMNS)
    for patient in patients:
        for visit in patient.visits:
            day = visit.date.isoformat() if visit.date else ""
            path = visit.path.relative_to(folder).as_posix() if visit.path.is_absolute() else visit.path.as_posix()
            writer.writerow([patient.subject, f"{visit.time:.10g}", unit.value, day, path, patient.split])
    return buffer.getvalue()


def _parse_manifest(folder: Path, text: str) -> tuple[tuple[Patient, ...], TimeUnit]:
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    if not rows or not set(_COLUMNS) - {"date"} <= set(rows[0]):
        raise CohortError(
            f"{folder / MANIFEST_NAME} has no patients or lacks one of the columns {', '.join(_COLUMNS)}."
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
    path = folder / row["path"]
    if not path.is_file():
        raise CohortError(f"The cohort lists {path}, which does not exist. Restore the file or make the cohort again.")
    try:
        time = float(row["time"])
        day = date.fromisoformat(row["date"]) if row.get("date") else None
    except ValueError as error:
        raise CohortError(f"Time '{row['time']}' or date '{row.get('date')}' of {path} is not readable.") from error
    return Visit(time, path, day)


def _check_patients(patients: tuple[Patient, ...]) -> None:
    subjects = [patient.subject for patient in patients]
    for subject in subjects:
        if subjects.count(subject) > 1:
            raise CohortError(f"Patient '{subject}' is listed twice. A patient belongs to one split only.")
    for patient in patients:
        if patient.split not in SPLITS:
            raise CohortError(f"Patient '{patient.subject}' has the split '{patient.split}'. Use {', '.join(SPLITS)}.")
        times = [visit.time for visit in patient.visits]
        if not all(map(math.isfinite, times)) or any(a >= b for a, b in itertools.pairwise(times)):
            raise CohortError(f"The times of patient '{patient.subject}' do not ascend. Sort its scans by time.")


def _replace(path: Path, text: str) -> None:
    """Write beside, then rename, so that no reader sees half a file."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(text.encode())
    beside.replace(path)
