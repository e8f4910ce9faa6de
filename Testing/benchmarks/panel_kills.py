"""The panel under fire: forecasts that are hit at random moments, and what is left of them.

    python Testing/benchmarks/panel_kills.py [--runs 100] [--seed 0] [--out panel-kills.md]

The panel runs outside Slicer (Testing/slicerhost) in a process of its own, with a real worker, on Linux. In the middle
of a forecast or of a sequence, warm or while the worker still starts, the worker or the whole application is killed
(SIGKILL), the scene closed, a scan or a result deleted, the disk full (files of the worker and of the window cannot
grow), or Cancel is pressed. After each there must be a result, a sentence or a clean state; no exception in the window;
scans, drawings and files of the user as they were; no orphan process; no abandoned temporary folder after the next
start; and a next forecast that equals the undisturbed one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from panel_victim import ENOUGH, write_patient

HITS = ("worker", "application", "scene", "scan", "result", "disk", "cancel")


class Host:
    """The process with the panel."""

    def __init__(self, patient: Path, temporary: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("panel_victim.py")), str(patient)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lasts = self.hear()["lasts"]

    def tell(self, **order) -> None:
        """Send an order."""
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def hear(self) -> dict:
        """Its next answer."""
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"The host ended by itself ({self._process.wait()}).")

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """As the user does."""
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Hit, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of what is hit, and when")
    parser.add_argument("--hits", nargs="+", choices=HITS, default=HITS)
    parser.add_argument("--out", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = _under_fire(arguments, Path(folder))
    print(*lines, sep="\n")
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _under_fire(arguments: argparse.Namespace, folder: Path) -> list[str]:
    chance = random.Random(arguments.seed)
    patient, temporary = folder / "patient", folder / "temporary"
    for path in (patient, temporary):
        path.mkdir()
    write_patient(patient)
    files = _hashes(patient)
    host = Host(patient, temporary)
    runs, done, said, problems = Counter(), Counter(), Counter(), []
    for number in range(arguments.runs):
        hit = arguments.hits[number % len(arguments.hits)]
        order = {
            "work": chance.choice(("forecast", "sequence")),
            "moment": chance.uniform(0.0, 1.0),
            "cold": chance.random() < 0.3,
            "alignment": chance.choice(("off", "rigid")),
        }
        if hit == "application":
            host, answer = _kill_application(host, order, patient, temporary)
        else:
            host.tell(hit=hit, **order)
            host.hear()
            answer = host.hear()
        found = answer["problems"] + (["a file of the user was changed"] if _hashes(patient) != files else [])
        problems += [f"{hit}, run {number}: {problem}" for problem in found]
        runs[hit] += 1
        done[hit] += answer["done"]
        said[hit] += bool(answer["said"]) and not answer["done"]
        print(number, hit, order, answer, file=sys.stderr, flush=True)
    host.close()
    problems += [f"{path.name} was left" for path in temporary.glob("cronos-*")]
    rows = [f"| {hit} | {runs[hit]} | {done[hit]} | {said[hit]} |" for hit in HITS]
    head = ["| hit | runs | finished all the same | one sentence instead |", "|---|---|---|---|"]
    return [*head, *rows, "", f"wrong: {len(problems)}", *problems]


def _kill_application(host: Host, order: dict, patient: Path, temporary: Path) -> tuple[Host, dict]:
    """Kill the window's process; its worker must follow, and the next start tidy up."""
    host.tell(hit="nothing", **order)
    workers = host.hear()["begun"]
    time.sleep(order["moment"] * host.lasts["cold" if order["cold"] else order["work"]])
    host.kill()
    end = time.monotonic() + ENOUGH
    while (left := [pid for pid in workers if _lives(pid)]) and time.monotonic() < end:
        time.sleep(0.01)
    problems = [f"worker {pid} outlived the application" for pid in left]
    host = Host(patient, temporary)
    if len(folders := list(temporary.glob("cronos-*"))) != 1:
        problems.append(f"{len(folders)} private folders after the next start")
    return host, {"done": False, "said": "", "problems": problems}


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))}


if __name__ == "__main__":
    main()
