"""`cronos prepare`, killed at random moments and resumed, against a run that nothing disturbed.

    python Testing/benchmarks/preparation.py [--patients 40] [--kills 20] [--jobs 2] [--seed 1]

A killed run is resumed until it ends; then it starts again in an empty folder, until the kills are spent.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "library"))
import cohort_trees as trees

LIBRARY = Path(__file__).resolve().parents[2] / "CRONOSPredict"
PLACES = {"visits.json", "cohort.json"}
"""Files that name the folder they were made from, and when its files changed."""


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("patients", 40), ("kills", 20), ("jobs", 2), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        compare(Path(place), asked)


def compare(place: Path, asked: argparse.Namespace) -> None:
    """Print how many kills there were, what they left, and whether the results are the same bytes."""
    data = trees.named(place / "data", patients=asked.patients)
    began = time.monotonic()
    assert started(data, place / "whole" / "out", asked.jobs).wait() == 0
    whole = time.monotonic() - began
    chance, out, kills, cohorts, differing = random.Random(asked.seed), place / "killed" / "out", 0, 0, 0
    while kills < asked.kills or out.exists():
        process = started(data, out, asked.jobs)
        if kills < asked.kills:
            try:
                process.wait(chance.uniform(0, whole))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
        if process.wait() == 0:
            cohorts += 1
            differing += contents(place / "whole") != contents(place / "killed")
            shutil.rmtree(out)
    print(f"{asked.patients} patients, {asked.jobs} processes, {whole:.1f} s undisturbed")
    print(f"{kills} kills, {cohorts} cohorts finished, {differing} of them different from the undisturbed one")


def started(data: Path, out: Path, jobs: int) -> subprocess.Popen:
    """The command, running."""
    words = ["-m", "CRONOSLib.cli", "prepare", data, "--out", out, "--align", "off", "--spacing", "2", "--jobs", jobs]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *map(str, words)], env=os.environ | {"PYTHONPATH": str(LIBRARY)}, **quiet)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in PLACES)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


if __name__ == "__main__":
    main()
