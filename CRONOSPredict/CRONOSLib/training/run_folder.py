"""The folder of a training run: how a panel, a shell and another machine see what it does. Needs no torch.

```
run.json       the configuration: cohort, method, settings; `cronos train --config run.json --out …` repeats the run
status.json    what it does now (`RunStatus`), replaced about once a second, never half-written
metrics.csv    step, loss, learning rate, validation skill …: one row every few steps, for curves
checkpoints/   last.ckpt to go on from, best.ckpt of the best validation skill
log.txt        what it said
stop           a file of this name asks the run to stop at the next step, as SIGTERM and Ctrl-C do; gone when it has
validation.csv, test.csv, bundle/   the results
```

A run that ends early, by `stop`, a signal, a crash or a power cut, goes on from `last.ckpt` when it is started again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from CRONOSLib.errors import CohortError, OutputError
from CRONOSLib.whole_file import write_whole_file


class RunState(Enum):
    """Where a run stands. The first three are those of a run that lives, or was cut off."""

    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class RunStatus:
    """What a run does now.

    loss:             of the last step; None before the first
    validation_skill: last one measured, and best_skill the best so far; 0 is copying the last scan
    fraction:         of the present state that is done, 0 to 1
    seconds_left:     of the present state; None where it cannot be told
    message:          one sentence for the user
    pid, host:        of the process that wrote it
    updated:          seconds since the epoch
    """

    state: RunState = RunState.PREPARING
    step: int = 0
    steps: int = 0
    loss: float | None = None
    validation_skill: float | None = None
    best_skill: float | None = None
    fraction: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    pid: int = 0
    host: str = ""
    updated: float = field(default=0.0, compare=False)


class RunFolder:
    """The places in the folder of a run."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.status_file = self.path / "status.json"
        self.metrics = self.path / "metrics.csv"
        self.last = self.path / "checkpoints" / "last.ckpt"
        self.best = self.path / "checkpoints" / "best.ckpt"
        self.stop_file = self.path / "stop"
        self.bundle = self.path / "bundle"

    def read_record(self) -> dict[str, Any] | None:
        """The content of run.json; None when there is none. Raises CohortError when it is unreadable."""
        try:
            values = json.loads(self.record.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CohortError(f"'{self.record}' cannot be read ({error}). Give another folder.") from error
        if not isinstance(values, dict):
            raise CohortError(f"'{self.record}' describes no run. Give another folder.")
        return values

    def check(self, values: Mapping[str, Any]) -> None:
        """Make sure that the folder is new or belongs to this very run; the place of the cohort may differ.

        Raises CohortError when it is the folder of another run.
        """
        known = self.read_record()
        if known is None and self.last.exists():
            raise CohortError(f"'{self.path}' holds checkpoints of an unknown run. Give another folder.")
        if known is not None and {**known, "cohort": ""} != {**_plain(values), "cohort": ""}:
            differing = ", ".join(_differences(known, _plain(values))) or "the cohort"
            raise CohortError(
                f"'{self.path}' holds a run with other settings or another cohort ({differing}). Give another folder."
            )

    def claim(self, values: Mapping[str, Any]) -> None:
        """Write run.json. Raises OutputError when it cannot be written."""
        with writing(self.path):
            write_whole_file(self.record, json.dumps(values, indent=2) + "\n")

    def status(self) -> RunStatus | None:
        """What the run last said; None when it has said nothing that can be read."""
        try:
            values = json.loads(self.status_file.read_text("utf-8"))
            return RunStatus(**{**values, "state": RunState(values["state"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def say(self, status: RunStatus) -> RunStatus:
        """Replace status.json; returns the status with process and time.

        Raises OutputError when it cannot be written.
        """
        told = replace(status, pid=os.getpid(), host=_host(), updated=time.time())
        with writing(self.path):
            write_whole_file(self.status_file, json.dumps({**asdict(told), "state": told.state.value}) + "\n")
        return told

    def note(self, line: str) -> None:
        """Add a line to log.txt. Raises OutputError when it cannot be written."""
        with writing(self.path), (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def ask_to_stop(self) -> None:
        """Ask the run to write a checkpoint and stop at its next step; also one that has only just been started."""
        self.stop_file.touch()

    def forget_stop(self) -> None:
        """No run is asked to stop any more: one has ended, or whoever starts the next one begins anew."""
        self.stop_file.unlink(missing_ok=True)

    @property
    def runs(self) -> bool:
        """Whether a process trains in this folder now."""
        if not self.path.is_dir():
            return False
        try:
            with self.held():
                return False
        except CohortError:
            return True
        except OutputError:
            return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process can train in this folder inside the block. The system lets go when the process ends.

        Raises CohortError when another one does already, OutputError when the folder cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("w")
        with file:
            _lock(file.fileno(), self.path)
            yield


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns a failure to write into an OutputError that says what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"'{error.filename or folder}' cannot be written ({error.strerror or error}). Free space on the disk or "
            "choose a folder that you may write to; the run goes on from its last checkpoint."
        ) from error


def _lock(descriptor: int, folder: Path) -> None:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # of flock, and of Windows
        raise CohortError(
            f"Another process trains in '{folder}' already. Wait for it, stop it, or give another folder."
        ) from error
    except OSError:
        return  # a file system without locks


def _host() -> str:
    import socket

    return socket.gethostname()


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from a JSON file: tuples are lists there."""
    return json.loads(json.dumps(values))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of the values that differ."""
    for name in sorted({*old, *new} - {"cohort"}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}"
