"""The question whether a run is to go on when Slicer is closed."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer


class CloseFilter(qt.QWidget):
    """Hears when the main window is about to be closed, and lets it.

    on_close: called before
    """

    def __init__(self, on_close: Callable[[], None]) -> None:
        qt.QWidget.__init__(self)
        self._on_close = on_close
        self._window = slicer.util.mainWindow()
        if self._window is not None:
            self._window.installEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """Called by Qt for every event of the window."""
        if event.type() == qt.QEvent.Close:
            self._on_close()
        return False

    def remove(self) -> None:
        """Hear no more; once is enough."""
        window, self._window = self._window, None
        if window is not None:
            window.removeEventFilter(self)
