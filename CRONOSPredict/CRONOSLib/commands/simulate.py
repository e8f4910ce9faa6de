"""`cronos simulate`: cohorts with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import progress

app = typer.Typer(no_args_is_help=True, help="Make a cohort with known truth.")


@app.callback()
def _several() -> None:
    """Keeps `glioma` a name to type although it is the only simulator so far."""


@app.command()
def glioma(
    out: Annotated[Path, typer.Option(help="Folder of the cohort; an interrupted one is continued.")],
    patients: Annotated[int, typer.Option(help="How many patients.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same patients.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes to share the work.")] = 1,
) -> None:
    """Gliomas that grow in the MNI152 brain, scanned at irregular dates."""
    from CRONOSLib.packages import require

    require("torch", "nilearn", "scipy", purpose="Simulating")
    from CRONOSLib.cohorts.simulators.glioma_cohort import simulate_glioma_cohort

    with progress() as tell:
        cohort = simulate_glioma_cohort(
            out,
            patients,
            seed,
            device=device,
            workers=workers,
            on_progress=lambda done, count: tell(f"{done} of {count} patients", done / count),
        )
    visits = sum(len(patient.visits) for patient in cohort.patients)
    stdout.print(f"{len(cohort.patients)} patients with {visits} scans in {out}", markup=False, soft_wrap=True)
