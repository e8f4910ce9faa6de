"""The worker's side: takes requests, forecasts one after the other, and ends with its parent."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import BinaryIO

from CRONOSLib.forecasting import devices
from CRONOSLib.worker.checking import checked
from CRONOSLib.worker.failures import explained
from CRONOSLib.worker.forecasting import Forecaster
from CRONOSLib.worker.protocol import (
    CancelledReply,
    CancelRequest,
    CheckRequest,
    Device,
    ErrorReply,
    ForecastRequest,
    InfoReply,
    InfoRequest,
    LogReply,
    ProgressReply,
    ProtocolError,
    ReadyReply,
    Reply,
    Request,
    ShutdownRequest,
    decode,
    encode,
)

_NEWS_INTERVAL = 0.1  # s; more often, nobody reads it
_IDLE = 10.0  # s without a request, after which others may have the memory that torch holds in reserve


class Cancelled(Exception):
    """The forecast that runs is no longer wanted."""


class Server:
    """Answers the requests of one parent.

    Two threads: one reads, so that a cancel is heard while the other one forecasts. When the requests end, the parent
    has closed them or is dead, by whatever means: the process then removes the folder and ends at once.

    requests, replies: lines of JSON
    folder:            holds the files of this process
    """

    def __init__(self, requests: BinaryIO, replies: BinaryIO, folder: Path | None = None) -> None:
        self._requests, self._replies, self._folder = requests, replies, folder
        self._waiting: SimpleQueue[Request] = SimpleQueue()
        self._unwanted: set[int] = set()
        self._begun = 0
        self._deciding = Lock()
        self._speaking = Lock()
        self._forecaster = Forecaster()

    def serve(self) -> None:
        """Answer until the parent is gone; never returns."""
        Thread(target=self._listen, name="requests", daemon=True).start()
        self._say(ReadyReply(os.getpid()))
        logging.getLogger().addHandler(_LogToParent(self._say))
        _warm_up()
        while True:
            request = self._next_request()
            if isinstance(request, (ForecastRequest, CheckRequest)):
                self._work(request)
            elif isinstance(request, InfoRequest):
                self._say(_info())

    def _next_request(self) -> Request:
        try:
            return self._waiting.get(timeout=_IDLE)
        except Empty:
            devices.empty_memory()
        return self._waiting.get()

    def _listen(self) -> None:
        try:
            for line in self._requests:
                self._hear(line)
        finally:
            self._end()

    def _hear(self, line: bytes) -> None:
        try:
            request = decode(line)
        except ProtocolError as error:
            self._say(ErrorReply(None, str(error), "bug"))
            return
        if isinstance(request, CancelRequest):
            self._give_up(request.job)
            return
        if isinstance(request, ShutdownRequest):
            self._end()
        if isinstance(request, (ForecastRequest, CheckRequest)):
            self._say(ProgressReply(request.job, "Starting", 0.0))
        self._waiting.put(request)

    def _give_up(self, job: int) -> None:
        """A job that runs says itself that it stopped; one that waits, perhaps for torch, has stopped already."""
        with self._deciding:
            self._unwanted.add(job)
            waits = job > self._begun
        if waits:
            self._say(CancelledReply(job))

    def _end(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)  # a forecast may be running, and nothing of it is wanted

    def _say(self, reply: Reply) -> None:
        with self._speaking:
            try:
                self._replies.write(encode(reply))
                self._replies.flush()
            except OSError:  # nobody listens
                self._end()

    def _work(self, request: ForecastRequest | CheckRequest) -> None:
        with self._deciding:
            self._begun = request.job
            self._unwanted = {job for job in self._unwanted if job >= request.job}
            if request.job in self._unwanted:
                return
        progress = _Progress(request.job, self._say)

        def check() -> None:
            if request.job in self._unwanted:
                raise Cancelled

        def tell(what: str, fraction: float) -> None:
            check()
            progress.tell(what, fraction)

        try:
            if isinstance(request, CheckRequest):
                reply: Reply = checked(request, tell)
            else:
                reply = self._forecaster.forecast(request, tell, check)
        except Cancelled:
            reply = CancelledReply(request.job)
        except Exception as error:  # the process outlives the mistakes of one forecast
            reply = explained(request.job, error)
        self._say(reply)


class _Progress:
    """News about one forecast: not too often, and with a guess how long it will take."""

    def __init__(self, job: int, say: Callable[[Reply], None]) -> None:
        self._job, self._say = job, say
        self._began: tuple[float, float] | None = None  # s, fraction
        self._last: tuple[str, float] = ("", 0.0)

    def tell(self, what: str, fraction: float) -> None:
        now = time.monotonic()
        if what == self._last[0] and now < self._last[1] + _NEWS_INTERVAL:
            return
        self._last = (what, now)
        if self._began is None or fraction < self._began[1]:  # less than at first: it began again, another way
            self._began = (now, fraction)
        spent, done = now - self._began[0], fraction - self._began[1]
        left = spent * (1 - fraction) / done if done > 0 and spent > 0 else None
        self._say(ProgressReply(self._job, what, fraction, left))


class _LogToParent(logging.Handler):
    """Sends log records to the parent."""

    def __init__(self, say: Callable[[Reply], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = say

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(LogReply(self.format(record)))


def _warm_up() -> None:
    """Import what takes seconds before somebody waits for it; what is missing is said with the first forecast."""
    try:
        import torch  # noqa: F401
        import torchdiffeq  # noqa: F401
    except ImportError as error:
        logging.warning(str(error))


def _info() -> InfoReply:
    cpu = Device("cpu", "CPU")
    try:
        import torch
    except ImportError:
        return InfoReply(None, (cpu,))
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    devices = [Device(f"cuda:{index}", gpu.name, gpu.total_memory / 1e6) for index, gpu in enumerate(gpus)]
    return InfoReply(str(torch.__version__), (*devices, cpu))
