"""Work on the scene, cut into pieces so that the window answers in between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator

Work = Generator[None, None, None]

_SHARE = 0.01  # s of one turn, unless a single piece takes longer


class Slices:
    """Generators that are run a few pieces at a time, one generator after the other.

    Each piece ends at a `yield`. What is closed halfway tidies up for itself.
    """

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()

    @property
    def busy(self) -> bool:
        """Whether something is left to do."""
        return bool(self._waiting)

    def add(self, work: Work) -> None:
        """Do this after all that waits."""
        self._waiting.append(work)

    def step(self) -> None:
        """Do one piece, or several short ones."""
        end = time.perf_counter() + _SHARE
        while self._waiting and time.perf_counter() < end:
            work = self._waiting[0]
            try:
                next(work)
            except BaseException as stopped:
                if work in self._waiting:  # unless what it did cleared everything
                    self._waiting.remove(work)
                if not isinstance(stopped, StopIteration):
                    raise

    def clear(self) -> None:
        """Give up all that is left."""
        waiting, self._waiting = self._waiting, deque()
        for work in waiting:
            if not work.gi_running:  # then it asked for this itself, and ends at its next `yield`
                work.close()
