"""`cronos forecast --manifest`: every patient of a table forecast, one row each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from CRONOSLib.commands.console import SOME_FAILED, err, progress, say_error, table
from CRONOSLib.commands.console import out as stdout
from CRONOSLib.errors import SeriesError

if TYPE_CHECKING:
    from CRONOSLib.outputs.cohort import CohortRequest
    from CRONOSLib.outputs.cohort_table import PatientRow
    from CRONOSLib.outputs.folder import SceneWriter

_SHOWN = 10


def refuse_together(option: str, others: dict[str, object]) -> None:
    """Raises SeriesError when options were given that say nothing beside another one."""
    given = [f"--{name.replace('_', '-')}" if name != "series" else "SERIES" for name, value in others.items() if value]
    if given:
        raise SeriesError(f"{', '.join(given)} cannot be used {option}. Leave it out.")


def forecast_manifest(
    request: CohortRequest, out: Path | None, *, jobs: int, force: bool, scene_writer: SceneWriter | None
) -> None:
    """Forecast a cohort and say what became of it; exit code 3 when a patient could not be forecast."""
    from CRONOSLib.outputs.cohort import forecast_cohort
    from CRONOSLib.outputs.cohort_table import DONE, FAILED, TABLE

    if out is None:
        raise SeriesError("Nothing says where the results go. Give a folder with --out.")
    with progress() as tell:

        def told(row: PatientRow, done: float) -> None:
            if not err.is_terminal:
                err.print(f"{row.subject}: {row.sentence or row.outcome}", markup=False, soft_wrap=True)
            tell(row.subject, done)

        rows = forecast_cohort(request, out, jobs=jobs, force=force, scene_writer=scene_writer, on_patient=told)
    failed = [row for row in rows if row.outcome == FAILED]
    made = table("Patients", "forecast", "failed", "waiting", "table")
    done = sum(row.outcome == DONE for row in rows)
    made.add_row(str(len(rows)), str(done), str(len(failed)), str(len(rows) - done - len(failed)), str(out / TABLE))
    stdout.print(made)
    for row in failed[:_SHOWN]:
        say_error(f"{row.subject}: {row.sentence}")
    if failed:
        raise typer.Exit(SOME_FAILED)
