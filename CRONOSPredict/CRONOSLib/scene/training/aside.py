"""Questions whose answers take a while, asked aside so that the window goes on."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

import qt

from CRONOSLib.scene.threads import let_threads_run

T = TypeVar("T")
_PATIENCE_MS = 300  # until a choice is taken for made: paths and numbers are typed
_POLL_MS = 20


class Aside(Generic[T]):
    """Asks in a thread; the last question wins, and an answer to an earlier one is dropped.

    on_answer: told the answer, in Qt's own loop
    """

    def __init__(self, on_answer: Callable[[T], None]) -> None:
        self._on_answer = on_answer
        self._work: Callable[[], T] | None = None
        self._answers: SimpleQueue[T] | None = None
        self._soon, self._poll = qt.QTimer(), qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PATIENCE_MS)
        self._soon.connect("timeout()", self._begin)
        self._poll.setInterval(_POLL_MS)
        self._poll.connect("timeout()", self._look)

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._work is not None or self._answers is not None

    def ask(self, work: Callable[[], T]) -> None:
        """Ask soon, unless another question comes before; `work` runs in a thread and knows no scene."""
        self._answers = None
        self._work = work
        self._soon.start()

    def forget(self) -> None:
        """Nobody wants to know any more."""
        self._soon.stop()
        self._poll.stop()
        self._work = self._answers = None

    def _begin(self) -> None:
        work, self._work = self._work, None
        if work is None:
            return
        answers: SimpleQueue[T] = SimpleQueue()
        self._answers = answers
        Thread(target=lambda: answers.put(work()), name="CRONOS question", daemon=True).start()
        self._poll.start()

    def _look(self) -> None:
        if self._answers is None:
            self._poll.stop()
            return
        let_threads_run()
        try:
            answer = self._answers.get_nowait()
        except Empty:
            return
        self._answers = None
        self._poll.stop()
        self._on_answer(answer)
