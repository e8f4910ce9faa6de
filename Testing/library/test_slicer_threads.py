"""Slicer's loop keeps the lock of the interpreter while its window waits, and threads must come on all the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)

_TURNS = 20_000
"""So often a timer is called before a test gives up."""


@pytest.fixture
def kept_lock() -> Iterator[None]:
    """No thread gets the lock of the interpreter but from one that waits for something."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(usual)


def test_a_question_about_many_files_is_answered(host, kept_lock) -> None:
    from CRONOSLib.scene.training.aside import Aside

    answers: list[int] = []
    aside: Aside[int] = Aside(answers.append)
    aside.ask(lambda: sum(Path(__file__).is_file() for _ in range(500)))
    aside._begin()
    for _ in range(_TURNS):
        if answers:
            break
        aside._look()
    assert answers == [500]


def test_a_forecast_comes(filled, kept_lock) -> None:
    filled.ui.forecastButton.click()
    job = filled.panel.run.job
    for _ in range(_TURNS):
        if not job.running:
            break
        job._poll()
    assert filled.getParameterNode().forecast is not None, filled.ui.messageLabel.text
