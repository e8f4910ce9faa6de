"""The process that `panel_kills.py` shoots at: the host with the panel of CRONOS Predict and a small patient.

It reads orders as JSON lines (`Victim.take`), starts a forecast, does what `hit` names in the middle of it, and answers
with one line about what the user read and what was found wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "CRONOSPredict"), str(ROOT / "Testing")]

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402
from slicerhost import load_module, open_host  # noqa: E402

DATES = ("2020-01-01", "2020-03-01", "2020-04-30")
TARGET = "2020-06-29T00:00:00"
ENOUGH = 180.0  # s, on a busy machine, until something counts as never ending
_FULL_BYTES = 2000
"""Larger files fail to be written on a "full disk"."""


def main() -> None:
    """Answer orders until the input ends."""
    victim = Victim(Path(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(victim.take(**json.loads(line))), flush=True)
    victim.close()


class Victim:
    """One panel, and all that must stay as it is: scans, drawings, files.

    folder: of the patient's files
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._problems = folder, []
        sys.excepthook = self._note_exception
        threading.excepthook = lambda told: self._note_exception(told.exc_type, told.exc_value, told.exc_traceback)
        open_host()
        from slicerhost.gui import application

        self._application = application
        application.start()
        self._panel = application.open_panel(load_module("CRONOSPredict"))
        self._fill()
        self._lasts = {work: self._undisturbed(work) for work in ("cold", "forecast", "sequence")}
        self._expected = self._voxels(self._choices.forecast)
        print(json.dumps({"lasts": self._lasts}), flush=True)

    def close(self) -> None:
        """Unload the module, as the application does at its end."""
        self._application.close_panel(self._panel)

    def take(self, hit: str, work: str, moment: float, cold: bool, alignment: str) -> dict:
        """Forecast, do what `hit` names after that part of the usual time, wait for the end, and look around."""
        self._problems.clear()
        if cold:
            self._kill_worker()
        self._choices.alignment = alignment
        before = self._made(work)
        self._click(work)
        print(json.dumps({"begun": self._children()}), flush=True)
        self._turn(moment * self._lasts["cold" if cold else work])
        panel = self._panel.panel
        late = not panel.run.job.running and not panel.time.playing  # then the new result may be what is deleted
        self._hit(hit)
        self._until(self._quiet, f"{work} after {hit}")
        done = self._made(work) not in (before, None)
        words = (self._panel.ui.timeLabel if work == "sequence" else self._panel.ui.messageLabel).text.splitlines()
        said = " ".join(line for line in words if not line.startswith("Shown:"))
        self._look(hit, said)
        if not (done or said) and hit != "scene" and not (late and hit in ("result", "scan")):
            self._problems.append("neither a result nor a word")
        self._end(hit)
        return {"hit": hit, "said": said, "done": done, "problems": self._problems}

    def _note_exception(self, kind: type[BaseException], error: BaseException | None, trace) -> None:
        self._problems.append(f"{kind.__name__}: {error}")
        sys.__excepthook__(kind, error, trace)

    @property
    def _choices(self):
        return self._panel.getParameterNode()

    def _fill(self) -> None:
        """The patient, and a drawing of the user."""
        import slicer
        from CRONOSLib.scene.nodes import add_volume

        for date in DATES:
            name = f"T1 {date}"
            if slicer.mrmlScene.GetFirstNodeByName(name) is None:
                added = add_volume(slicer.mrmlScene, sitk.ReadImage(str(self._folder / f"{name}.nrrd")), name)
                added.SetName(name)  # the scene remembers the names of nodes that went, and gives no name twice
        if slicer.mrmlScene.GetFirstNodeByName("my note") is None:
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "my note")
        self._panel.panel.series.add([slicer.util.getNode(f"T1 {date}") for date in DATES])
        self._choices.method, self._choices.target, self._choices.frames = "linear", TARGET, 5
        self._choices.alignment = "off"
        self._hashes = {f"T1 {date}": self._hash(slicer.util.getNode(f"T1 {date}")) for date in DATES}

    def _made(self, work: str) -> tuple[str, int] | None:
        """Changes when a forecast, or a sequence, is made anew."""
        import slicer
        from CRONOSLib.scene.timeline import timeline_of

        if work == "sequence":
            timeline = timeline_of(slicer.mrmlScene.GetFirstNodeByName(f"T1 {DATES[-1]}"))
            node = timeline and timeline.sequence
        else:
            node = self._choices.forecast
        return (node.GetID(), node.GetMTime()) if node else None

    def _undisturbed(self, work: str) -> float:
        start = time.monotonic()
        self._click(work)
        self._until(self._quiet, work)
        return time.monotonic() - start

    def _click(self, work: str) -> None:
        ui = self._panel.ui
        button = ui.playButton if work == "sequence" else ui.forecastButton
        self._until(lambda: button.enabled, f"waiting for the button ({button.toolTip})")
        button.click()

    def _quiet(self) -> bool:
        panel = self._panel.panel
        return not (panel.run.job.running or panel.results.busy or panel.time.playing or panel.time.course.busy)

    def _turn(self, seconds: float) -> None:
        import slicer

        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._quiet():
            slicer.app.processEvents()
            time.sleep(0.002)

    def _until(self, condition: Callable[[], object], what: str) -> None:
        import slicer

        end = time.monotonic() + ENOUGH
        while not condition():
            if time.monotonic() > end:
                self._problems.append(f"{what} never ended")
                return
            slicer.app.processEvents()
            time.sleep(0.005)
        slicer.app.processEvents()

    def _hit(self, hit: str) -> None:
        import slicer

        if hit == "worker":
            self._kill_worker()
        elif hit == "scene":
            slicer.mrmlScene.Clear()
        elif hit == "scan":
            slicer.mrmlScene.RemoveNode(slicer.util.getNode(f"T1 {random.choice(DATES)}"))
        elif hit == "result":
            from CRONOSLib.scene.results import RESULT_ATTRIBUTE

            nodes = slicer.util.getNodesByClass("vtkMRMLNode")
            results = [node for node in nodes if node.GetAttribute(RESULT_ATTRIBUTE)]
            if results:
                slicer.mrmlScene.RemoveNode(random.choice(results))
        elif hit == "disk":
            self._limit_files(_FULL_BYTES)
        elif hit == "cancel" and not self._quiet():
            time_section = self._panel.panel.time
            (self._panel.ui.playButton if time_section.playing else self._panel.ui.forecastButton).click()

    def _limit_files(self, count: int) -> None:
        for pid in (os.getpid(), *self._children()):
            _soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (count, hard))

    def _kill_worker(self) -> None:
        for pid in self._children():
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _children() -> list[int]:
        """Processes that this one started and that still live."""
        mine = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == os.getpid() and state != "Z":
                mine.append(int(stat.parent.name))
        return mine

    def _look(self, hit: str, said: str) -> None:
        """What must hold whatever was hit."""
        import slicer
        from CRONOSLib.scene.results import RESULT_ATTRIBUTE, last_scan_of, results_of

        for name, expected in self._hashes.items():
            node = slicer.mrmlScene.GetFirstNodeByName(name)
            if node is None and hit not in ("scene", "scan"):
                self._problems.append(f"{name} is gone")
            if node is not None and self._hash(node) != expected:
                self._problems.append(f"{name} was changed")
        if hit != "scene" and slicer.mrmlScene.GetFirstNodeByName("my note") is None:
            self._problems.append("the user's drawing is gone")
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node.GetAttribute(RESULT_ATTRIBUTE) and node.GetImageData() is None:
                self._problems.append(f"{node.GetName()} has no voxels")
            if hit != "result" and last_scan_of(node) is not None and results_of(node) is None:
                self._problems.append(f"{node.GetName()} lost its change")
        if "Report it" in said or "Traceback" in said:
            self._problems.append(f"said: {said}")
        self._until(lambda: len(self._children()) <= 1, "waiting for orphans to end")

    def _end(self, hit: str) -> None:
        """The next forecast works, and leaves no file of a job behind."""
        if hit == "disk":
            self._limit_files(resource.RLIM_INFINITY)
        self._fill()
        self._undisturbed("forecast")
        found = self._choices.forecast
        if found is None or not np.array_equal(self._voxels(found), self._expected):
            self._problems.append(f"the next forecast is another one: {self._panel.ui.messageLabel.text}")
        folders = list(Path(tempfile.gettempdir()).glob("cronos-worker-*"))
        if len(folders) != 1 or list(folders[0].rglob("job-*")):
            self._problems.append(f"{len(folders)} private folders, with files of jobs")

    @staticmethod
    def _voxels(node) -> np.ndarray:
        import slicer

        return slicer.util.arrayFromVolume(node).copy()

    def _hash(self, node) -> str:
        told = (node.GetName(), node.GetAttribute("CRONOS.AcquisitionDate"), node.GetSpacing(), node.GetOrigin())
        return hashlib.sha256(repr(told).encode() + self._voxels(node).tobytes()).hexdigest()


def write_patient(folder: Path) -> None:
    """Three visits of a head whose lesion grows, as files."""
    z, y, x = np.meshgrid(*[np.linspace(-30, 30, count) for count in (20, 28, 28)], indexing="ij")
    for radius, date in zip((6, 8, 10), DATES):
        head = 100.0 * ((x / 26) ** 2 + (y / 28) ** 2 + (z / 24) ** 2 < 1)
        lesion = 80 / (1 + np.exp((np.sqrt((x - 5) ** 2 + y**2 + z**2) - radius) / 2))
        image = sitk.GetImageFromArray((head + lesion).astype(np.int16))
        image.SetSpacing((2.2, 2.2, 3.0))
        sitk.WriteImage(image, str(folder / f"T1 {date}.nrrd"))


if __name__ == "__main__":
    main()
