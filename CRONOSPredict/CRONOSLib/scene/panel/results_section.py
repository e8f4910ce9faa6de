"""Section "Results": the forecast beside the last scan, and what changed."""

from __future__ import annotations

from collections.abc import Sequence

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.scene.changes import changes_in, usual_threshold
from CRONOSLib.scene.compare import show_comparison
from CRONOSLib.scene.layouts import ALL_PLANES, AXIAL
from CRONOSLib.scene.overlay import lay_over, take_away
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import fill_table, show, silent
from CRONOSLib.scene.results import RESULT_ATTRIBUTE, ResultNodes, last_scan_of, results_of

_BLINK_MS = 700


class ResultsSection:
    """Shows and measures one forecast of the scene."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        self._measured: object = None
        self._proposed: tuple[str, float] = ("", 0.0)
        ui.resultSelector.addAttribute("vtkMRMLScalarVolumeNode", RESULT_ATTRIBUTE, "forecast")
        ui.compareButton.connect("clicked()", lambda: self.compare(AXIAL))
        ui.comparePlanesButton.connect("clicked()", lambda: self.compare(ALL_PLANES))
        ui.overlayCheckBox.connect("toggled(bool)", self._on_overlay)
        ui.opacitySlider.connect("valueChanged(int)", lambda value: self._overlay())
        ui.blinkButton.connect("toggled(bool)", self._on_blink)
        ui.thresholdSpin.connect("valueChanged(double)", lambda value: setattr(state.choices, "threshold", value))
        headings = {
            _("Region"): _("The whole body, a segment, or the region of interest."),
            _("Mean"): _("Mean change, in the scan's own units."),
            _("SD"): _("Standard deviation of the change."),
            _("5 %"): _("A twentieth of the voxels changes by less."),
            _("95 %"): _("A twentieth of the voxels changes by more."),
            _("Changed"): _("Voxels that change by more than the threshold above, either way."),
            _("ml"): _("Volume of these voxels."),
            _("of ml"): _("Volume of the region."),
        }
        ui.changesTable.setColumnCount(len(headings))
        ui.changesTable.setHorizontalHeaderLabels(list(headings))
        for column, meaning in enumerate(headings.values()):
            ui.changesTable.horizontalHeaderItem(column).setToolTip(meaning)
        ui.changesTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self._measure_soon = qt.QTimer()
        self._measure_soon.setSingleShot(True)
        self._measure_soon.connect("timeout()", self._measure)
        self._compare_soon = qt.QTimer()
        self._compare_soon.setSingleShot(True)
        self._compare_soon.connect("timeout()", lambda: self.compare(AXIAL))
        self._forecast_on_top = False
        self._blink = qt.QTimer()
        self._blink.setInterval(_BLINK_MS)
        self._blink.connect("timeout()", self._on_tick)

    def refresh(self) -> None:
        """Show the chosen forecast's measures, and what can be done with it."""
        ui = self._ui
        found = self._found()
        views = self._layouts() is not None
        for widget in (ui.compareButton, ui.comparePlanesButton, ui.blinkButton, ui.overlayCheckBox):
            widget.enabled = found is not None and views
        ui.opacitySlider.enabled = ui.overlayCheckBox.enabled and ui.overlayCheckBox.checked
        ui.thresholdSpin.enabled = ui.segmentationSelector.enabled = found is not None
        spread = found[0].spread if found else None
        ui.resultSelector.toolTip = "\n".join(
            [_("The forecast that is shown and measured below."), *([spread.GetDescription()] if spread else [])]
        )
        if found is None:
            self.stop()
            self._measured = None
            fill_table(ui.changesTable, [])
        else:
            self._measure_soon.start(0)  # the views come first

    def show(self, nodes: ResultNodes) -> None:
        """Take up a new forecast, and compare it with the last scan."""
        self._state.choices.forecast = nodes.forecast
        self._compare_soon.start(0)  # in a turn of its own: the window answers in between

    def compare(self, planes: Sequence[str]) -> None:
        """Last scan, forecast and change side by side."""
        found, layouts = self._found(), self._layouts()
        if found is None or layouts is None:
            return
        results, last_scan = found
        labels = (_("Last scan"), _("Forecast"), _("Change"))
        show_comparison(layouts, last_scan, results, planes, labels)
        self._overlay()

    def stop(self) -> None:
        """No more blinking, nothing laid over the scans."""
        self._blink.stop()
        self._measure_soon.stop()
        self._compare_soon.stop()
        with silent(self._ui.blinkButton, self._ui.overlayCheckBox):
            self._ui.blinkButton.checked = self._ui.overlayCheckBox.checked = False

    def _found(self) -> tuple[ResultNodes, slicer.vtkMRMLScalarVolumeNode] | None:
        """The chosen forecast and its last scan, as far as they are still in the scene."""
        forecast = self._state.choices.forecast if self._state.choices else None
        results, last_scan = results_of(forecast), last_scan_of(forecast)
        return None if results is None or last_scan is None else (results, last_scan)

    @staticmethod
    def _layouts():
        """The layout manager; None without a main window."""
        return slicer.app.layoutManager()

    def _measure(self) -> None:
        """Fill the table of what changed, unless it shows just that already."""
        found, chosen = self._found(), self._state.choices
        if found is None:
            return
        results, last_scan = found
        threshold = chosen.threshold or self._usual_threshold(last_scan)
        show(self._ui.thresholdSpin, value=round(threshold, 2))
        inside = chosen.segmentation
        drawn = inside.GetSegmentation() if inside and inside.IsA("vtkMRMLSegmentationNode") else None
        parts = (results.change, inside, drawn)
        what = (threshold, *(part and part.GetMTime() for part in parts), results.change.GetID())
        if what != self._measured:
            self._measured = what
            regions = changes_in(results.change, last_scan, threshold, _("Whole body"), inside)
            fill_table(
                self._ui.changesTable,
                [
                    (
                        region.name,
                        *(f"{value:.4g}" for value in (region.mean, region.sd, region.low, region.high)),
                        str(region.changed_voxels),
                        f"{region.changed_ml:.2f}",
                        f"{region.volume_ml:.1f}",
                    )
                    for region in regions
                ],
            )

    def _usual_threshold(self, last_scan: slicer.vtkMRMLScalarVolumeNode) -> float:
        """Computed once for each scan: it takes all of its voxels."""
        if self._proposed[0] != last_scan.GetID():
            self._proposed = (last_scan.GetID(), usual_threshold(last_scan))
        return self._proposed[1]

    def _on_overlay(self, shown: bool) -> None:
        if shown:
            self._ui.blinkButton.checked = False
        elif (found := self._found()) is not None and self._layouts() is not None:
            take_away(self._layouts(), found[0].change)
        self._overlay()
        self.refresh()

    def _overlay(self) -> None:
        found = self._found()
        if found is not None and self._layouts() is not None and self._ui.overlayCheckBox.checked:
            lay_over(self._layouts(), found[0].change, found[1], self._ui.opacitySlider.value / 100)

    def _on_blink(self, blinking: bool) -> None:
        found = self._found()
        if blinking and found is not None:
            self._ui.overlayCheckBox.checked = False
            self._blink.start()
            return
        self._blink.stop()
        if found is not None and self._layouts() is not None:
            take_away(self._layouts(), found[0].forecast)

    def _on_tick(self) -> None:
        found = self._found()
        if found is None or self._layouts() is None:
            self.stop()
            return
        self._forecast_on_top = not self._forecast_on_top
        lay_over(self._layouts(), found[0].forecast, found[1], float(self._forecast_on_top))
