"""What a user feels of the panel: opening, blocks of the window, cancelling, live sliding, and growth.

    python Testing/benchmarks/panel.py [--grid 96 96 64] [--forecasts 50] [--out panel.md]

The panel is opened outside Slicer (Testing/slicerhost), with a real worker. The sample patient is forecast by the
shipped bundle; the live slider moves a patient of noise on the grid asked for, with untrained weights, which cost the
same as trained ones. A block is one turn of Qt's loop: its own processor time, and the time on the clock, which other
programs lengthen. Memory is what the system reports as resident.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker import make_bundle, noise_patient

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "CRONOSPredict"), str(ROOT / "Testing")]
from slicerhost import load_module, open_host  # noqa: E402

_SLIDE = 10.0  # s that the slider is moved
_HANDS = 0.03  # s between two positions of the slider
_PAUSE = 0.002  # s between two turns of Qt's loop

Row = tuple[str, str]


@dataclass
class Loop:
    """Qt's loop, turn by turn, and the longest turn: processor time and time on the clock, s."""

    app: object
    cpu: float = 0.0
    wall: float = 0.0

    def until(self, condition: Callable[[], object], seconds: float = 300.0) -> float:
        """Turn until something holds; seconds that it took."""
        start = time.perf_counter()
        while not condition():
            if time.perf_counter() - start > seconds:
                raise TimeoutError("The panel did not get there.")
            cpu, wall = time.thread_time(), time.perf_counter()
            self.app.processEvents()
            self.cpu, self.wall = max(self.cpu, time.thread_time() - cpu), max(self.wall, time.perf_counter() - wall)
            time.sleep(_PAUSE)
        return time.perf_counter() - start

    def rest(self, seconds: float) -> None:
        """Turn for a while."""
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)

    def longest(self) -> str:
        """The longest turn since the last call."""
        said = f"{1e3 * self.cpu:.0f} ms of its own, {1e3 * self.wall:.0f} ms on the clock"
        self.cpu = self.wall = 0.0
        return said


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, nargs=3, default=[96, 96, 64], help="voxels of the bundle's grid: x, y, z")
    parser.add_argument("--forecasts", type=int, default=50, help="in a row, to see what grows")
    parser.add_argument("--out", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    lines = [f"{platform.processor() or platform.machine()}, Python {platform.python_version()}", ""]
    lines += ["| what | figure |", "|---|---|"]
    print(*lines, sep="\n")
    for what, figure in _measure(arguments.grid, arguments.forecasts):
        lines.append(f"| {what} | {figure} |")
        print(lines[-1], flush=True)
    lines[0] += f", load {os.getloadavg()[0]:.0f}"
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _measure(grid: list[int], forecasts: int) -> Iterator[Row]:
    open_host()
    from slicerhost.gui import application

    application.start()
    module = load_module("CRONOSPredict")
    start = time.perf_counter()
    panel = application.open_panel(module)
    yield "panel opens", f"{time.perf_counter() - start:.2f} s, torch imported: {'torch' in sys.modules}"
    loop = Loop(application.slicer.app)
    yield from _forecasts(panel, module, loop)
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder) / "untrained")
        application.slicer.mrmlScene.Clear()
        yield from _live(panel, loop, grid, Path(folder))
    application.slicer.mrmlScene.Clear()
    yield from _growth(panel, module, loop, forecasts)
    application.close_panel(panel)


def _forecasts(panel, module, loop: Loop) -> Iterator[Row]:
    """The sample patient: a first and a second forecast, a sequence, and a cancel."""
    panel.panel.series.add(module.loadSamplePatient())
    loop.rest(1.0)
    loop.longest()
    for which in ("first forecast of the sample patient", "second forecast, another date"):
        seconds, running, arriving = _one_forecast(panel, loop)
        yield which, f"{seconds:.1f} s"
        yield "… longest block while it runs", running
        yield "… and as it arrives", arriving
        panel.ui.targetDistanceSpin.value += 10
    panel.ui.playButton.click()
    seconds = loop.until(lambda: not panel.panel.time.playing)
    yield "nine dates as a sequence, aligned before", f"{seconds:.1f} s"
    yield "… longest block", loop.longest()
    loop.until(lambda: not panel.panel.time.course.busy)
    yield "… longest block while the plot is measured", loop.longest()
    panel.getParameterNode().alignment = "affine"
    panel.ui.forecastButton.click()
    loop.until(lambda: panel.ui.progressBar.value > 0)
    panel.ui.forecastButton.click()
    seconds = loop.until(lambda: not panel.panel.run.job.running)
    yield "cancel while scans are aligned", f"{seconds:.2f} s"
    panel.getParameterNode().alignment = ""
    _one_forecast(panel, loop)


