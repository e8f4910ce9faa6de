"""Skill of CRONOS as published, as released and ours, and of every switch on its own, on a simulated cohort.

    cronos simulate glioma --patients 200 --seed 2026 --out cohorts/sim-glioma
    python Testing/benchmarks/presets.py cohorts/sim-glioma --out runs/presets [--steps 400] [--spacing 4]

All rows take the same steps, seeds, draws, optimiser, precision and grid; the test patients' last visit is forecast
from all earlier ones. Every row is also compared with "continuous, ours" patient by patient, and on the validation
patients too, by whom defaults are chosen. A run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast, read_results, write_results
from CRONOSLib.evaluation.skill import Difference, skill_difference, skill_over_patients
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.registry import create_method
from CRONOSLib.training.fit import fit
from CRONOSLib.training.held_out import evaluate
from CRONOSLib.training.patients import prepare_patients
from CRONOSLib.training.settings import TrainSettings
from numpy.typing import NDArray

Row = tuple[str, str, dict]

REFERENCE = "continuous, ours"
ROWS: dict[str, Row] = {
    REFERENCE: ("cronos-continuous", "default", {}),
    "continuous, paper": ("cronos-continuous", "paper", {}),
    "continuous, release": ("cronos-continuous", "release", {}),
    "discrete, ours": ("cronos-discrete", "default", {}),
    "discrete, paper": ("cronos-discrete", "paper", {}),
    "ours, flow step uniform": ("cronos-continuous", "default", {"at_start": 0.0}),
    "ours, plain squared error": ("cronos-continuous", "default", {"error_floor": 0.0}),
    "ours, one-step regression": ("cronos-continuous", "default", {"at_start": 1.0}),
    "ours, 4 Euler steps": ("cronos-continuous", "default", {"solver": {"steps": 4}}),
    "ours, σ 0.01": ("cronos-continuous", "default", {"path": {"sigma": 0.01}}),
    "ours, learned aggregation": ("cronos-continuous", "default", {"aggregate": "learned"}),
    "ours, mean aggregation": ("cronos-continuous", "default", {"aggregate": "mean"}),
    "ours, without clean context": ("cronos-continuous", "default", {"network": {"clean_context": False}}),
    "ours, pooled time code": ("cronos-continuous", "default", {"network": {"time": {"code": "mean"}}}),
    "ours, blind to time": ("cronos-continuous", "default", {"network": {"time": {"code": "off"}}}),
    "ours, not from the last scan": ("cronos-continuous", "default", {"network": {"from_last": False}}),
    "ours, without gate": ("cronos-continuous", "default", {"network": {"gate_horizon": 0.0}}),
    "ours, without candidates": ("cronos-continuous", "default", {"network": {"candidates": False}}),
    "ours, air may change": ("cronos-continuous", "default", {"network": {"background": 0.0}}),
    "ours, stacked scans": ("cronos-continuous", "default", {"network": {"encoder": "stack"}}),
}
UNTRAINED = ("lci", "mean", "linear", "ridge")


def main() -> None:
    """Train and measure every row, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--spacing", type=float, default=4.0, help="mm, of the grid")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.only:
            _train(name, seed, arguments)
    for name in UNTRAINED:
        _measure_untrained(name, arguments)
    table = _table(arguments)
    print(table)
    (arguments.out / "presets.md").write_text(table + "\n")


def _settings(seed: int, arguments: argparse.Namespace, name: str | None = None) -> TrainSettings:
    _, preset, method_settings = ROWS[name] if name else ("", "default", {})
    return TrainSettings(
        steps=arguments.steps,
        preset=preset,
        method_settings=method_settings,
        preprocessing=Preprocessing(GridSpec(spacing_mm=arguments.spacing)),
        time_scale=365.25,
        validate_every=arguments.steps,
        every_draw=False,
        seed=seed,
    )


def _folder(name: str, seed: int, arguments: argparse.Namespace) -> Path:
    return arguments.out / name.replace(", ", "-").replace(" ", "-") / f"seed-{seed}"


def _train(name: str, seed: int, arguments: argparse.Namespace) -> None:
    folder = _folder(name, seed, arguments)
    if (folder / "test.csv").is_file():
        return
    start = time.perf_counter()
    result = fit(arguments.cohort, ROWS[name][0], folder, _settings(seed, arguments, name))
    print(f"{name}, seed {seed}: {result.test} in {time.perf_counter() - start:.0f} s", flush=True)


def _measure_untrained(name: str, arguments: argparse.Namespace) -> None:
    settings = _settings(0, arguments)
    patients = prepare_patients(read_cohort(arguments.cohort), "test", settings.cohort_preprocessing())
    folder = _folder(name, 0, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder / "test.csv", evaluate(create_method(name), patients, settings, every_draw=False))


def _table(arguments: argparse.Namespace) -> str:
    seeds = ", ".join(map(str, arguments.seeds))
    lines = [
        f"{arguments.steps} steps, seeds {seeds}, {arguments.spacing:g} mm grid; skill over the whole grid "
        "(95 % interval over patients, seeds averaged per patient), of each seed, where 2 % of voxels changed most, "
        f'and minus that of "{REFERENCE}", paired over test and over validation patients',
        "",
        "| row | skill | per seed | where changed | minus ours | minus ours, validation |",
        "|---|---|---|---|---|---|",
    ]
    reference = {split: _runs(REFERENCE, split, arguments) for split in ("test", "validation")}
    for name in (*UNTRAINED, *arguments.only):
        runs = _runs(name, "test", arguments)
        each = ", ".join(f"{_skill([run], '').mean:.3f}" for run in runs)
        ahead = [
            ""
            if name == REFERENCE or (name in UNTRAINED and split == "validation")
            else _interval(_difference(_runs(name, split, arguments), runs_of_ours))
            for split, runs_of_ours in reference.items()
        ]
        cells = [_interval(_skill(runs, "")), each, _interval(_skill(runs, "_changed")), *ahead]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _runs(name: str, split: str, arguments: argparse.Namespace) -> list[list[HeldOutForecast]]:
    """Of each seed, the measured forecasts of a split."""
    seeds = [0] if name in UNTRAINED else arguments.seeds
    return [read_results(_folder(name, seed, arguments) / f"{split}.csv") for seed in seeds]


def _errors(runs: list[list[HeldOutForecast]], column: str) -> NDArray[np.float64]:
    """(N,) of every patient, averaged over seeds."""
    return np.mean([[getattr(result, column) for result in run] for run in runs], axis=0)


def _skill(runs: list[list[HeldOutForecast]], suffix: str) -> Skill:
    return skill_over_patients(_errors(runs, "mse" + suffix), _errors(runs, "lci_mse" + suffix), split="test")


def _difference(runs: list[list[HeldOutForecast]], others: list[list[HeldOutForecast]]) -> Difference:
    return skill_difference(_errors(runs, "mse"), _errors(others, "mse"), _errors(runs, "lci_mse"))


def _interval(measured: Skill | Difference) -> str:
    return f"{measured.mean:.3f} ({measured.low:.3f} … {measured.high:.3f})"


if __name__ == "__main__":
    main()
