"""Where a method computes, how exactly, and what it costs."""

from __future__ import annotations

import gc
import random
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from CRONOSLib.errors import MethodError, OutOfMemoryError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")

_NO_MEMORY = ("DefaultCPUAllocator", "Failed to allocate memory")
"""Marks of torch and of ITK."""
_NO_GPU_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
"""Marks of torch, of the driver, and of cuBLAS and cuDNN."""


@dataclass
class Stopwatch:
    """Seconds spent in each named phase, in the order of their first use."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside the block towards `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def choose_device(name: str) -> torch.device:
    """The device to compute on: "cpu", "cuda", a numbered "cuda:1", or "auto" (CUDA where there is one).

    Raises MethodError when the name is unknown or there is no such GPU.
    """
    import torch

    if name not in DEVICES and not re.fullmatch(r"cuda:\d+", name):
        raise MethodError(f"There is no device '{name}'. Choose one of {', '.join(DEVICES)}.")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MethodError(f"This machine has no GPU '{name}' that torch can use. Choose the device cpu.")
    return device


def computes_in_bf16(precision: str, device: torch.device) -> bool:
    """Whether a network runs in bfloat16: on request, and by "auto" where the hardware multiplies it natively.

    Raises MethodError when the precision is unknown.
    """
    import torch

    if precision not in PRECISIONS:
        raise MethodError(f"There is no precision '{precision}'. Choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public question for this
    return bool(native and native())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fix the random numbers of Python, NumPy and torch inside the block; the caller's own go on undisturbed after.

    seed: any whole number
    """
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed % 2**64)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def explained_memory() -> Iterator[None]:
    """Turns running out of memory, of a GPU or of the computer, into an OutOfMemoryError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch has no common class for it
        place = _exhausted(error)
        if place is None:
            raise
        raise OutOfMemoryError(f"The forecast does not fit into the memory of the {place}.") from error


def _exhausted(error: Exception) -> str | None:
    """What ran out of memory and what to do about it, or None when the error is another one."""
    if isinstance(error, MemoryError) or any(mark in str(error) for mark in _NO_MEMORY):
        return "computer. Close other programs, or give fewer or smaller scans"
    if type(error).__name__ == "OutOfMemoryError" or any(mark in str(error) for mark in _NO_GPU_MEMORY):
        return "GPU. Choose the device cpu, or give fewer scans"
    return None


def empty_memory() -> None:
    """Give back what earlier forecasts held, so that another process or a smaller forecast can have it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def work_seconds(device: torch.device) -> float:
    """A clock for the work of this process, of which only differences mean anything.

    On a CPU it counts processor seconds of all threads, which other programs do not lengthen; on a GPU seconds that
    pass, once all that it was asked to do is done.
    """
    import torch

    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def reset_peak_memory(device: torch.device) -> None:
    """Start counting a GPU's memory anew; a process's own high-water mark cannot be reset."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device: torch.device) -> float | None:
    """Most memory in use so far, in MB (10⁶ bytes): of the GPU, or of this process; None where it cannot be asked."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
