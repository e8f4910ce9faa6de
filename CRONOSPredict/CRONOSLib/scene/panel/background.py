"""Work on the scene that goes on while the user does something else."""

from __future__ import annotations

import qt

from CRONOSLib.scene.panel.slices import Slices
from CRONOSLib.scene.steps import Steps

_PAUSE_MS = 10


class Background:
    """Does a little of its work in each turn of Qt's loop."""

    def __init__(self) -> None:
        self._slices = Slices()
        self._timer = qt.QTimer()
        self._timer.setInterval(_PAUSE_MS)
        self._timer.connect("timeout()", self._step)

    @property
    def busy(self) -> bool:
        """Whether something is left to do."""
        return self._slices.busy

    def add(self, work: Steps[None]) -> None:
        """Do this after all that waits."""
        self._slices.add(work)
        self._timer.start()

    def clear(self) -> None:
        """Give up all that is left."""
        self._timer.stop()
        self._slices.clear()

    def _step(self) -> None:
        self._slices.step()
        if not self._slices.busy:
            self._timer.stop()
