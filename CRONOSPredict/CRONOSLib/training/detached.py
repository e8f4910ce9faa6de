"""A run in a process of its own, which goes on when the one that started it ends. Needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.errors import CohortError, CronosError, OutputError, TrainingStopped
from CRONOSLib.training.order import TrainingOrder, order_of
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus, writing

CONSOLE_NAME = "console.txt"
"""What the process printed, should it end without a word in status.json."""

_LAUNCHER = "exit abnormally"
"""What Slicer's launcher says of a Python that was killed."""

_ENDS = (RunState.DONE, RunState.FAILED, RunState.STOPPED)
_PAUSE = 0.2  # s
_STARTING = 60.0  # s in which a process on a busy machine comes to hold the lock of its run


def training_command(*words: str) -> list[str]:
    """Program and arguments of the process that trains."""
    return [sys.executable, "-m", "CRONOSLib.training", *words]


def training_environment() -> dict[str, str]:
    """The environment of that process: it finds this library first, and speaks UTF-8."""
    library = str(Path(__file__).resolve().parents[2])
    paths = [library, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}


class FollowedRun:
    """The run in a folder, as it looks from another process: started by it, or found.

    asked_to_stop: whether `stop` was called since the run began
    """

    def __init__(self, folder: RunFolder, process: subprocess.Popen[bytes] | None = None) -> None:
        self.folder = folder
        self.asked_to_stop = False
        self._process = process

    @property
    def order(self) -> TrainingOrder | None:
        """What it was asked to do; None while the folder holds no run. Raises CohortError when that is unreadable."""
        return order_of(self.folder)

    @property
    def alive(self) -> bool:
        """Whether a process works on it."""
        status = self.folder.status()
        if status is None or status.state in _ENDS:
            return False
        if self._process is not None:
            return self._process.poll() is None
        starting = status.state is RunState.PREPARING and time.time() - status.updated < _STARTING
        return starting or self.folder.runs

    @property
    def status(self) -> RunStatus | None:
        """What it says, or what is to be said of one that ended without a word; None without a run."""
        alive, status = self.alive, self.folder.status()  # in this order: it may end in between
        if status is None or alive or status.state in _ENDS:
            return status
        return replace(status, state=RunState.STOPPED, message=self._last_words(), seconds_left=None)

    @property
    def resumable(self) -> bool:
        """Whether there are steps to go on from."""
        return self.folder.last.is_file()

    def stop(self) -> None:
        """Ask it to write a checkpoint and end, which it does after the step that it computes."""
        self.asked_to_stop = True
        with writing(self.folder.path):
            self.folder.ask_to_stop()

    def wait(self, on_status: Callable[[RunStatus], None]) -> Bundle:
        """Wait until it is done; `on_status` is told about five times a second, and may do other work.

        Returns the trained bundle. Raises TrainingStopped when it was stopped, CronosError with its sentence when it
        failed.
        """
        while self.alive:
            if (status := self.status) is not None:
                on_status(status)
            time.sleep(_PAUSE)
        status = self.status
        if status is None or status.state is not RunState.DONE:
            kind = TrainingStopped if status and status.state is RunState.STOPPED else CronosError
            raise kind(status.message if status else "There is no run in this folder.")
        return load_bundle(self.folder.bundle)

    def _last_words(self) -> str:
        said = "The process ended before the run did."
        try:
            printed = (self.folder.path / CONSOLE_NAME).read_text("utf-8", "replace")
        except OSError:
            printed = ""
        lines = [line for line in printed.splitlines() if line.strip() and _LAUNCHER not in line]
        return f"{said} Its last words: {lines[-1]}" if lines else f"{said} It can go on from its last checkpoint."


def begin(order: TrainingOrder) -> FollowedRun:
    """Start a run, or let one go on that was stopped or cut off; it does not end with this process.

    A run that did not come to its first checkpoint begins anew, with whatever it is asked now.

    Raises CohortError when the folder is used by a run that lives, is finished, or was asked something else;
    OutputError when the folder cannot be written or no process started.
    """
    folder = order.folder
    run = FollowedRun(folder)
    if run.alive:
        raise CohortError(f"A run works in '{order.out}' already. Wait for it, stop it, or choose another folder.")
    if run.resumable:
        order = _continued(order, run)
    elif folder.path.is_dir():
        folder.record.unlink(missing_ok=True)
    order.write()
    with writing(order.out):
        folder.forget_stop()
        before = folder.status() if run.resumable else None
    folder.say(replace(before or RunStatus(), state=RunState.PREPARING, message="Starting", seconds_left=None))
    return FollowedRun(folder, _started(training_command(str(order.out)), order.out))


def what_it_takes(order: TrainingOrder) -> dict[str, Any]:
    """The fields of `training.estimate.RunEstimate`, or a `problem`; a process with torch finds out, and ends."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW
    try:
        done = subprocess.run(
            training_command("--estimate"),
            input=json.dumps(order.to_json()).encode(),
            capture_output=True,
            env=training_environment(),
            creationflags=flags,
            check=False,
        )
        return dict(json.loads(done.stdout))
    except (OSError, ValueError):
        return {"problem": "Memory and time could not be estimated."}


def _continued(order: TrainingOrder, run: FollowedRun) -> TrainingOrder:
    """What the run was asked before, on the devices that it is given now."""
    status, known = run.folder.status(), run.order
    if status is not None and status.state is RunState.DONE:
        raise CohortError(f"'{order.out}' holds a finished run. Choose another folder for the next one.")
    asked = json.loads(json.dumps(order.to_json()["settings"]))
    if known is None or known.method != order.method or {**known.settings, **asked} != known.settings:
        raise CohortError(f"'{order.out}' holds a run that was asked something else. Resume it, or take a new folder.")
    return replace(known, device=order.device, devices=order.devices)


def _started(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    flags = 0
    if sys.platform == "win32":
        flags = (
            subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
    try:
        with (folder / CONSOLE_NAME).open("wb") as console:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=training_environment(),
                creationflags=flags,
                start_new_session=True,
            )
    except OSError as error:
        raise OutputError(f"The training could not be started ({error}). Check the installation of Python.") from error
