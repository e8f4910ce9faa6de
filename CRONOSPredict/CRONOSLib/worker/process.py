"""Starting and killing the process of a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

Process = subprocess.Popen[bytes]


def worker_command() -> list[str]:
    """Program and arguments that start a worker from a source tree, an installed package or an installed extension."""
    return [sys.executable, str(Path(__file__).resolve().with_name("__main__.py"))]


def start_process(command: Sequence[str]) -> Process:
    """Start a process with pipes to all of its streams, below the priority of a window. Raises OSError."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUTF8": "1"},
        creationflags=flags,
    )


def pipes_of(process: Process) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    """Input, output and errors of a process that `start_process` started."""
    return process.stdin, process.stdout, process.stderr  # type: ignore[return-value]


def kill_process(process: Process, pid: int | None) -> None:
    """Kill a process; what was started may be a launcher, and `pid`, when known, the process that does the work."""
    process.kill()
    if pid is not None and pid != process.pid:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
