"""A worker that misbehaves on request, and what tests need to watch one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from CRONOSLib.errors import CronosError
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.worker.client import Listener, WorkerClient
from CRONOSLib.worker.job import ForecastJob, ForecastResult

LIBRARY = Path(__file__).resolve().parents[2] / "CRONOSPredict"
AS_IN_FILES = ForecastOptions(alignment=Alignment.OFF, device="cpu")
ENOUGH = 60.0  # s; a busy machine imports torch slowly

GAP = 60.0  # days between the scans of `growing_series`
WELL, PRINTS, LISTENS, DEAF, TOO_LARGE, BROKEN, UNWRITABLE = range(1, 8)
"""Gaps from the last scan to the target, by which the odd worker knows what to do."""

_ODD_WORKER = """
import os, pathlib, shutil, sys, time
sys.path.insert(0, {library!r})
from CRONOSLib.methods.last_context_image import LastContextImage
from CRONOSLib.worker.__main__ import main

copied = LastContextImage.forecast

def odd(self, batch, *, on_step=None):
    do = round(float(batch.target_time[0]))
    if do == {PRINTS}:
        print('{{"message": "shutdown"}}', flush=True)
        sys.__stdout__.write("stray\\n")
        os.write(1, b"from C\\n")
    while do == {LISTENS}:
        on_step(0.5)
        time.sleep(0.01)
    if do == {DEAF}:
        on_step(0.5)
        time.sleep(600)
    if do == {TOO_LARGE}:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    if do == {BROKEN}:
        raise ZeroDivisionError("nobody thought of this")
    if do == {UNWRITABLE}:
        for folder in pathlib.Path(sys.argv[-1]).glob("job-*"):
            shutil.rmtree(folder)
    return copied(self, batch, on_step=on_step)

LastContextImage.forecast = odd
main()
"""


def odd_command(folder: Path) -> list[str]:
    """Command that starts the odd worker, whose script is written into a folder."""
    script = folder / "odd worker é.py"
    names = ("PRINTS", "LISTENS", "DEAF", "TOO_LARGE", "BROKEN", "UNWRITABLE")
    code = _ODD_WORKER.format(library=str(LIBRARY), **{name: globals()[name] for name in names})
    script.write_text(code, encoding="utf-8")
    return [sys.executable, str(script)]


@dataclass
class Ear:
    """Hears everything about one job."""

    progress: list[tuple[str, float, float | None]] = field(default_factory=list)
    results: list[ForecastResult] = field(default_factory=list)
    errors: list[CronosError] = field(default_factory=list)
    cancels: int = 0

    def listener(self) -> Listener:
        """What a client tells."""
        return Listener(
            lambda *news: self.progress.append(news), self.results.append, self.errors.append, self._cancelled
        )

    def _cancelled(self) -> None:
        self.cancels += 1

    @property
    def ends(self) -> int:
        """How often the job came to an end; once is right."""
        return len(self.results) + len(self.errors) + self.cancels


def until(client: WorkerClient, condition: Callable[[], object]) -> float:
    """Poll until something holds; returns the seconds it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < ENOUGH, f"it never came; the worker said:\n{client.log}"
        client.poll()
        time.sleep(0.002)
    return time.monotonic() - start


def odd_job(series: LongitudinalSeries, do: int) -> ForecastJob:
    """A job at which the odd worker does something."""
    return ForecastJob(series, series.last.time + do * GAP, method="lci", options=AS_IN_FILES)


def submit(client: WorkerClient, job: ForecastJob) -> Ear:
    """Submit a job and listen."""
    ear = Ear()
    client.submit(job, ear.listener())
    return ear


def run_until_forecasting(client: WorkerClient, job: ForecastJob) -> Ear:
    """Submit a job and come back in the middle of its forecast."""
    ear = submit(client, job)
    until(client, lambda: any(what == "Forecasting" for what, *_ in ear.progress))
    return ear


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def private_folders() -> list[Path]:
    """Private folders of the clients that live, and of those that left theirs behind."""
    return list(Path(tempfile.gettempdir()).glob("cronos-worker-*"))


def files_of(client_folder: Path) -> list[str]:
    """Names of all files of a client."""
    return sorted(path.name for path in client_folder.rglob("*") if path.is_file())
