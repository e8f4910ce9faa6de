"""BIDS: who and when, from entities in file names, `*_scans.tsv` and `*_sessions.tsv`.

Source: Brain Imaging Data Structure 1.10, "Scans file" and "Sessions file".
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from CRONOSLib.dates import date_in_name, parse_date
from CRONOSLib.errors import DateError
from CRONOSLib.imaging.names import stem

_MISSING = {"", "n/a"}
_LEVELS = 4  # subject / session / data type / file


@dataclass(frozen=True)
class BidsName:
    """Entities of a BIDS file name: `sub-01_ses-02_T1w` -> subject 01, session 02, suffix T1w."""

    subject: str
    session: str | None
    suffix: str


def bids_name(path: Path) -> BidsName | None:
    """Entities of a file name, or None when it is not a BIDS name."""
    *entities, suffix = stem(path).split("_")
    values = dict(entity.split("-", 1) for entity in entities if "-" in entity)
    if "sub" not in values or not stem(path).startswith("sub-"):
        return None
    return BidsName(values["sub"], values.get("ses"), suffix)


def bids_date(path: Path) -> datetime | None:
    """Acquisition date of a BIDS image: of its scans table, else its sessions table, else its `ses-` label.

    None when none of them tells. Raises DateError when a table holds an acq_time that is no date.
    """
    name = bids_name(path)
    if name is None:
        return None
    for table in _tables(path, f"sub-{name.subject}*_scans.tsv"):
        for row in _rows(table):
            if (table.parent / (row.get("filename") or "")).resolve() == path.resolve() and (date := _date(row, table)):
                return date
    if name.session is None:
        return None
    for table in _tables(path, f"sub-{name.subject}_sessions.tsv"):
        for row in _rows(table):
            if (row.get("session_id") or "").removeprefix("ses-") == name.session and (date := _date(row, table)):
                return date
    return date_in_name(name.session)


def _tables(path: Path, pattern: str) -> list[Path]:
    """Tables in the folders above a file, nearest first."""
    return [table for folder in path.parents[:_LEVELS] for table in sorted(folder.glob(pattern))]


def _rows(table: Path) -> list[dict[str, str | None]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _date(row: dict[str, str | None], table: Path) -> datetime | None:
    text = (row.get("acq_time") or "").strip()
    if text in _MISSING:
        return None
    try:
        return parse_date(text)
    except DateError as error:
        raise DateError(f"{table.name}, acq_time: {error}") from None