def _one_forecast(panel, loop: Loop) -> tuple[float, str, str]:
    """Seconds, longest block until the worker answers, and from then on."""
    panel.ui.forecastButton.click()
    start = time.perf_counter()
    client = panel.panel.run.job._worker()
    loop.until(lambda: client.busy)
    loop.until(lambda: not client.busy)
    running = loop.longest()
    loop.until(lambda: not panel.panel.run.job.running)
    seconds = time.perf_counter() - start
    loop.rest(1.0)
    return seconds, running, loop.longest()


def _growth(panel, module, loop: Loop, count: int) -> Iterator[Row]:
    """Live forecasts in a row, each at another date; then the button, at five dates again and again."""
    panel.panel.series.add(module.loadSamplePatient())
    panel.ui.liveCheckBox.checked = True
    states = []
    for number in range(count + 1):
        _live_forecast(panel, loop, panel.ui.targetSlider.value + (1 if number % 20 < 10 else -1) * 3)
        if number in (0, count // 2, count):
            states.append(_state(panel))
    panel.ui.liveCheckBox.checked = False
    for what, found in _columns(states):
        yield f"after 1, {count // 2}, {count} live forecasts: {what}", ", ".join(found)
    states = []
    for number in range(count // 2):
        panel.ui.targetDistanceSpin.value = 60 + number % 5
        _one_forecast(panel, loop)
        if number in (4, count // 2 - 1):
            states.append(_state(panel))
    found = " and ".join(dict(_columns(states))["nodes"])
    yield f"nodes after 5 and {count // 2} forecasts by the button, at five dates", found


def _live_forecast(panel, loop: Loop, position: int) -> None:
    panel.ui.targetSlider.value = position
    wanted = panel.ui.targetDateEdit.date.toString("yyyy-MM-dd")
    loop.until(lambda: _shows(panel, wanted))


def _shows(panel, date: str) -> bool:
    forecast = panel.getParameterNode().forecast
    return forecast is not None and "live" in forecast.GetName() and date in forecast.GetName()


def _state(panel) -> dict[str, str]:
    import slicer

    pid = panel.panel.run.job.worker_pid
    folder = panel.panel.run.job._worker()._folder.path
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    return {
        "nodes": str(slicer.mrmlScene.GetNumberOfNodes()),
        "temporary files": str(files),
        "memory of the window's process, MB": f"{_resident_mb(os.getpid()):.0f}",
        "memory of the worker, MB": f"{_resident_mb(pid):.0f}",
    }


def _columns(states: list[dict[str, str]]) -> list[tuple[str, list[str]]]:
    return [(name, [state[name] for state in states]) for name in states[0]]


def _resident_mb(pid: int) -> float:
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024 / 1e6


def _live(panel, loop: Loop, grid: list[int], bundles: Path) -> Iterator[Row]:
    """A slider that moves all the time, and its release."""
    import slicer
    from CRONOSLib.scene.results import add_scans

    panel.getParameterNode().bundlesFolder = bundles
    panel.panel.series.add(list(add_scans(slicer.mrmlScene, noise_patient(grid, 3))))
    loop.rest(0.5)
    panel.ui.liveCheckBox.checked = True
    _live_forecast(panel, loop, panel.ui.targetSlider.value + 1)
    loop.longest()
    seen: set[str] = set()
    begin, start = panel.ui.targetSlider.value, time.perf_counter()
    count = 0
    while time.perf_counter() - start < _SLIDE:
        count += 1
        panel.ui.targetSlider.value = begin + count % 60
        loop.rest(_HANDS)
        seen.add(f"{panel.getParameterNode().forecast.GetName()} {panel.getParameterNode().forecast.GetMTime()}")
    rate = (len(seen) - 1) / (time.perf_counter() - start)
    wanted = panel.ui.targetDateEdit.date.toString("yyyy-MM-dd")
    late = loop.until(lambda: _shows(panel, wanted))
    drawn = time.perf_counter()
    slicer.app.layoutManager().sliceWidget("CRONOSForecastAxial").picture(320, 480)
    late += time.perf_counter() - drawn
    yield f"live slider, {'×'.join(map(str, grid))}, moved every {1e3 * _HANDS:.0f} ms", f"{rate:.1f} forecasts/s"
    yield "from the release of the slider to its picture", f"{late:.2f} s"
    yield "longest block meanwhile", loop.longest()


if __name__ == "__main__":
    main()
