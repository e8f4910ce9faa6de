"""Training runs killed at random moments: do they end with the weights of the uninterrupted one?

    python Testing/benchmarks/kills.py --out kills [--kills 20] [--steps 60] [--seed 0]

A run on a small cohort of growing heads is killed (SIGKILL) again and again after a random time, and started again by
the same command, until it ends. After each kill every file in its folder is read: a checkpoint that cannot be loaded or
JSON that cannot be parsed counts as corrupt. Its bundle is then compared with that of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.cohorts.manifest import Patient, Visit, write_cohort
from CRONOSLib.training.run_folder import RunFolder

_COMMAND = "from CRONOSLib.cli import main; main()"
_SETTINGS = {
    "method_settings": {"network": {"unet": {"width": 8, "multipliers": [1, 2], "embedding": 16, "groups": 4}}},
    "preprocessing": {"grid": {"spacing_mm": 4.0}},
    "validate_every": 5,
    "every_draw": False,
    "augmentation": {"rotation": 10.0, "noise": 0.01},
}


def main() -> None:
    """Train undisturbed, train under fire, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for cohort and runs")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    cohort = _cohort(out / "cohort")
    config = out / "config.json"
    settings = {**_SETTINGS, "steps": arguments.steps}
    config.write_text(json.dumps({"cohort": str(cohort), "settings": settings}))
    whole, killed = RunFolder(out / "whole"), RunFolder(out / "killed")
    began = time.perf_counter()
    if _start(config, whole).wait():
        raise SystemExit(f"The undisturbed run failed: {whole.status()}")
    lasted = time.perf_counter() - began
    shutil.rmtree(cohort / "prepared")  # so that kills meet a preparation as well
    kills, starts, corrupt, states = _under_fire(config, killed, lasted, arguments)
    print(f"{kills} kills in {starts} starts, while {states}; the undisturbed run took {lasted:.1f} s")
    print(f"corrupt files after a kill: {len(corrupt)} {corrupt}")
    print(f"largest difference of a weight: {_difference(whole, killed):g}")
    print(f"curves alike: {_curve(whole) == _curve(killed)}")


def _under_fire(
    config: Path, folder: RunFolder, lasted: float, arguments: argparse.Namespace
) -> tuple[int, int, list[str], dict[str, int]]:
    """Kill until there were enough kills, then let the run end; a run that ended before begins anew in its folder."""
    moments = random.Random(arguments.seed)
    kills, starts, corrupt, states = 0, 0, [], {}
    while kills < arguments.kills:
        process = _start(config, folder)
        starts += 1
        try:
            process.wait(moments.uniform(0.2, 1.0) * lasted)
            shutil.rmtree(folder.path)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            status = folder.status()
            state = status.state.value if status else "starting"
            corrupt += _corrupt(folder)
            if state == "done":
                shutil.rmtree(folder.path)
                continue
            kills += 1
            states[state] = states.get(state, 0) + 1
    assert _start(config, folder).wait() == 0
    return kills, starts, corrupt, states


def _start(config: Path, folder: RunFolder) -> subprocess.Popen:
    command = [sys.executable, "-c", _COMMAND, "train", "--config", str(config), "--out", str(folder.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _corrupt(folder: RunFolder) -> list[str]:
    """Files with their proper names that cannot be read."""
    readers = {
        folder.last: lambda path: torch.load(path, weights_only=True),
        folder.best: lambda path: torch.load(path, weights_only=True),
        folder.record: lambda path: json.loads(path.read_text()),
        folder.status_file: lambda path: json.loads(path.read_text()),
        folder.bundle: load_bundle,
    }
    found = []
    for path, read in readers.items():
        if path.exists():
            try:
                read(path)
            except Exception as error:
                found.append(f"{path.name}: {error}")
    return found


def _difference(whole: RunFolder, killed: RunFolder) -> float:
    one, other = (load_method(load_bundle(folder.bundle)).state_dict() for folder in (whole, killed))
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def _curve(folder: RunFolder) -> list[tuple[str, ...]]:
    with folder.metrics.open() as file:
        return [tuple(value for name, value in row.items() if name != "seconds") for row in csv.DictReader(file)]


def _cohort(folder: Path) -> Path:
    """Eight patients whose lesions grow at their own rates."""
    z, y, x = np.meshgrid(*[np.linspace(-30, 30, count) for count in (20, 24, 24)], indexing="ij")
    head = 100.0 * ((x / 26) ** 2 + (y / 28) ** 2 + (z / 24) ** 2 < 1)
    noise = np.random.default_rng(0)
    patients = []
    for number, split in enumerate(("train",) * 4 + ("validation",) * 2 + ("test",) * 2):
        visits = []
        for day in (0, 60, 140):
            radius = 5 + 0.3 * number + day * (0.03 + 0.005 * number)
            lesion = 80 / (1 + np.exp((np.sqrt((x - 5) ** 2 + y**2 + z**2) - radius) / 2))
            image = sitk.GetImageFromArray((head + lesion + noise.normal(0, 2, head.shape)).astype(np.float32))
            image.SetSpacing((2.6, 2.6, 3.0))
            path = folder / f"sub-{number}" / f"day-{day}.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(path))
            visits.append(Visit(float(day), path))
        patients.append(Patient(f"sub-{number}", split, tuple(visits)))
    write_cohort(folder, patients, name="growing-heads")
    return folder


if __name__ == "__main__":
    main()
