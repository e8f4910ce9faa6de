"""Folders at a known depth of a tree."""

from __future__ import annotations

import re
from pathlib import Path

from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing

_LEVELS = ("", "*/", "*/*/")
"""Archives unpack into one or two folders of their own."""

AT_3_MM = Preprocessing(GridSpec(spacing_mm=3.0))
"""Heads scanned over months: rigidly aligned, voxels of 3 mm."""


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
