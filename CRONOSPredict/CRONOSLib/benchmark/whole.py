"""A benchmark from its configuration to its page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from CRONOSLib.benchmark.apart import perform_all
from CRONOSLib.benchmark.configuration import Benchmark
from CRONOSLib.benchmark.leaderboard import Leaderboard, leaderboards, write_tables
from CRONOSLib.benchmark.page import write_page
from CRONOSLib.benchmark.run import Run, check_comparable, runs_of
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.training.run_folder import writing


@dataclass(frozen=True)
class Report:
    """What was written: the page, beside its figures and tables; and the leaderboard of each cohort."""

    page: Path
    boards: tuple[Leaderboard, ...]


def run_benchmark(runs: Sequence[Run], jobs: int = 1, on_done: Callable[[Run], None] | None = None) -> None:
    """Do the runs that are not done yet; those that failed are tried again.

    jobs:    runs at a time, in processes with one thread each; 1 leaves the threads to torch
    on_done: told each run that has ended

    Raises CohortError when some run was done under other conditions, TrainingStopped when asked to stop; what is done
    is kept, and what was cut off goes on when the benchmark is run again.
    """
    check_comparable(runs)
    outcomes = {run.folder: run.outcome() for run in runs}
    waiting = [run for run in runs if (done := outcomes[run.folder]) is None or done.problem]
    perform_all(waiting, jobs, on_done or (lambda run: None))


def report(benchmark: Benchmark, out: Path, command: str, remarks: str = "") -> Report:
    """Compare what has been run so far, and write benchmark.md, its figures and the tables of numbers.

    command: that made it, as the page says
    remarks: Markdown for the page
    Raises CohortError when runs cannot be compared, OutputError when nothing can be written.
    """
    runs = runs_of(benchmark, out)
    check_comparable(runs)
    units = {place.name: read_cohort(place.folder).unit.value for place in benchmark.cohorts}
    boards = leaderboards(runs, units)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_tables(out, boards)
    return Report(write_page(out, benchmark, boards, command, remarks), tuple(boards))
