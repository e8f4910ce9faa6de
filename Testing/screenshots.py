"""Pictures of the panel as a user sees it, beside its slice views, in Testing/output.

`python Testing/screenshots.py` opens the panel outside Slicer (Testing/slicerhost), forecasts the sample patient with a
real worker, and saves: empty, filled, running, result, three planes, change over the scans, check against the true
scan, through time, flow, error, dark theme. `--readme` renews those of the README, smaller.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "CRONOSPredict"), str(ROOT / "Testing")]

from slicerhost import load_module, open_host  # noqa: E402

OUTPUT = ROOT / "Testing" / "output"
PANEL_SIZE = (500, 960)
VIEWS_SIZE = (960, 960)
README_PICTURES = {
    "filled": "panel-filled",
    "three-planes": "panel",
    "through-time": "panel-time",
    "flow": "panel-flow",
}
README_WIDTH = 1000
COLUMNS = ("Last", "Forecast", "Change")
PLANES = ("Axial", "Sagittal", "Coronal")
PLOT = "CRONOSTimePlot"
VIEW_ORDER = (
    *("Red", "Yellow", "Green"),
    *(f"CRONOS{column}{plane}" for plane in PLANES for column in COLUMNS),
    *(f"CRONOSTime{plane}" for plane in PLANES),
    *(f"CRONOSMember{number}" for number in range(1, 10)),
)


class Camera:
    """Saves the panel with the slice views of the current layout at its right."""

    def __init__(self, panel) -> None:
        from slicerhost.gui.application import slicer

        self._panel, self._slicer, self._count = panel, slicer, 0
        panel.parent.resize(*PANEL_SIZE)

    def shoot(self, name: str) -> None:
        """Save one picture; they are numbered in the order in which a user meets them."""
        from PySide6 import QtGui

        for _ in range(3):  # as high as a scroll area lets it be
            self._slicer.app.processEvents()
            height = self._panel.parent.layout().heightForWidth(PANEL_SIZE[0])
            self._panel.parent.resize(PANEL_SIZE[0], max(PANEL_SIZE[1], height))
        panel = self._panel.parent.grab()
        height = max(panel.height(), VIEWS_SIZE[1])
        picture = QtGui.QPixmap(panel.width() + VIEWS_SIZE[0], height)
        picture.fill(QtGui.QColor("black"))
        painter = QtGui.QPainter(picture)
        painter.drawPixmap(0, 0, panel)
        self._draw_views(painter, panel.width(), height)
        painter.end()
        self._count += 1
        path = OUTPUT / f"panel-{self._count}-{name}.png"
        picture.save(str(path))
        print(path.relative_to(ROOT))

    @staticmethod
    def _is_shown(widget) -> bool:
        return widget is not None and bool(widget.mrmlSliceNode().IsMappedInLayout())

    def _draw_views(self, painter, left: int, height: int) -> None:
        """The views of the layout in rows of three, and its plot below."""
        from PySide6 import QtCore, QtGui
        from slicerhost.gui.plots import chart_picture

        layouts = self._slicer.app.layoutManager()
        names = [name for name in VIEW_ORDER if self._is_shown(layouts.sliceWidget(name))]
        chart = self._chart()
        rows = (len(names) + 2) // 3 + bool(chart)
        width, view_height = VIEWS_SIZE[0] // 3, height // rows
        for index, name in enumerate(names):
            place = QtCore.QRect(left + width * (index % 3), view_height * (index // 3), width - 4, view_height - 4)
            widget = layouts.sliceWidget(name)
            painter.drawImage(place, widget.picture(place.width(), place.height()))
            painter.setPen(QtGui.QColor("gray"))
            painter.drawText(place.left() + 8, place.top() + 18, widget.mrmlSliceNode().GetLayoutLabel() or name)
        if chart is not None:
            picture = chart_picture(chart, VIEWS_SIZE[0] - 4, view_height - 4)
            painter.drawImage(left, height - view_height, picture)

    def _chart(self):
        """What the plot view of the current layout shows, or None."""
        view = self._slicer.mrmlScene.GetSingletonNode(PLOT, "vtkMRMLPlotViewNode")
        return view.GetPlotChartNode() if view is not None and view.IsMappedInLayout() else None


def wait_until(slicer, condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Let Qt work until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("The panel did not come to the next picture.")
        slicer.app.processEvents()
        time.sleep(0.005)


def shoot_through_time(panel, camera: Camera, slicer, scans) -> None:
    """Play nine dates, and look at the last one."""
    from CRONOSLib.scene.timeline import timeline_of

    for button in (panel.ui.runCollapsibleButton, panel.ui.resultsCollapsibleButton):
        button.collapsed = True
    panel.ui.timeCollapsibleButton.collapsed = False
    panel.ui.playButton.click()
    wait_until(slicer, lambda: not panel.panel.time.playing and not panel.panel.time.course.busy)
    timeline = timeline_of(scans[-1])
    timeline.browser.SetSelectedItemNumber(timeline.sequence.GetNumberOfDataNodes() - 1)
    camera.shoot("through-time")
    for button in (panel.ui.runCollapsibleButton, panel.ui.resultsCollapsibleButton):
        button.collapsed = False
    panel.ui.timeCollapsibleButton.collapsed = True
    panel.ui.compareButton.click()


def add_true_scan(scene) -> None:
    """The scan that was really taken next."""
    import SimpleITK as sitk
    from CRONOSLib.resources import sample_folder
    from CRONOSLib.scene.nodes import add_volume

    (path,) = (sample_folder() / "truth").glob("*_T1Gd.nrrd")
    add_volume(scene, sitk.ReadImage(str(path)), path.stem)


def shoot_flow(panel, camera: Camera, slicer) -> None:
    """The members side by side at half way, each under its own speed."""
    others = [panel.ui.seriesCollapsibleButton, panel.ui.forecastCollapsibleButton, panel.ui.resultsCollapsibleButton]
    for button in (*others, panel.ui.flowCollapsibleButton):
        button.collapsed = button in others
    panel.ui.flowButton.click()
    wait_until(slicer, lambda: not panel.panel.run.job.running)
    panel.ui.flowStepSlider.value = panel.ui.flowStepSlider.maximum // 2
    panel.ui.flowOverlayCombo.setCurrentIndex(1)
    panel.ui.flowOverlayCombo.activated.emit(1)
    camera.shoot("flow")
    for button in (*others, panel.ui.flowCollapsibleButton):
        button.collapsed = button not in others


def darken() -> None:
    """The colours of Slicer's dark theme."""
    from PySide6 import QtGui, QtWidgets

    palette = QtGui.QPalette(QtGui.QColor("#353535"), QtGui.QColor("#353535"))
    palette.setColor(QtGui.QPalette.Base, QtGui.QColor("#232323"))
    palette.setColor(QtGui.QPalette.AlternateBase, QtGui.QColor("#2d2d2d"))
    QtWidgets.QApplication.instance().setPalette(palette)


