"""Quality of the diffusion methods against the number of sampling steps, on a simulated cohort.

    cronos simulate glioma --patients 200 --seed 2026 --out cohorts/sim-glioma
    python Testing/benchmarks/sampling.py cohorts/sim-glioma --out runs/sampling [--steps 1500] [--spacing 6]

Every method is trained once; then each sampler draws K samples of the last visit of every test patient, from all
earlier ones. A run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.evaluation.ensemble import crps, spread_skill_ratio
from CRONOSLib.evaluation.skill import skill_over_patients
from CRONOSLib.flow.diffusion.sampler import Sampler
from CRONOSLib.forecasting.devices import seeded
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.diffusion import Diffusion
from CRONOSLib.training.draws import assemble
from CRONOSLib.training.fit import fit
from CRONOSLib.training.held_out import last_visit_draw
from CRONOSLib.training.patients import PreparedPatient, prepare_patients
from CRONOSLib.training.settings import TrainSettings

METHODS = ("sadm", "conditional-diffusion")
SAMPLERS = tuple(
    [Sampler("dpm++", steps) for steps in (1, 2, 5, 10, 25)]
    + [Sampler("ddim", steps) for steps in (10, 25)]
    + [Sampler("ancestral", steps) for steps in (25, 100, 1000)]
)


@dataclass(frozen=True)
class Row:
    """Samples of one patient, in normalised intensity over the whole grid; `_changed`: where 2 % changed most.

    spread_skill: spread over error of the mean, None where the samples agree
    one_mse:      of the first sample alone
    seconds:      of all samples
    """

    subject: str
    mse: float
    lci_mse: float
    one_mse: float
    mse_changed: float
    lci_mse_changed: float
    crps: float
    lci_crps: float
    spread_skill: float | None
    seconds: float


def main() -> None:
    """Train, sample, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500, help="of the training")
    parser.add_argument("--spacing", type=float, default=6.0, help="mm, of the grid")
    parser.add_argument("--width", type=int, default=16, help="of the U-Net")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--most-steps", type=int, default=1000, help="leave samplers with more steps out")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    settings = _settings(arguments)
    patients = prepare_patients(read_cohort(arguments.cohort), "test", settings.cohort_preprocessing())
    for name in arguments.only:
        method = _trained(name, arguments)
        for sampler in _samplers(arguments):
            _sample(method, sampler, patients, _table_of(name, sampler, arguments), arguments)
    table = _table(arguments)
    print(table)
    (arguments.out / "sampling.md").write_text(table + "\n")


def _samplers(arguments: argparse.Namespace) -> list[Sampler]:
    return [sampler for sampler in SAMPLERS if sampler.steps <= arguments.most_steps]


def _settings(arguments: argparse.Namespace) -> TrainSettings:
    """One step of one sample, the cheapest, is enough to follow the training."""
    return TrainSettings(
        steps=arguments.steps,
        method_settings={
            "samples": 1,
            "sampler": {"steps": 1},
            "network": {"unet": {"width": arguments.width, "embedding": 64}},
        },
        preprocessing=Preprocessing(GridSpec(spacing_mm=arguments.spacing)),
        time_scale=365.25,
        every_draw=False,
        precision="32-true",
    )


def _trained(name: str, arguments: argparse.Namespace) -> Diffusion:
    bundle = arguments.out / name / "bundle"
    if not bundle.is_dir():
        start = time.perf_counter()
        result = fit(arguments.cohort, name, arguments.out / name, _settings(arguments))
        print(f"{name}: {result.test} in {time.perf_counter() - start:.0f} s", flush=True)
    method = load_method(load_bundle(bundle))
    assert isinstance(method, Diffusion)
    return method


def _table_of(name: str, sampler: Sampler, arguments: argparse.Namespace) -> Path:
    return arguments.out / name / f"{sampler.name}-{sampler.steps}.csv"


def _sample(
    method: Diffusion, sampler: Sampler, patients: list[PreparedPatient], path: Path, arguments: argparse.Namespace
) -> None:
    if path.is_file():
        return
    method.settings = replace(method.settings, sampler=sampler, samples=arguments.samples)
    rows = [_measured(method, patient, _settings(arguments)) for patient in patients]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        table.writerows(asdict(row) for row in rows)
    print(f"{path.parent.name} {path.stem}: {np.mean([row.seconds for row in rows]):.2f} s a patient", flush=True)


def _measured(method: Diffusion, patient: PreparedPatient, settings: TrainSettings) -> Row:
    draw = last_visit_draw(len(patient.times), settings.max_context)
    batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale)
    start = time.perf_counter()
    with torch.inference_mode(), seeded(0):
        members = method.forecast(batch)
    seconds = time.perf_counter() - start
    samples, last = members.images[0].numpy(), batch.last_image[0].numpy()
    truth, mean = batch.target[0].numpy(), members.forecast[0].numpy()
    copying, error = (last - truth) ** 2, (mean - truth) ** 2
    changed = copying >= np.quantile(copying, 0.98)
    agree = bool((samples == samples[0]).all())
    return Row(
        subject=patient.subject,
        mse=float(error.mean()),
        lci_mse=float(copying.mean()),
        one_mse=float(((samples[0] - truth) ** 2).mean()),
        mse_changed=float(error[changed].mean()),
        lci_mse_changed=float(copying[changed].mean()),
        crps=crps(samples, truth),
        lci_crps=float(np.abs(last - truth).mean()),
        spread_skill=None if agree else spread_skill_ratio(samples, truth),
        seconds=seconds,
    )


def _table(arguments: argparse.Namespace) -> str:
    lines = [
        f"{arguments.steps} training steps, {arguments.spacing:g} mm grid, {arguments.samples} samples; skill of their "
        "mean and of one of them over the whole grid (95 % interval over patients), of the mean where 2 % of voxels "
        "changed most; CRPS as a share of that of copying; spread over error, 1 for reliable samples",
        "",
        "| method | sampler | steps | skill | one sample | where changed | CRPS | spread / error | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        _line(name, sampler, _read(_table_of(name, sampler, arguments)))
        for name in arguments.only
        for sampler in _samplers(arguments)
    ]
    return "\n".join(lines)


def _line(name: str, sampler: Sampler, rows: dict[str, np.ndarray]) -> str:
    whole, one, changed = (
        skill_over_patients(rows[error], rows[copying], split="test")
        for error, copying in (("mse", "lci_mse"), ("one_mse", "lci_mse"), ("mse_changed", "lci_mse_changed"))
    )
    ratio = float(np.median(rows["spread_skill"]))
    return (
        f"| {name} | {sampler.name} | {sampler.steps} | {whole.mean:.3f} ({whole.low:.3f} … {whole.high:.3f}) | "
        f"{one.mean:.3f} | {changed.mean:.3f} | {np.mean(rows['crps'] / rows['lci_crps']):.3f} | "
        f"{'–' if np.isnan(ratio) else f'{ratio:.2f}'} | {rows['seconds'].mean():.2f} |"
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "subject"]
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


if __name__ == "__main__":
    main()
