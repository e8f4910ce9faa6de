"""The forecast against the scan that was really taken, at the end of section "Results"."""

from __future__ import annotations

from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.errors import DateError
from CRONOSLib.evaluation.check import Check
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.scene.check import add_error_map
from CRONOSLib.scene.dates import date_of
from CRONOSLib.scene.panel.overlay_section import NO_FORECAST
from CRONOSLib.scene.panel.run_section import RunSection
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import allow, fill_table, fit_height
from CRONOSLib.scene.results import RESULT_ATTRIBUTE, last_scan_of


class CheckSection:
    """Measures in the worker, which also brings the true scan onto the last one."""

    def __init__(self, ui, state: PanelState, run: RunSection) -> None:
        self._ui, self._state, self._run = ui, state, run
        self._proposed_for = ""
        self._checked: tuple[str, str] = ("", "")
        headings = [_("Measure"), _("Forecast"), _("Copy of last scan")]
        ui.checkTable.setColumnCount(len(headings))
        ui.checkTable.setHorizontalHeaderLabels(headings)
        ui.checkTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        ui.checkButton.connect("clicked()", self._on_clicked)

    def refresh(self) -> None:
        """Propose the scan of the forecast's date, and show what was measured for these two."""
        forecast = self._state.choices.forecast
        last_scan = last_scan_of(forecast)
        allow("" if last_scan else NO_FORECAST, self._ui.truthSelector)
        if last_scan is not None and self._proposed_for != forecast.GetID():
            self._proposed_for = forecast.GetID()
            if (taken := _taken_at_the_date_of(forecast)) is not None:
                self._state.choices.truth = taken
        truth = self._state.choices.truth
        allow(self._reason(last_scan, truth), self._ui.checkButton)
        if self._checked != (_id(forecast), _id(truth)):
            fill_table(self._ui.checkTable, [])
        self._ui.checkTable.visible = self._ui.checkTable.rowCount > 0

    def _reason(self, last_scan, truth) -> str:
        """Why nothing can be checked now, one sentence, or ""."""
        if last_scan is None:
            return NO_FORECAST
        if truth in (None, self._state.choices.forecast, last_scan):
            return _("Choose the scan that was really taken at this date, at the left.")
        return _("Something is being computed. Wait for it, or cancel it.") if self._run.job.running else ""

    def _on_clicked(self) -> None:
        forecast, truth = self._state.choices.forecast, self._state.choices.truth
        alignment = Alignment(self._state.choices.alignment or "rigid")
        bundle = self._state.bundle
        spec = bundle.preprocessing.intensity if bundle else IntensitySpec()
        self._run.say("")
        take = partial(self._take, forecast.GetID(), truth.GetID())
        self._run.job.check(forecast, truth, last_scan_of(forecast), alignment, spec, take)
        self._run.refresh()
        self.refresh()

    def _take(self, forecast_id: str, truth_id: str, result: Check) -> str:
        """Show what was measured; returns what to tell the user."""
        forecast, truth = (slicer.mrmlScene.GetNodeByID(identifier) for identifier in (forecast_id, truth_id))
        if forecast is None or truth is None:
            return _("A scan left the scene before it was checked. Choose another one.")
        add_error_map(result.error, forecast, truth)
        self._checked = (_id(forecast), _id(truth))
        fill_table(self._ui.checkTable, _rows(result))
        fit_height(self._ui.checkTable)
        self._ui.checkTable.visible = True
        return ""


def _rows(result: Check) -> list[tuple[str, str, str]]:
    skill = "–" if result.skill is None else f"{result.skill:.3f}"
    forecast, lci = result.forecast, result.lci
    similarity = _("SSIM {window} (1 is perfect)").format(window=forecast.ssim.window.replace("x", "×"))
    return [
        (_("NRMSE (0 is perfect)"), f"{forecast.nrmse:.4f}", f"{lci.nrmse:.4f}"),
        (similarity, f"{forecast.ssim.value:.4f}", f"{lci.ssim.value:.4f}"),
        (_("PSNR, dB"), f"{forecast.psnr:.2f}", f"{lci.psnr:.2f}"),
        (_("Skill (0 is copying)"), skill, "0"),
    ]


def _taken_at_the_date_of(forecast: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """A real scan of the day that was forecast, or None."""
    day = _day_of(forecast)
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    real = (node for node in volumes if not node.GetAttribute(RESULT_ATTRIBUTE) and node.GetImageData() is not None)
    return next((node for node in real if day is not None and _day_of(node) == day), None)


def _day_of(node: slicer.vtkMRMLScalarVolumeNode):
    try:
        found = date_of(node)
    except DateError:
        return None
    return found.date.date() if found else None


def _id(node: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    """Changes when the voxels do: a forecast may be made anew in its nodes."""
    return f"{node.GetID()} {node.GetImageData().GetMTime()}" if node and node.GetImageData() else ""
