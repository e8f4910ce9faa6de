"""What a panel feels of the worker: waiting, cancelling, sliding, and memory.

    python Testing/benchmarks/worker.py [--grid 96 96 64] [--scans 3] [--forecasts 50] [--out worker.md]

The patient is made of noise, on voxels half as wide as those of the bundle's grid; the bundle is the default
cronos-continuous with untrained weights, which cost the same as trained ones. Memory is what the system reports as
resident.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "CRONOSPredict"))
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource
from CRONOSLib.worker.client import Listener, WorkerClient
from CRONOSLib.worker.job import ForecastJob, ForecastResult

_TICK = 0.01  # s between two polls, as a panel's timer does
_SLIDE = 10.0  # s that the slider is moved
_HANDS = 0.03  # s between two positions of the slider
_MAKE_BUNDLE = """
import sys
from pathlib import Path
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import save_bundle
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.registry import create_method
from CRONOSLib.series import TimeUnit
bundle = Bundle("untrained", "Untrained", "cronos-continuous", {}, Preprocessing(grid=GridSpec(spacing_mm=2.0)),
                TimeUnit.DAY, 365.25, (1.0, 999.0), 60.0, 8)
save_bundle(Path(sys.argv[1]), bundle, create_method(bundle.method))
"""


class Watch:
    """A client and the longest time that one of its calls held the caller."""

    def __init__(self) -> None:
        self.client = WorkerClient()
        self.longest = 0.0

    def call(self, do: Callable[[], object]) -> None:
        """Make a call and time it."""
        start = time.perf_counter()
        do()
        self.longest = max(self.longest, time.perf_counter() - start)

    def submit(self, job: ForecastJob, listener: Listener) -> None:
        """Submit, timed."""
        self.call(lambda: self.client.submit(job, listener))

    def until(self, condition: Callable[[], object]) -> float:
        """Poll until something holds; seconds that it took."""
        start = time.perf_counter()
        while not condition():
            self.call(self.client.poll)
            time.sleep(_TICK)
        return time.perf_counter() - start

    def forecast(self, job: ForecastJob) -> float:
        """Seconds of one forecast."""
        results: list[ForecastResult] = []
        errors: list[Exception] = []
        start = time.perf_counter()
        self.submit(job, Listener(result=results.append, error=errors.append))
        self.until(lambda: results or errors)
        if errors:
            raise errors[0]
        return time.perf_counter() - start

    def cancel_during(self, job: ForecastJob, doing: str) -> float:
        """Seconds from a cancel in the middle of some work to its answer."""
        told: list[str] = []
        ended: list[bool] = []
        finish = lambda *_: ended.append(True)  # noqa: E731
        self.submit(job, Listener(lambda what, *_: told.append(what), finish, finish, finish))
        self.until(lambda: doing in told or ended)
        start = time.perf_counter()
        self.call(self.client.cancel)
        self.until(lambda: ended)
        return time.perf_counter() - start


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, nargs=3, default=[96, 96, 64], help="voxels of the bundle's grid: x, y, z")
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--forecasts", type=int, default=50, help="in a row, to see memory grow")
    parser.add_argument("--out", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder) / "bundle")
        rows = _measure(noise_patient(arguments.grid, arguments.scans), Path(folder) / "bundle", arguments.forecasts)
    title = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    table = "\n".join(
        [title, "", "| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    )
    print(table)
    if arguments.out:
        arguments.out.write_text(table + "\n", encoding="utf-8")


def make_bundle(folder: Path) -> None:
    """Write a bundle with untrained weights; in a process of its own, since this one is to stay without torch."""
    library = Path(__file__).resolve().parents[2] / "CRONOSPredict"
    subprocess.run([sys.executable, "-c", _MAKE_BUNDLE, str(folder)], check=True, cwd=library)


def noise_patient(grid: list[int], scans: int) -> LongitudinalSeries:
    """Blobs of noise in int16, 1 mm voxels, twice as many along each axis as the grid has."""
    random = np.random.default_rng(0)
    size = [2 * count for count in reversed(grid)]
    blobs = sitk.GetImageFromArray(random.normal(size=[count // 16 for count in size]))
    fine = sitk.Expand(blobs, [16, 16, 16])
    smooth = 500 + 200 * sitk.GetArrayFromImage(fine)
    return LongitudinalSeries.from_dates(
        Scan(
            sitk.GetImageFromArray((smooth + random.normal(0, 20, size)).astype(np.int16)),
            0.0,
            f"visit {visit}",
            TimeSource.TYPED,
            datetime(2020, 1, 1) + timedelta(days=60 * visit),
        )
        for visit in range(scans)
    )


def _measure(series: LongitudinalSeries, bundle: Path, forecasts: int) -> list[tuple[str, str]]:
    watch = Watch()
    last = series.last.time
    job = ForecastJob(series, last + 90, bundle=bundle, options=ForecastOptions(alignment=Alignment.RIGID))
    rows = [
        ("first forecast, the worker not started, scans to align", f"{watch.forecast(job):.2f} s"),
        ("second forecast, another date", f"{watch.forecast(replace(job, target_time=last + 100)):.2f} s"),
    ]
    memory = [_resident_mb(watch)]
    for number in range(forecasts):
        watch.forecast(replace(job, target_time=last + 1 + number))
        memory.append(_resident_mb(watch))
    rows.append((f"memory of the worker after 1, {forecasts // 2}, {forecasts} more forecasts", _megabytes(memory)))
    shown, late = _slide(watch, job)
    rows.append((f"live slider, {1 / _HANDS:.0f} positions a second", f"{shown:.2f} forecasts/s"))
    rows.append(("from the release of the slider to its forecast", f"{late:.2f} s"))
    slow = replace(job, options=replace(job.options, steps=50))
    rows.append(("cancel while the network computes", f"{watch.cancel_during(slow, 'Forecasting'):.3f} s"))
    aligned_anew = replace(job, options=replace(job.options, alignment=Alignment.AFFINE))
    rows.append(("cancel while scans are aligned", f"{watch.cancel_during(aligned_anew, 'Starting'):.3f} s"))
    rows.append(("longest time that submit, poll or cancel took", f"{1e3 * watch.longest:.1f} ms"))
    watch.client.close()
    return rows


def _slide(watch: Watch, job: ForecastJob) -> tuple[float, float]:
    """Forecasts a second while the slider moves, and seconds from its release to the last forecast."""
    results: list[ForecastResult] = []
    start = time.perf_counter()
    positions = 0
    while time.perf_counter() - start < _SLIDE:
        positions += 1
        watch.submit(replace(job, target_time=job.target_time + positions / 10), Listener(result=results.append))
        released = time.perf_counter()
        watch.until(lambda: time.perf_counter() - released > _HANDS)  # noqa: B023
    rate = len(results) / (time.perf_counter() - start)
    wanted = job.target_time + positions / 10
    watch.until(lambda: results and results[-1].target_time == wanted)
    return rate, time.perf_counter() - released


def _resident_mb(watch: Watch) -> float:
    pid = str(watch.client.pid)
    told = subprocess.run(["ps", "-o", "rss=", "-p", pid], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024 / 1e6


def _megabytes(memory: list[float]) -> str:
    return ", ".join(f"{memory[index]:.0f}" for index in (1, len(memory) // 2, -1)) + " MB"


if __name__ == "__main__":
    main()
