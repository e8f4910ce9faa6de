"""Work on one patient after the other, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import SimpleITK as sitk

from CRONOSLib.errors import CohortError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(work: Callable[[Item], Result], items: Sequence[Item], jobs: int = 1) -> Iterator[Result]:
    """The results of `work`, in the order of the items; an error of one ends it all.

    work: a function of a module, or a `partial` of one, when there are several processes
    jobs: processes with one thread each; 1 works in this process

    Raises CohortError when the system ended a process, and what `work` raises.
    """
    if jobs <= 1 or len(items) <= 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")  # a forked thread pool may hang
    with ProcessPoolExecutor(min(jobs, len(items)), mp_context=context, initializer=_enter_process) as pool:
        try:
            yield from pool.map(work, items)
        except BrokenProcessPool:
            raise CohortError(
                "A process was ended by the system, most likely because memory ran out. Use fewer jobs; what is done "
                "is kept."
            ) from None
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def end_with_parent() -> None:
    """End this process, too, when the one that started it was killed: that one can no longer do it."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _enter_process() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    end_with_parent()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
