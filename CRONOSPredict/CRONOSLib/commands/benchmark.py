"""`cronos benchmark`: every method on every cohort with every seed, under the same conditions."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from CRONOSLib.commands.console import SOME_FAILED, STOPPED, err, progress, say_error, say_warning, table
from CRONOSLib.commands.console import out as stdout
from CRONOSLib.errors import MethodError, TrainingStopped

if TYPE_CHECKING:
    from CRONOSLib.benchmark.configuration import Benchmark
    from CRONOSLib.benchmark.leaderboard import Leaderboard
    from CRONOSLib.benchmark.run import Run


def benchmark(
    config: Annotated[
        Path, typer.Option(help="JSON file with cohorts, methods, seeds, settings, such as docs/benchmark.json.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the benchmark. One that was cut off goes on where it stopped.")],
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this method; may be repeated.")] = None,
    cohort: Annotated[list[str] | None, typer.Option(help="Only this cohort; may be repeated.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Only these seeds, such as 0 or 0,1,2.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, in place of those of the file.")] = None,
    spacing: Annotated[float | None, typer.Option(help="Edge of a voxel in mm, in place of that of the file.")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, with one thread each.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what there is to do and how long it takes.")] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Only compare what has been run already.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Also write the page here, and its figures into a folder of its name.")
    ] = None,
    remarks: Annotated[Path | None, typer.Option(help="Markdown file that the page shows before its tables.")] = None,
) -> None:
    """Compare methods fairly: same patients, same preparation, same budget, several seeds.

    Every method is trained on the training patients of every cohort, once for each seed, and forecasts the last scan of
    every test patient from ever more of the earlier ones. Methods that learn nothing, or fit each patient by itself,
    are measured as they are. The file names the cohorts, the methods ("all" is every method of `cronos methods`) and
    what is the same for all of them: settings of training, budget, band of parameters, seeds.

    The folder then holds benchmark.md (tables, figures, this command), tables.tex, results.csv with one row per
    patient, forecasts.csv, runs.csv and, in runs/, what each run left. A method that fails is a row with its sentence;
    the others go on, and the exit code is 3. Given again, the command does what is missing and tries again what failed.

    A benchmark is frozen when it begins: with other patients or settings it asks for another folder; methods and seeds
    may be added. How long it takes is said by --plan.

    cronos benchmark --config docs/benchmark.json --out runs/benchmark --jobs 2
    """
    from CRONOSLib.packages import require

    if plan and report_only:
        raise MethodError("--plan and --report-only exclude each other. Give one of them.")
    require("torch", "lightning", "safetensors", "matplotlib", purpose="A benchmark")
    from CRONOSLib.benchmark.configuration import read_benchmark
    from CRONOSLib.benchmark.run import check_comparable, runs_of
    from CRONOSLib.benchmark.whole import report, run_benchmark

    said = _text(remarks)
    chosen = _changed(read_benchmark(config), steps, spacing).narrowed(only or (), cohort or (), _numbers(seeds))
    runs = runs_of(chosen, out, device)
    if plan:
        check_comparable(runs)
        _show_plan(runs, chosen, jobs)
        return
    if not report_only:
        _run(runs, jobs, run_benchmark)
    made = report(chosen, out, _command(config, out, only, cohort, seeds, steps, spacing), said)
    if page is not None:
        _copy(made.page, page)
    _show(made.boards)
    stdout.print(f"Page: {page or made.page}", markup=False, soft_wrap=True)
    if any(board.failed for board in made.boards):
        raise typer.Exit(SOME_FAILED)


def _text(file: Path | None) -> str:
    try:
        return file.read_text("utf-8") if file else ""
    except (OSError, ValueError) as error:
        raise MethodError(f"The remarks '{file}' cannot be read ({error}). Give a text file.") from error


def _changed(known: Benchmark, steps: int | None, spacing: float | None) -> Benchmark:
    settings: dict[str, Any] = {} if steps is None else {"steps": steps}
    if spacing is not None:
        settings["preprocessing"] = {"grid": {"spacing_mm": spacing}}
    return known.with_settings(**settings)


def _numbers(words: str | None) -> list[int]:
    if words is None:
        return []
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise MethodError(f"The seeds '{words}' are no whole numbers. Give them as 0,1,2.") from None


def _run(runs: Sequence[Run], jobs: int, run_benchmark: Any) -> None:
    done = sum((outcome := run.outcome()) is not None and not outcome.problem for run in runs)
    err.print(f"{len(runs)} runs, {done} of them done", markup=False)
    with progress() as tell:
        ended = done

        def on_done(run: Run) -> None:
            nonlocal ended
            ended += 1
            tell(f"{ended} of {len(runs)} runs", ended / len(runs))
            outcome = run.outcome()
            if outcome is not None and outcome.problem:
                say_warning(f"{run}: {outcome.problem}")
            else:
                err.print(f"{run}: done, {ended} of {len(runs)}", markup=False, soft_wrap=True)

        try:
            run_benchmark(runs, jobs, on_done)
        except TrainingStopped as stopped:
            say_error(stopped)
            raise typer.Exit(STOPPED) from stopped


def _show_plan(runs: Sequence[Run], chosen: Benchmark, jobs: int) -> None:
    from CRONOSLib.benchmark.expectation import expected
    from CRONOSLib.benchmark.tables import parameters

    made, total = table("Cohort", "method", "runs", "parameters", "step, s", "forecast, s", "hours"), 0.0
    with progress() as tell:
        for number, one in enumerate(expected(runs), 1):
            run = one.runs[-1]
            tell(str(run), number / len(runs))
            cells = [run.cohort.name, run.contender.name, str(len(one.runs))]
            if one.work is None or one.seconds is None:
                made.add_row(*cells, one.problem)
                continue
            trained = run.contender.trained
            count = parameters(one.work.parameters, chosen.parameters) if trained else "–"
            step = f"{one.work.step_seconds:.3g}" if trained else "–"
            made.add_row(*cells, count, step, f"{one.work.forecast_seconds:.3g}", f"{one.seconds / 3600:.2f}")
            total += one.seconds
    stdout.print(made)
    each = f", {total / 3600 / jobs:.1f} h with {jobs} jobs" if jobs > 1 else ""
    stdout.print(f"About {total / 3600:.1f} processor hours{each}. An asterisk: outside the band of parameters.")


def _show(boards: Sequence[Leaderboard]) -> None:
    from CRONOSLib.benchmark.page import verdict
    from CRONOSLib.benchmark.tables import quality

    for board in boards:
        heading, *cells = quality(board)
        made = table(*heading[:5], title=board.cohort)
        for line in cells:
            made.add_row(*line[:5])
        stdout.print(made)
        stdout.print(f"{verdict(board)}\n", markup=False, soft_wrap=True)


def _copy(made: Path, page: Path) -> None:
    """The page where it was asked for, its figures in a folder beside it."""
    figures = page.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    text = made.read_text("utf-8")
    for figure in sorted(made.parent.glob("*.png")):
        if f"]({figure.name})" in text:
            shutil.copyfile(figure, figures / figure.name)
            text = text.replace(f"]({figure.name})", f"]({figures.name}/{figure.name})")
    page.write_text(text, "utf-8")


def _command(
    config: Path,
    out: Path,
    only: list[str] | None,
    cohort: list[str] | None,
    seeds: str | None,
    steps: int | None,
    spacing: float | None,
) -> str:
    """What to type for the same comparison, without the folders of this machine."""
    words = ["cronos", "benchmark", "--config", config.name, "--out", f"runs/{out.name}"]
    words += [word for name in only or () for word in ("--only", name)]
    words += [word for name in cohort or () for word in ("--cohort", name)]
    for name, value in (("--seeds", seeds), ("--steps", steps), ("--spacing", spacing)):
        words += [name, str(value)] if value is not None else []
    return shlex.join(words)
