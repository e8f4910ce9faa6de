"""A file that appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole_file(path: Path, content: str | bytes | memoryview) -> None:
    """Write beside, then rename: a full disk or a power cut leaves the file that was there before."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
