"""Pictures of CRONOS Train as a user sees it, beside its plots, in Testing/output.

`python Testing/screenshots_training.py` opens the panel outside Slicer (Testing/slicerhost), makes a folder of patients
with growing lesions, trains a small network on them in a process of its own, and saves: patients, running, done.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from screenshots import OUTPUT, PANEL_SIZE, ROOT, VIEWS_SIZE, wait_until
from slicerhost import load_module, open_host

PLOTS = ("CRONOSTrainGaps", "CRONOSTrainLoss", "CRONOSTrainSkill")
STEPS = 400
SETTINGS = {
    "method_settings": {"network": {"unet": {"width": 8, "multipliers": [1, 2], "embedding": 32, "groups": 4}}},
    "preprocessing": {"grid": {"spacing_mm": 4.0}, "alignment": "off"},
    "precision": "32-true",
    "learning_rate": 3e-3,
}


def write_patients(folder: Path) -> None:
    """26 patients with up to six dated scans, of whom two have one scan only; one scan has no date in its name."""
    generator = np.random.default_rng(4)
    z, y, x = np.meshgrid(*(4.0 * (np.arange(count) - count / 2) for count in (16, 24, 24)), indexing="ij")
    for number in range(26):
        rate, place = generator.uniform(0.01, 0.05), generator.uniform(-15, 15, 3)
        texture = sum(np.sin(generator.normal(0, 0.15, 3) @ [x.ravel(), y.ravel(), z.ravel()]) for _ in range(6))
        brain = ((x / 40) ** 2 + (y / 44) ** 2 + (z / 30) ** 2 < 1) * (100 + 8 * texture.reshape(x.shape))
        day, visits = 0, 1 if number in (7, 19) else generator.integers(3, 7)
        for visit in range(visits):
            distance = np.sqrt(sum((axis - centre) ** 2 for axis, centre in zip((x, y, z), place)))
            lesion = 90 / (1 + np.exp((distance - 6 - rate * day) / 2)) * (brain > 0)
            image = sitk.GetImageFromArray((brain + lesion + generator.normal(0, 1.5, x.shape)).astype(np.float32))
            image.SetSpacing((4.0, 4.0, 4.0))
            dated = f"{date(2021, 1, 11) + timedelta(days=int(day))}_T1Gd.nrrd"
            path = folder / f"patient-{number + 1:02}" / ("T1Gd.nrrd" if (number, visit) == (3, 2) else dated)
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(path))
            day += max(30, generator.normal(75, 20))


class TrainingCamera:
    """Saves the panel with the plots of the current layout at its right."""

    def __init__(self, panel, slicer) -> None:
        self._panel, self._slicer, self._count = panel, slicer, 0
        panel.parent.resize(*PANEL_SIZE)

    def shoot(self, name: str) -> None:
        """Save one picture; they are numbered in the order in which a user meets them."""
        from PySide6 import QtGui
        from slicerhost.gui.plots import chart_picture

        for _ in range(3):
            self._slicer.app.processEvents()
        panel = self._panel.parent.grab()
        nodes = [self._slicer.mrmlScene.GetSingletonNode(plot, "vtkMRMLPlotViewNode") for plot in PLOTS]
        charts = [node.GetPlotChartNode() for node in nodes if node is not None and node.IsMappedInLayout()]
        width, height = VIEWS_SIZE[0] * 3 // 4, panel.height() // max(1, len(charts))
        picture = QtGui.QPixmap(panel.width() + width, panel.height())
        picture.fill(QtGui.QColor("white"))
        painter = QtGui.QPainter(picture)
        painter.drawPixmap(0, 0, panel)
        for row, chart in enumerate(charts):
            painter.drawImage(panel.width(), row * height, chart_picture(chart, width, height))
        painter.end()
        self._count += 1
        path = OUTPUT / f"training-{self._count}-{name}.png"
        picture.save(str(path))
        print(path.relative_to(ROOT))


def main() -> None:
    """Take every picture."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "glioma-clinic"
        os.environ["CRONOS_BUNDLES"] = str(Path(place) / "bundles")
        os.environ["XDG_CONFIG_HOME"] = str(Path(place) / "config")
        write_patients(folder)
        config = Path(place) / "small.json"
        config.write_text(json.dumps({"settings": SETTINGS}))
        open_host()
        from slicerhost.gui.application import close_panel, open_panel, slicer, start

        start()
        panel = open_panel(load_module("CRONOSTrain"))
        ui, camera = panel.ui, TrainingCamera(panel, slicer)
        ui.configFileEdit.currentPath, ui.stepsSpin.value, ui.validateEverySpin.value = str(config), STEPS, 40
        ui.cohortFolderEdit.currentPath = str(folder)
        wait_until(slicer, lambda: not panel.panel.cohort.busy)
        wait_until(slicer, lambda: not panel.panel.method.busy)
        camera.shoot("patients")
        ui.startButton.click()
        wait_until(slicer, lambda: panel.panel.run.alive and panel.panel.state.run.status.step > STEPS * 0.6)
        camera.shoot("running")
        wait_until(slicer, lambda: ui.useButton.enabled)
        camera.shoot("done")
        close_panel(panel)


if __name__ == "__main__":
    main()
