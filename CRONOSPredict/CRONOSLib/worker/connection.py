"""One worker process as its parent sees it; whatever takes time happens in threads of its own."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO

from CRONOSLib.worker.failures import Failure, explained, why_ended
from CRONOSLib.worker.job import Job, Result, load_result
from CRONOSLib.worker.process import Process, kill_process, pipes_of, start_process
from CRONOSLib.worker.protocol import (
    CancelledReply,
    CheckReply,
    ErrorReply,
    LogReply,
    ProtocolError,
    ReadyReply,
    Reply,
    Request,
    ResultReply,
    decode,
    encode,
)
from CRONOSLib.worker.sending import Sender

_LAST_WORDS = 20  # lines
_LINE_LENGTH = 2000  # characters


@dataclass(frozen=True)
class Loaded:
    """The result of a job, in memory; its files are gone."""

    job: int
    result: Result


@dataclass(frozen=True)
class Ended:
    """The process is gone, and why."""

    failure: Failure


News = Reply | Loaded | Ended


class Connection:
    """Starts a worker and talks with it. No method waits, except `wait`.

    command: program and arguments, without `--folder`
    folder:  new folder for the files of this process alone; it goes with the process
    log:     told each line that the process prints or logs, from another thread
    """

    def __init__(self, command: Sequence[str], folder: Path, log: Callable[[str], None]) -> None:
        self._command, self._folder, self._log = [*command, "--folder", str(folder)], folder, log
        self._news: SimpleQueue[News] = SimpleQueue()
        self._outbox: SimpleQueue[Callable[[], bytes | None] | None] = SimpleQueue()
        self._sender = Sender(folder)
        self._process: Process | None = None
        self._pid: int | None = None
        self._killed = Event()
        self._jobs: dict[int, Job] = {}
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._thread = Thread(target=self._live, name="worker", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Number of the process; None until it has reported for work."""
        return self._pid

    def send(self, request: Request) -> None:
        """Send a request, after those that wait to be sent."""
        self._outbox.put(lambda: encode(request))

    def start(self, number: int, job: Job) -> None:
        """Write the volumes of a job, unless an earlier job has, and send it."""
        self._jobs[number] = job
        self._outbox.put(lambda: self._line_of(number, job))

    def next_news(self) -> News | None:
        """What happened since, one thing at a time; None when there is nothing new."""
        with suppress(Empty):
            return self._news.get_nowait()
        return None

    def kill(self) -> None:
        """End the process now."""
        self._killed.set()
        if self._process is not None:
            kill_process(self._process, self._pid)
        self._outbox.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until a killed process and its files are gone, at most this long."""
        self._thread.join(seconds)

    def _live(self) -> None:
        """The life of the process, from its start until its files are gone."""
        try:
            self._folder.mkdir()
            process = self._process = start_process(self._command)
        except OSError as error:
            advice = "Free disk space and memory, or install CRONOS again."
            self._news.put(Ended(Failure(f"The forecast process cannot start ({error}). {advice}")))
            return
        if self._killed.is_set():
            kill_process(process, None)
        requests, replies, prints = pipes_of(process)
        log_reader = Thread(target=self._read_log, args=(prints,), name="worker log", daemon=True)
        reader = Thread(target=self._read, args=(process, replies, log_reader), name="worker news", daemon=True)
        log_reader.start()
        reader.start()
        while (make_line := self._outbox.get()) is not None:
            self._post(make_line(), requests)
        with suppress(OSError):
            requests.close()
        reader.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _line_of(self, number: int, job: Job) -> bytes | None:
        """The request of a job; None when it cannot be made, which is told."""
        folder = self._job_folder(number)
        try:
            folder.mkdir()
            return encode(self._sender.request(number, job, folder))
        except Exception as error:  # this thread must live: nobody else would tell
            self._news.put(explained(number, error))
            return None

    def _post(self, line: bytes | None, pipe: IO[bytes]) -> None:
        if line is None or self._killed.is_set():
            return
        with suppress(OSError):  # the process has ended, which `_read` tells
            pipe.write(line)
            pipe.flush()

    def _read(self, process: Process, replies: IO[bytes], log_reader: Thread) -> None:
        """Pass on what the process says, then why it ended."""
        for line in replies:
            try:
                self._hear(decode(line))
            except ProtocolError:
                self._note(line)
        code = process.wait()
        log_reader.join(1.0)
        self._news.put(Ended(why_ended(code, self._last_words, was_ready=self._pid is not None)))
        self._outbox.put(None)

    def _hear(self, reply: Reply) -> None:
        if isinstance(reply, LogReply):
            self._log(reply.text)
            return
        if isinstance(reply, ReadyReply):
            self._pid = reply.pid
            if self._killed.is_set() and self._process is not None:
                kill_process(self._process, reply.pid)
        if isinstance(reply, (ResultReply, CheckReply)):
            self._news.put(self._load(reply))
        else:
            self._news.put(reply)
        if isinstance(reply, (ResultReply, CheckReply, ErrorReply, CancelledReply)) and reply.job is not None:
            self._jobs.pop(reply.job, None)
            shutil.rmtree(self._job_folder(reply.job), ignore_errors=True)

    def _load(self, reply: ResultReply | CheckReply) -> News:
        try:
            return Loaded(reply.job, load_result(self._jobs[reply.job], reply))
        except Exception as error:  # this thread must live, too
            return explained(reply.job, error)

    def _read_log(self, lines: IO[bytes]) -> None:
        for line in lines:
            self._note(line)

    def _note(self, line: bytes) -> None:
        text = line[:_LINE_LENGTH].decode("utf-8", "replace").rstrip()
        self._last_words.append(text)
        self._log(text)

    def _job_folder(self, number: int) -> Path:
        return self._folder / f"job-{number}"
