"""Quality of the diffusion methods against the number of sampling steps, on a simulated cohort.

    cronos simulate glioma --patients 200 --seed 2026 --out cohorts/sim-glioma
    python Testing/benchmarks/sampling.py cohorts/sim-glioma --out runs/sampling [--steps 2000] [--spacing 8]

Every method is trained once; then each sampler draws K samples of a patient's last visit, from all earlier ones. The
number of steps is chosen on the validation patients, by CRPS, and reported on the test patients. The 1000 steps of the
papers are far dearer: they are drawn for a few test patients, beside the fast samplers on the same patients. A run
that was cut off goes on where it stopped.
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
FAST = tuple(Sampler("dpm++", steps) for steps in (1, 2, 5, 10, 25, 50))
PUBLISHED = Sampler("ancestral", 1000)


@dataclass(frozen=True)
class Row:
    """Samples of one patient, in normalised intensity over the whole grid; `_changed`: where 2 % changed most.

    spread_skill: spread over error of the mean, None where the samples agree
    one_mse:      of the first sample alone
    seconds:      of the processor, of all samples
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
    """Train, sample, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000, help="of the training")
    parser.add_argument("--spacing", type=float, default=8.0, help="mm, of the grid")
    parser.add_argument("--width", type=int, default=16, help="of the U-Net")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--patients", type=int, default=20, help="of each split, the first ones")
    parser.add_argument("--few", type=int, default=6, help="test patients of the 1000 steps; 0: none")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    tables = []
    for name in arguments.only:
        method = _trained(name, arguments)
        for split in ("validation", "test"):
            for sampler in FAST:
                _sample(name, method, sampler, split, arguments)
        if arguments.few:
            _sample(name, method, PUBLISHED, "test", arguments)
        tables += _tables(name, arguments)
    print("\n".join(tables))
    (arguments.out / "sampling.md").write_text("\n".join(tables) + "\n")


def _settings(arguments: argparse.Namespace) -> TrainSettings:
    """The training is followed by one sample of the default sampler."""
    return TrainSettings(
        steps=arguments.steps,
        method_settings={"samples": 1, "network": {"unet": {"width": arguments.width, "embedding": 64}}},
        preprocessing=Preprocessing(GridSpec(spacing_mm=arguments.spacing)),
        time_scale=365.25,
        every_draw=False,
        precision="32-true",
        validate_every=500,
    )


def _trained(name: str, arguments: argparse.Namespace) -> Diffusion:
    bundle = arguments.out / name / "bundle"
    if not bundle.is_dir():
        start = time.process_time()
        result = fit(arguments.cohort, name, arguments.out / name, _settings(arguments))
        print(f"{name}: {result.test} in {time.process_time() - start:.0f} s of the processor", flush=True)
    method = load_method(load_bundle(bundle))
    assert isinstance(method, Diffusion)
    return method


def _rows_file(name: str, sampler: Sampler, split: str, arguments: argparse.Namespace) -> Path:
    return arguments.out / name / f"{sampler.name}-{sampler.steps}-{split}.csv"


def _sample(name: str, method: Diffusion, sampler: Sampler, split: str, arguments: argparse.Namespace) -> None:
    path = _rows_file(name, sampler, split, arguments)
    if path.is_file():
        return
    settings = _settings(arguments)
    patients = prepare_patients(read_cohort(arguments.cohort), split, settings.cohort_preprocessing())
    chosen = patients[: arguments.few if sampler is PUBLISHED else arguments.patients]
    method.settings = replace(method.settings, sampler=sampler, samples=arguments.samples)
    rows = [_measured(method, patient, settings) for patient in chosen]
    beside = path.with_suffix(".part")
    with beside.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        table.writerows(asdict(row) for row in rows)
    beside.rename(path)
    print(f"{path.parent.name} {path.stem}: {np.mean([row.seconds for row in rows]):.2f} s a patient", flush=True)


def _measured(method: Diffusion, patient: PreparedPatient, settings: TrainSettings) -> Row:
    draw = last_visit_draw(len(patient.times), settings.max_context)
    batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale)
    start = time.process_time()
    with torch.inference_mode(), seeded(0):
        members = method.forecast(batch)
    seconds = time.process_time() - start
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


def _tables(name: str, arguments: argparse.Namespace) -> list[str]:
    """One over all patients, and one over the few that the published steps were drawn for."""
    validation, test = (
        [_read(_rows_file(name, sampler, split, arguments)) for sampler in FAST] for split in ("validation", "test")
    )
    chosen = FAST[int(np.argmin([_crps_share(rows) for rows in validation]))]
    lines = [
        "",
        f"{name}: {arguments.steps} training steps, {arguments.spacing:g} mm grid, {arguments.samples} samples; "
        f"{chosen.steps} steps have the best CRPS of the validation patients",
        "",
        "| sampler | steps | validation skill | validation CRPS | test skill | one sample | where changed | CRPS "
        "| spread / error | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for sampler, before, after in zip(FAST, validation, test):
        lines.append(
            f"| {sampler.name} | {sampler.steps} | {_skill(before)} | {_crps_share(before):.3f} {_line(after)}"
        )
    if not arguments.few:
        return lines
    lines += [
        "",
        f"{name}, the first {arguments.few} test patients",
        "",
        "| sampler | steps | test skill | one sample | where changed | CRPS | spread / error | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for sampler, rows in zip((*FAST, PUBLISHED), (*test, _read(_rows_file(name, PUBLISHED, "test", arguments)))):
        first = {key: values[: arguments.few] for key, values in rows.items()}
        lines.append(f"| {sampler.name} | {sampler.steps} {_line(first)}")
    return lines


def _line(rows: dict[str, np.ndarray]) -> str:
    one, changed = (
        skill_over_patients(rows[error], rows[copying], split="test").mean
        for error, copying in (("one_mse", "lci_mse"), ("mse_changed", "lci_mse_changed"))
    )
    ratio = float(np.median(rows["spread_skill"]))
    return (
        f"| {_skill(rows)} | {one:.3f} | {changed:.3f} | {_crps_share(rows):.3f} "
        f"| {'–' if np.isnan(ratio) else f'{ratio:.2f}'} | {rows['seconds'].mean():.2f} |"
    )


def _skill(rows: dict[str, np.ndarray]) -> str:
    skill = skill_over_patients(rows["mse"], rows["lci_mse"], split="test")
    return f"{skill.mean:.3f} ({skill.low:.3f} … {skill.high:.3f})"


def _crps_share(rows: dict[str, np.ndarray]) -> float:
    """Of the CRPS of copying."""
    return float(np.mean(rows["crps"] / rows["lci_crps"]))


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "subject"]
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


if __name__ == "__main__":
    main()