def renew_readme() -> None:
    """Put some of the pictures where the README shows them."""
    from PIL import Image

    for name, shown in README_PICTURES.items():
        (path,) = OUTPUT.glob(f"panel-*-{name}.png")
        picture = Image.open(path).convert("RGB")
        smaller = picture.resize((README_WIDTH, README_WIDTH * picture.height // picture.width))
        smaller.save(ROOT / "Resources" / "screenshots" / f"{shown}.png", optimize=True)


def main() -> None:
    """Take every picture."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    open_host()
    from slicerhost.gui.application import close_panel, open_panel, slicer, start

    start()
    module = load_module("CRONOSPredict")
    panel = open_panel(module)
    camera = Camera(panel)
    camera.shoot("empty")
    scans = module.loadSamplePatient()
    add_true_scan(slicer.mrmlScene)
    panel.panel.series.add(scans)
    if panel.panel.run.reason():  # no trained model in this copy
        panel.getParameterNode().method = "linear"
    panel.getParameterNode().target = "2021-06-17"
    camera.shoot("filled")
    panel.ui.forecastButton.click()
    wait_until(slicer, lambda: panel.ui.progressBar.value > 100 or not panel.panel.run.job.running)
    camera.shoot("running")
    wait_until(slicer, lambda: not panel.panel.run.job.running and not panel.panel.results.busy)
    camera.shoot("result")
    panel.ui.comparePlanesButton.click()
    camera.shoot("three-planes")
    panel.ui.compareButton.click()
    panel.ui.overlayCheckBox.click()
    camera.shoot("change-over-scans")
    panel.ui.overlayCheckBox.click()
    panel.ui.checkButton.click()
    wait_until(slicer, lambda: not panel.panel.run.job.running)
    camera.shoot("checked")
    shoot_through_time(panel, camera, slicer, scans)
    shoot_flow(panel, camera, slicer)
    panel.ui.scansTable.item(0, 2).setText("07/08/2020")
    camera.shoot("error")
    panel.ui.scansTable.cellPressed.emit(0, 2)
    panel.ui.advancedCollapsibleButton.collapsed = False
    darken()
    camera.shoot("dark")
    close_panel(panel)


if __name__ == "__main__":
    main()
    if "--readme" in sys.argv:
        renew_readme()
