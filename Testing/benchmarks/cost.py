"""What a piece of work costs: seconds of the processor and memory on top of what the process holds. Linux only."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost(Generic[Result]):
    """A result, and what it took.

    seconds: of the processor, so that other work beside it does not count
    peak_mb: most memory at a time (10⁶ bytes), less what the process held before
    """

    result: Result
    seconds: float
    peak_mb: float


def cost_of(work: Callable[[], Result]) -> Cost[Result]:
    """Do the work once."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed before must not hide what is taken now
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = _kilobytes("VmRSS"), time.process_time()
    result = work()
    return Cost(result, time.process_time() - start, (_kilobytes("VmHWM") - before) * 1.024e-3)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
