"""What lies at a known place of a tree: folders, and the tables of a data set."""

from __future__ import annotations

import csv
import re
from pathlib import Path

_LEVELS = ("", "*/", "*/*/")
"""Archives unpack into one or two folders of their own."""


def holds(folder: Path, pattern: str) -> bool:
    """Whether something below a folder, or one or two levels deeper, has a path like `pattern`."""
    return any(next(folder.glob(level + pattern), None) is not None for level in _LEVELS)


def folders_named(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """Folders whose whole name matches, at the first level where there are any, in order of their names."""
    for level in _LEVELS:
        found = [path for path in folder.glob(level + "*") if path.is_dir() and name.fullmatch(path.name)]
        if found:
            return sorted(found, key=lambda path: (path.name, path))
    return []


def tables_at(folder: Path, pattern: str) -> list[Path]:
    """Files whose name is like `pattern` in a folder, then those in the two folders around it."""
    return [table for place in (folder, *folder.parents[:2]) for table in sorted(place.glob(pattern))]


def rows_of(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by the names of its columns."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
