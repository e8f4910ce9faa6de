"""The worker as a panel or the Python console uses it: submit, poll, cancel. No torch, no Qt, no waiting."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

from CRONOSLib import errors
from CRONOSLib.worker.connection import Connection, Ended, Loaded, News
from CRONOSLib.worker.folder import PrivateFolder, remove_abandoned
from CRONOSLib.worker.job import ForecastJob, ForecastResult, Job
from CRONOSLib.worker.process import worker_command
from CRONOSLib.worker.protocol import (
    CancelledReply,
    CancelRequest,
    ErrorReply,
    InfoReply,
    InfoRequest,
    ProgressReply,
)

_PATIENCE = 0.8  # s until a worker that does not hear a cancel is killed
_LOG_LINES = 2000
_POLL_INTERVAL = 0.01  # s, of those who wait


def _nothing(*told: object) -> None:
    """Default of every callback."""


@dataclass(frozen=True)
class Listener:
    """Who is told about one job, in `poll` only; of the last three, exactly one is called, once.

    progress:  what is being done, fraction done in [0, 1], seconds left or None
    result:    the forecast (`ForecastResult`), or what else the job is about (`Check`)
    error:     an error of CRONOSLib.errors with one sentence that says what is wrong and what to do
    cancelled: by `cancel` or `close`, or because a newer job took its place
    """

    progress: Callable[[str, float, float | None], None] = _nothing
    result: Callable[[Any], None] = _nothing
    error: Callable[[errors.CronosError], None] = _nothing
    cancelled: Callable[[], None] = _nothing


@dataclass
class _Task:
    """A job that was submitted.

    deadline: when a cancelled one is stopped by force, monotonic, s
    doubtful: it was sent to a worker that was idle, which may have been killed unnoticed, and was not heard of since
    """

    number: int
    job: Job
    listener: Listener
    deadline: float | None = None
    doubtful: bool = False


class WorkerClient:
    """Forecasts in another process, one job at a time.

    Call `poll` again and again from the thread that owns the listeners, for example every 20 ms from a timer; nothing
    is called back elsewhere. A job that is submitted while another one runs waits for it; a third one takes the place
    of the waiting one. A worker that ended is started anew by the next job.

    command: what starts the worker, for tests; default: this Python with this library
    on_log:  told each line that the worker logs or prints, from another thread

    Raises OutputError when the folder for temporary files cannot be written.
    """

    def __init__(self, command: Sequence[str] | None = None, on_log: Callable[[str], None] = _nothing) -> None:
        Thread(target=remove_abandoned, name="tidying", daemon=True).start()
        self._command = list(command or worker_command())
        self._folder = PrivateFolder()
        self._numbers = itertools.count(1)
        self._connection: Connection | None = None
        self._running: _Task | None = None
        self._waiting: _Task | None = None
        self._replaced: list[_Task] = []
        self._ask_info: list[Callable[[InfoReply], None]] = []
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._on_log = on_log

    @property
    def busy(self) -> bool:
        """Whether a listener waits for the end of its job."""
        return self._running is not None or self._waiting is not None or bool(self._replaced)

    @property
    def log(self) -> str:
        """The last lines that workers printed or logged."""
        return "\n".join(self._log)

    @property
    def pid(self) -> int | None:
        """Number of the worker process, or None when there is none that is ready."""
        return self._connection.pid if self._connection else None

    def start(self) -> None:
        """Start the worker before it is needed: it then imports torch while the user still makes choices."""
        self._connected()

    def submit(self, job: Job, listener: Listener = Listener()) -> None:
        """Do a job as soon as the running one is done; it takes the place of one that waits."""
        if self._waiting is not None:
            self._replaced.append(self._waiting)
        self._waiting = _Task(next(self._numbers), job, listener)
        self._begin()

    def cancel(self) -> None:
        """Give up what runs and what waits; `cancelled` is called within a second."""
        if self._waiting is not None:
            self._replaced.append(self._waiting)
            self._waiting = None
        if self._running is not None and self._running.deadline is None:
            self._running.deadline = time.monotonic() + _PATIENCE
            self._connected().send(CancelRequest(self._running.number))

    def ask_info(self, on_info: Callable[[InfoReply], None]) -> None:
        """Ask for the devices and the version of torch, which starts the worker; answered before the next job."""
        self._ask_info.append(on_info)
        self._connected().send(InfoRequest())

    def poll(self) -> None:
        """Call the listeners about all that happened since; takes a millisecond or less of its own."""
        while self._replaced:
            self._replaced.pop(0).listener.cancelled()
        while self._connection is not None and (news := self._connection.next_news()) is not None:
            self._take(news)
        task = self._running
        if task is not None and task.deadline is not None and time.monotonic() > task.deadline:
            self._stop(task)

    def wait(self) -> None:
        """Poll until every listener has heard the end of its job."""
        while self.busy:
            self.poll()
            time.sleep(_POLL_INTERVAL)

    def forecast(
        self, job: ForecastJob, on_progress: Callable[[str, float, float | None], None] = _nothing
    ) -> ForecastResult:
        """Forecast and wait for it; `on_progress` may raise to stop, and Ctrl-C does.

        Raises the errors of `CRONOSLib.forecast.forecast`, and WorkerError when the process ends before it answers.
        """
        results: list[ForecastResult] = []
        failures: list[errors.CronosError] = []
        self.submit(job, Listener(on_progress, results.append, failures.append))
        try:
            self.wait()
        except BaseException:
            self.cancel()
            self.wait()
            raise
        if failures:
            raise failures[0]
        if not results:
            raise errors.WorkerError("The forecast was cancelled. Start it again when it is wanted.")
        return results[0]

    def close(self) -> None:
        """End the worker and remove all files; waits up to a second for it. `cancelled` is called for open jobs."""
        tasks = [task for task in (*self._replaced, self._running, self._waiting) if task is not None]
        self._replaced, self._running, self._waiting = [], None, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.kill()
            connection.wait(1.0)
        self._folder.remove()
        for task in tasks:
            task.listener.cancelled()

    def _connected(self) -> Connection:
        if self._connection is None:
            folder = self._folder.path / str(next(self._numbers))
            self._connection = Connection(self._command, folder, self._note)
        return self._connection

    def _begin(self) -> None:
        """Send the job that waits, if nothing runs."""
        if self._running is not None or self._waiting is None:
            return
        self._running, self._waiting = self._waiting, None
        self._running.doubtful = self._connection is not None
        self._connected().start(self._running.number, self._running.job)

    def _take(self, news: News) -> None:
        if isinstance(news, Ended):
            self._end(news)
        elif isinstance(news, InfoReply):
            self._ask_info.pop(0)(news)
        elif isinstance(news, ErrorReply) and news.job is None:
            self._note(news.sentence)
        elif self._running is not None and getattr(news, "job", None) == self._running.number:
            self._take_of_job(self._running, news)

    def _take_of_job(self, task: _Task, news: News) -> None:
        """What is heard of a cancelled job no longer counts, except that it has stopped."""
        task.doubtful = False
        if isinstance(news, ProgressReply):
            if task.deadline is None:
                task.listener.progress(news.what, news.fraction, news.seconds_left)
        elif isinstance(news, CancelledReply) or task.deadline is not None:
            self._finish(task.listener.cancelled)
        elif isinstance(news, Loaded):
            self._finish(lambda: task.listener.result(news.result))
        elif isinstance(news, ErrorReply):
            self._finish(lambda: task.listener.error(_error(news.kind, news.sentence)))

    def _end(self, ended: Ended) -> None:
        """The process is gone, by itself or by others; nobody needs to know when nothing was asked of it."""
        self._note(ended.failure.sentence)
        self._connection = None
        unanswered, self._ask_info = self._ask_info, []
        task = self._running
        if task is not None and task.deadline is not None:
            self._finish(task.listener.cancelled)
        elif task is not None and task.doubtful:
            task.doubtful = False
            self._connected().start(task.number, task.job)
        elif task is not None:
            self._finish(lambda: task.listener.error(_error(ended.failure.kind, ended.failure.sentence)))
        for on_info in unanswered:
            on_info(InfoReply(torch=None))

    def _stop(self, task: _Task) -> None:
        """By force: it did not hear."""
        connection, self._connection = self._connected(), None
        connection.kill()
        self.start()  # the user is about to ask for something else
        for _ in self._ask_info:
            self._connected().send(InfoRequest())
        self._finish(task.listener.cancelled)

    def _finish(self, tell: Callable[[], None]) -> None:
        """Go on with the next job first: whatever the listener does, the client is ready for it."""
        self._running = None
        self._begin()
        tell()

    def _note(self, line: str) -> None:
        self._log.append(line)
        self._on_log(line)


def _error(kind: str, sentence: str) -> errors.CronosError:
    """The error of a class of CRONOSLib.errors by its name; WorkerError for everything else."""
    found = getattr(errors, kind, errors.WorkerError)
    return found(sentence)
