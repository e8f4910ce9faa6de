"""The folder of the last run, which outlives scenes and sessions."""

from __future__ import annotations

from pathlib import Path

import qt

_KEY = "CRONOS/TrainingFolder"


def remember_run(folder: Path) -> None:
    """Keep the folder in the application's settings."""
    qt.QSettings().setValue(_KEY, str(folder))


def remembered_run() -> Path | None:
    """The folder kept last, if it is still there."""
    kept = qt.QSettings().value(_KEY)
    return Path(kept) if kept and Path(kept).is_dir() else None
