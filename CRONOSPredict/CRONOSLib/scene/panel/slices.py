"""Work on the scene, cut into pieces so that the window answers in between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from CRONOSLib.scene.steps import Steps

Work = Steps[Callable[[], None] | None]
"""Returns what is to be called when it is over, when it no longer counts as under way; what is given up halfway tidies
up for itself."""

_SHARE = 0.01  # s of one turn, unless a single piece takes longer


class Slices:
    """Runs work a few pieces at a time, one after the other."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()
        self._running: Work | None = None

    @property
    def busy(self) -> bool:
        """Whether something is left to do."""
        return self._running is not None or bool(self._waiting)

    def add(self, work: Work) -> None:
        """Do this after all that waits."""
        self._waiting.append(work)

    def step(self) -> None:
        """Do one piece, or several short ones; nothing when called from within a piece."""
        end = time.perf_counter() + _SHARE
        while self._waiting and self._running is None and time.perf_counter() < end:
            work = self._running = self._waiting.popleft()
            over: Callable[[], None] | None = None
            try:
                next(work)
            except StopIteration as ended:
                over = ended.value
            else:
                if self._running is work:
                    self._waiting.appendleft(work)
                else:  # it asked itself that all be given up
                    work.close()
            finally:
                if self._running is work:
                    self._running = None
            if over is not None:
                over()

    def clear(self) -> None:
        """Give up all that is left."""
        waiting, self._waiting, self._running = self._waiting, deque(), None
        for work in waiting:
            work.close()
