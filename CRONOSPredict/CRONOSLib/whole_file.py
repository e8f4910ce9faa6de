"""A file that appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def write_whole_file(path: Path, content: str | bytes | memoryview) -> None:
    """Write beside, then rename: a full disk or a power cut leaves the file that was there before.

    One process at a time; what a killed one left beside is written over. Raises OSError.
    """
    _write(path, path.with_name(f".{path.name}.part"), content)


def write_shared_file(path: Path, content: str) -> None:
    """As `write_whole_file`, for a file that several processes write: the last one wins. Raises OSError."""
    _write(path, path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}"), content)


def _write(path: Path, beside: Path, content: str | bytes | memoryview) -> None:
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
