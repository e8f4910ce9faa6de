"""Runs in processes of their own: what one of them breaks, and the memory it takes, is its own."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from CRONOSLib.benchmark.run import Outcome, Run, perform
from CRONOSLib.cohorts.parallel import end_with_parent
from CRONOSLib.errors import CronosError, TrainingStopped

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

_STOPPED = 130


def perform_all(runs: Sequence[Run], jobs: int, on_done: Callable[[Run], None]) -> None:
    """Perform runs, several at a time with one thread each; a run that fails keeps its sentence as its outcome.

    on_done: told each run that has ended, in the order in which they end
    Raises TrainingStopped when a run was asked to stop; what is done is kept.
    """
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        waiting = {pool.submit(_perform_apart, run, jobs > 1): run for run in runs}
        try:
            for ended in as_completed(waiting):
                ended.result()
                on_done(waiting[ended])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _perform_apart(run: Run, one_thread: bool) -> None:
    context = _context()
    process = context.Process(target=_perform_here, args=(run, one_thread))
    process.start()
    process.join()
    if process.exitcode == _STOPPED:
        raise TrainingStopped("The benchmark was stopped. It goes on where it stopped when it is started again.")
    if process.exitcode:
        run.conclude(
            Outcome(
                f"The process was ended by the system (exit code {process.exitcode}), most likely because memory ran "
                "out. Use fewer jobs, a coarser grid or smaller batches."
            )
        )


def _context() -> SpawnContext | ForkServerContext:
    """Where a process can be forked from one that has imported torch but computed nothing, runs begin at once."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["CRONOSLib.benchmark.trained"])
    return context


def _perform_here(run: Run, one_thread: bool) -> None:
    end_with_parent()
    if one_thread:
        import torch

        torch.set_num_threads(1)
    try:
        perform(run)
    except (TrainingStopped, KeyboardInterrupt):
        sys.exit(_STOPPED)
    except CronosError as error:
        run.conclude(Outcome(str(error)))
    except Exception as error:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "log.txt").write_text(traceback.format_exc(), "utf-8")
        run.conclude(Outcome(f"It broke off ({type(error).__name__}: {error}). '{run.folder / 'log.txt'}' says where."))
