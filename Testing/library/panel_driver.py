"""Hands and eyes for tests of the panel."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer


def pick(combo, data: str) -> None:
    """Choose an item as a click does."""
    index = combo.findData(data)
    assert index >= 0, data
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Let Qt work until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        slicer.app.processEvents()
        time.sleep(0.005)
    slicer.app.processEvents()


def shown_views() -> list[str]:
    """Names of the slice views of the current layout."""
    layouts = slicer.app.layoutManager()
    names = layouts.sliceViewNames()
    return [name for name in names if layouts.sliceWidget(name).mrmlSliceNode().IsMappedInLayout()]


def run(panel) -> None:
    """Forecast, and wait for the result."""
    panel.ui.forecastButton.click()
    assert panel.ui.forecastButton.text == "Cancel", panel.ui.messageLabel.text
    until(lambda: panel.ui.forecastButton.text == "Forecast" and not panel.panel.results.busy)
