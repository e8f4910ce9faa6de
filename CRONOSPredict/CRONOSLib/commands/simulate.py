"""`cronos simulate`: cohorts with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import progress
from CRONOSLib.packages import require

if TYPE_CHECKING:
    from CRONOSLib.cohorts.simulators.cohort import Simulator

app = typer.Typer(no_args_is_help=True, help="Make a cohort with known truth.")

_Out = Annotated[Path, typer.Option(help="Folder of the cohort; an interrupted one is continued.")]
_Patients = Annotated[int, typer.Option(help="How many patients.")]
_Seed = Annotated[int, typer.Option(help="The same seed gives the same patients.")]
_Device = Annotated[str, typer.Option(help="cpu or cuda.")]
_Jobs = Annotated[int, typer.Option(help="Processes to share the work.", min=1)]


@app.command()
def glioma(out: _Out, patients: _Patients = 100, seed: _Seed = 0, device: _Device = "cpu", jobs: _Jobs = 1) -> None:
    """Gliomas that grow in the MNI152 brain, scanned at irregular dates."""
    require("torch", "nilearn", "scipy", purpose="Simulating")
    from CRONOSLib.cohorts.simulators.glioma_cohort import GLIOMA

    _simulate(GLIOMA, out, patients, seed, device, jobs)


@app.command()
def cine(out: _Out, patients: _Patients = 150, seed: _Seed = 0, device: _Device = "cpu", jobs: _Jobs = 1) -> None:
    """Beating hearts, short-axis cine MRI from end-diastole to end-systole."""
    require("torch", purpose="Simulating")
    from CRONOSLib.cohorts.simulators.heart_cohort import CINE

    _simulate(CINE, out, patients, seed, device, jobs)


@app.command()
def perfusion(out: _Out, patients: _Patients = 149, seed: _Seed = 0, device: _Device = "cpu", jobs: _Jobs = 1) -> None:
    """Strokes in the MNI152 brain, CT perfusion of a contrast bolus."""
    require("torch", "nilearn", purpose="Simulating")
    from CRONOSLib.cohorts.simulators.perfusion_cohort import PERFUSION

    _simulate(PERFUSION, out, patients, seed, device, jobs)


def _simulate(simulator: Simulator, out: Path, patients: int, seed: int, device: str, jobs: int) -> None:
    from CRONOSLib.cohorts.simulators.cohort import simulate_cohort
    from CRONOSLib.forecasting.devices import choose_device

    where = str(choose_device(device))
    with progress() as tell:
        cohort = simulate_cohort(
            simulator,
            out,
            patients,
            seed,
            device=where,
            jobs=jobs,
            on_progress=lambda done, count: tell(f"{done} of {count} patients", done / count),
        )
    visits = sum(len(patient.visits) for patient in cohort.patients)
    stdout.print(f"{len(cohort.patients)} patients with {visits} scans in {out}", markup=False, soft_wrap=True)
