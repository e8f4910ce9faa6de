"""Manifests: tables that say which scans make a series, and when each was taken."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from CRONOSLib.dates import parse_unit
from CRONOSLib.errors import CronosError, DateError, SeriesError
from CRONOSLib.series import TimeUnit


@dataclass(frozen=True)
class ManifestRow:
    """One scan of a manifest.

    path:   absolute, or relative to the folder of the manifest
    when:   date, or number in `unit`, as text; None leaves it to the scan itself
    target: what to forecast of this patient: date, or number in `unit`, as text
    frame:  number of the scan in a 4D file, from 0; None for a file of one scan
    """

    path: Path
    when: str | None
    unit: TimeUnit | None
    subject: str | None
    name: str | None
    target: str | None = None
    frame: int | None = None


def is_manifest(path: Path) -> bool:
    """Whether the name ends like a table (.csv or .tsv)."""
    return path.suffix.lower() in (".csv", ".tsv")


def read_manifest(path: Path) -> tuple[ManifestRow, ...]:
    """Rows of a CSV or TSV table with the columns `path` and `date`, or `path`, `time` and `unit`.

    Optional columns are `subject`, `name`, `target` and `frame`; any other is ignored. Where a table has a date beside
    a time and its unit, as the manifest of a cohort does, the date counts. Commas, semicolons or tabs separate columns.

    Raises SeriesError when the table is missing, has no rows, lacks the column `path` or a path or has a frame that is
    no number, and DateError when a unit is unknown.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise SeriesError(f"The manifest '{path}' cannot be read. Check the path and its permissions.") from None
    except UnicodeDecodeError:
        raise SeriesError(f"The manifest '{path.name}' is not UTF-8 text. Save it as UTF-8.") from None
    lines = text.splitlines()
    header = lines[0] if lines else ""
    table = csv.DictReader(lines, delimiter=max("\t,;", key=header.count))
    table.fieldnames = [name.strip().lower() for name in table.fieldnames or ()]
    if "path" not in table.fieldnames:
        raise SeriesError(f"The manifest '{path.name}' has no column 'path'. Give it the columns path and date.")
    rows = tuple(_parse(table, path))
    if not rows:
        raise SeriesError(f"The manifest '{path.name}' lists no scan. Add one row for each scan.")
    return rows


def _parse(table: csv.DictReader[str], manifest: Path) -> Iterator[ManifestRow]:
    for cells in table:
        row = {key: (value or "").strip() for key, value in cells.items() if isinstance(value, str | None) and key}
        if not any(row.values()):
            continue
        try:
            yield _row(row, manifest.parent)
        except CronosError as error:
            raise type(error)(f"{manifest.name}, line {table.line_num}: {error}") from None


def _row(row: dict[str, str], folder: Path) -> ManifestRow:
    if not row["path"]:
        raise SeriesError("The path is empty. Give the file or folder of the scan.")
    date, time, unit = (row.get(column, "") for column in ("date", "time", "unit"))
    if date and time and ":" not in time:
        if not unit:
            raise DateError("There is a date and a time. Give one of them.")
        time = ""
    when = "T".join(part for part in (date, time) if part)
    return ManifestRow(
        path=folder / Path(row["path"]).expanduser(),
        when=when or None,
        unit=parse_unit(unit) if unit and time and not date else None,
        subject=row.get("subject") or None,
        name=row.get("name") or None,
        target=row.get("target") or None,
        frame=_frame(row.get("frame", "")),
    )


def _frame(text: str) -> int | None:
    if text and not text.isdecimal():
        raise SeriesError(f"The frame '{text}' is not a number. Count the scans of a 4D file from 0.")
    return int(text) if text else None
