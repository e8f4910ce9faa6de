"""How a run is asked to stop, and what it says then."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from CRONOSLib.errors import TrainingStopped
from CRONOSLib.training.run_folder import RunFolder

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Asked by SIGTERM, by Ctrl-C or by a file `stop` in the folder of the run.

    heard: a step has ended since, and its checkpoint is written
    """

    def __init__(self, folder: RunFolder) -> None:
        self.heard = False
        self.in_steps = False
        self._folder = folder
        self._signalled = False

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self._signalled or self._folder.stop_file.exists()

    def check(self) -> None:
        """Raises TrainingStopped when asked, where there is no step to wait for."""
        if self.asked:
            raise TrainingStopped("Stopped. The same command goes on from here.")

    def finish(self, step: int, steps: int) -> None:
        """Raises TrainingStopped when the steps ended because it was asked for."""
        if self.heard:
            raise TrainingStopped(f"Stopped at step {step} of {steps}. The same command goes on from there.")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals count as requests inside the block; a second Ctrl-C ends everything at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals; only in the main thread."""
        for number in _SIGNALS:
            signal.signal(number, self._take)

    def _take(self, number: int, *_: Any) -> None:
        if number == signal.SIGINT and self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        if not self.in_steps:
            self.check()


class HearStop(Callback):
    """Lets the steps end in order: inside them a signal only leaves a note."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def on_train_start(self, *_: Any) -> None:
        """Lightning has taken the signals; take them back."""
        self.stop.in_steps = True
        if threading.current_thread() is threading.main_thread():
            self.stop.listen()

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """There is no step to wait for any more."""
        self.stop.in_steps = False
