"""Real scans, which do not come with this repository: their tests are skipped where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_PATIENTS = Path(os.environ.get("CRONOS_REAL_PATIENTS") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""One folder for each kind: glioblastoma, multiple-sclerosis, cardiac-cine, fetal-growth."""


def needs(kind: str) -> pytest.MarkDecorator:
    """Skips a test where the real scans of this kind are absent."""
    absent = not (REAL_PATIENTS / kind).is_dir()
    return pytest.mark.skipif(absent, reason=f"CRONOS_REAL_PATIENTS names no folder with real scans of {kind}")
