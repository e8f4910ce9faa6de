"""results.csv of a cohort forecast: one row per patient, whatever became of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from CRONOSLib.errors import OutputError
from CRONOSLib.outputs.folder import REPORT
from CRONOSLib.whole_file import write_shared_file

TABLE = "results.csv"
DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(frozen=True)
class PatientRow:
    """One patient of the table; the fields, in this order, are its columns. Empty where it does not apply.

    outcome:  "done", "failed" or "waiting"
    sentence: why it failed, and what to do
    target:   date of the forecast, or its time
    horizon:  from the last scan to the target, in `unit`
    scans:    how many the forecast was made from
    skill, nrmse, lci_nrmse: against the true scan, where one was held out
    spread:   what spread.nrrd is
    warnings: how many the report has
    folder:   of the patient's forecast, below the table
    """

    subject: str
    outcome: str
    sentence: str = ""
    target: str = ""
    horizon: float | None = None
    unit: str = ""
    scans: int | None = None
    method: str = ""
    bundle: str = ""
    skill: float | None = None
    nrmse: float | None = None
    lci_nrmse: float | None = None
    spread: str = ""
    warnings: int | None = None
    seconds: float | None = None
    folder: str = ""


def row_of(subject: str, folder: Path) -> PatientRow:
    """What the files of a patient say.

    folder: of the patient's forecast, there or not; a failure stands beside it, see `note_failure`
    """
    failure = _failure(folder)
    if failure.is_file():  # first: an older forecast may have been about to be replaced
        return PatientRow(subject, FAILED, sentence=failure.read_text("utf-8").strip())
    if (folder / REPORT).is_file():
        return _done(subject, folder, json.loads((folder / REPORT).read_text("utf-8")))
    return PatientRow(subject, WAITING)


def note_failure(folder: Path, sentence: str) -> None:
    """Write beside a patient's folder why there is none. Raises OSError."""
    write_shared_file(_failure(folder), sentence + "\n")


def forget_failure(folder: Path) -> None:
    """A new attempt begins."""
    _failure(folder).unlink(missing_ok=True)


def write_table(path: Path, rows: Sequence[PatientRow]) -> None:
    """Beside, then renamed, so that several processes may write it. Raises OutputError when it cannot be written."""
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=[column.name for column in fields(PatientRow)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    try:
        write_shared_file(path, text.getvalue())
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written ({error.strerror}). Choose another folder.") from error


def _done(subject: str, folder: Path, report: dict[str, Any]) -> PatientRow:
    target, metrics, bundle = report["target"], report["metrics"] or {}, report["bundle"] or {}
    return PatientRow(
        subject,
        DONE,
        target=target["date"] or f"{target['time']:g}",
        horizon=target["horizon"],
        unit=target["unit"],
        scans=len(report["scans"]),
        method=report["method"],
        bundle=bundle.get("name", ""),
        skill=metrics.get("skill"),
        nrmse=metrics["forecast"]["nrmse"] if metrics else None,
        lci_nrmse=metrics["lci"]["nrmse"] if metrics else None,
        spread=report["spread"] or "",
        warnings=len(report["warnings"]),
        seconds=report["seconds"],
        folder=folder.name,
    )


def _failure(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.failed.txt")
