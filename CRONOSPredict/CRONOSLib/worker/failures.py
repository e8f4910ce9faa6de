"""What went wrong, in one sentence with what to do."""

from __future__ import annotations

import logging
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from CRONOSLib.errors import CronosError
from CRONOSLib.worker.protocol import ErrorReply

_AGAIN = "The next forecast starts it again."
_MEMORY_MARKS = ("MemoryError", "bad_alloc", "DefaultCPUAllocator", "out of memory", "can't allocate memory")
_KILLED = 9
_LAUNCHER = "exit abnormally"
"""What Slicer's launcher says of a Python that was killed or crashed; its own exit code is 1 for both."""

_STACK_OVERFLOW_AND_WORSE = 0xC0000000
"""Windows: exit codes from here on are exceptions of the system."""


@dataclass(frozen=True)
class Failure:
    """One sentence for the user, and the name of the class of CRONOSLib.errors that says the same."""

    sentence: str
    kind: str = "WorkerError"


def explained(job: int, error: Exception) -> ErrorReply:
    """The reply to a job that raised an error; one that no user can mend is logged with its traceback."""
    if isinstance(error, CronosError):
        return ErrorReply(job, str(error), type(error).__name__)
    if isinstance(error, OSError):
        sentence = f"Temporary files cannot be used ({error.strerror or error}). Make room for them on the disk."
        return ErrorReply(job, sentence, "OutputError")
    logging.error("".join(traceback.format_exception(error)))
    return ErrorReply(job, f"The forecast failed ({type(error).__name__}: {error}). Report it with the log.", "bug")


def why_ended(exit_code: int, log: Sequence[str], *, was_ready: bool) -> Failure:
    """The failure of a worker that nobody told to end.

    exit_code: negative for a signal, as `subprocess` has it
    log:       the last lines that the process wrote
    was_ready: whether it had reported for work
    """
    last = next((line.strip() for line in reversed(log) if line.strip()), "")
    if any(mark in line for line in log for mark in _MEMORY_MARKS):
        return Failure(
            f"The forecast process ran out of memory. Close other programs, or give fewer or smaller scans. {_AGAIN}",
            "OutOfMemoryError",
        )
    if "ModuleNotFoundError" in last or "ImportError" in last:
        return Failure(f"The forecast process cannot start ({last}). Install what is missing.", "MissingPackageError")
    if any(_LAUNCHER in line for line in log):
        return Failure(
            "The forecast process crashed or was killed, most likely because memory ran out. Close other programs, or "
            f"choose the device cpu. {_AGAIN}"
        )
    if exit_code in (-_KILLED, 128 + _KILLED):
        return Failure(
            f"The forecast process was killed, most likely because memory ran out. Close other programs. {_AGAIN}"
        )
    if not was_ready:
        return Failure(f"The forecast process cannot start ({last or _name(exit_code)}). Look into the log.")
    if exit_code < 0 or exit_code >= _STACK_OVERFLOW_AND_WORSE:
        return Failure(f"The forecast process crashed ({_name(exit_code)}). Choose the device cpu. {_AGAIN}")
    return Failure(f"The forecast process ended by itself ({last or _name(exit_code)}). {_AGAIN}")


def _name(exit_code: int) -> str:
    """SIGSEGV, or the number."""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"exit code {exit_code:#x}" if exit_code > 255 else f"exit code {exit_code}"
