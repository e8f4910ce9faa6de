"""Section "Results": the forecast beside the last scan, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from CRONOSLib.scene.arrangements import ALL_PLANES, AXIAL
from CRONOSLib.scene.changes import RegionChange, measuring_changes, usual_threshold
from CRONOSLib.scene.compare import showing_comparison
from CRONOSLib.scene.panel.background import Background
from CRONOSLib.scene.panel.overlay_section import NO_FORECAST, OverlaySection, no_views
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import allow, fill_table, fit_height, show, show_headings
from CRONOSLib.scene.results import NOTICE, RESULT_ATTRIBUTE, ResultNodes
from CRONOSLib.scene.steps import Steps, finished

_REST_MS = 300
"""Nothing is measured before the user has drawn or moved nothing for so long."""

_DRAWN = (
    vtk.vtkCommand.ModifiedEvent,
    slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
)
"""Events of a region of interest, and of a segmentation, when the user works on them."""


class ResultsSection:
    """Shows and measures one forecast of the scene."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        self._measured: object = None
        self._watched: tuple = ()
        self._proposed: tuple[str, float] = ("", 0.0)
        ui.resultSelector.addAttribute("vtkMRMLScalarVolumeNode", RESULT_ATTRIBUTE, "forecast")
        ui.compareButton.connect("clicked()", lambda: self.compare(AXIAL))
        ui.comparePlanesButton.connect("clicked()", lambda: self.compare(ALL_PLANES))
        ui.thresholdSpin.connect("valueChanged(double)", lambda value: setattr(state.choices, "threshold", value))
        ui.changesTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self._measure_soon = qt.QTimer()
        self._measure_soon.setSingleShot(True)
        self._measure_soon.connect("timeout()", self._measure)
        self._background, self._measuring = Background(), Background()
        self.overlay = OverlaySection(ui, state)

    def refresh(self) -> None:
        """Show the chosen forecast's measures, and what can be done with it."""
        ui, found = self._ui, self._state.shown
        reason = "" if found else NO_FORECAST
        allow(reason, ui.thresholdSpin, ui.segmentationSelector)
        allow(reason or no_views(), ui.compareButton, ui.comparePlanesButton)
        said = [node.GetDescription() or "" for node in (found[0].forecast, found[0].spread) if node] if found else []
        ui.resultLabel.text = "\n".join(text.removesuffix(NOTICE).strip() for text in said)
        ui.resultLabel.visible = bool(ui.resultLabel.text)
        ui.changesTable.visible = found is not None
        self.overlay.refresh()
        self._watch(self._state.choices.segmentation if found else None)
        if found is None:
            self.stop()
            self._measured = None
            fill_table(ui.changesTable, [])
        else:
            self._measure_soon.start(0)  # the views come first

    def show(self, nodes: ResultNodes) -> None:
        """Take up a new forecast, and compare it with the last scan."""
        self._state.choices.forecast = nodes.forecast
        self._background.clear()
        self._background.add(self._comparing(AXIAL))

    @property
    def busy(self) -> bool:
        """Whether a new forecast is on its way into the views, or into the table."""
        return self._background.busy or self._measure_soon.active or self._measuring.busy

    def compare(self, planes: Sequence[str]) -> None:
        """Last scan, forecast and change side by side."""
        self._background.clear()
        finished(self._comparing(planes))

    def _comparing(self, planes: Sequence[str]) -> Steps[None]:
        """One view at a time: the window answers in between, and what is shown may leave the scene."""
        yield
        shown, layouts = self._state.shown, slicer.app.layoutManager()
        if shown is None or layouts is None:
            return
        results, last_scan = shown
        labels = (_("Last scan"), _("Forecast"), _("Change"))
        for _view in showing_comparison(layouts, last_scan, results, planes, labels):
            yield
            if self._state.shown != shown:
                return
        self.overlay.lay()

    def stop(self) -> None:
        """Nothing more to come, nothing laid over the scans."""
        self._watch(None)
        self._measure_soon.stop()
        self._background.clear()
        self._measuring.clear()
        self.overlay.stop()

    def _watch(self, region: slicer.vtkMRMLNode | None) -> None:
        """Measure anew when the user draws segments, or moves a region of interest."""
        if self._watched and self._watched[0] is not region:
            for tag in self._watched[1]:
                self._watched[0].RemoveObserver(tag)
            self._watched = ()
        if region is not None and not self._watched:
            self._watched = (region, [region.AddObserver(event, self._on_drawn) for event in _DRAWN])

    def _on_drawn(self, caller, event) -> None:
        self._measured = None
        self._measure_soon.start(_REST_MS)

    def _measure(self) -> None:
        """Fill the table of what changed, unless it shows just that already."""
        found, chosen = self._state.shown, self._state.choices
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
            self._measuring.clear()
            self._measuring.add(self._fill_table(results.change, last_scan, threshold, inside))

    def _fill_table(self, change, last_scan, threshold: float, inside) -> Steps[None]:
        """One region at a time: the window answers in between."""
        regions = yield from measuring_changes(change, last_scan, threshold, _("Whole body"), inside)
        show_headings(self._ui.changesTable, {_("Change"): "", **{region.name: "" for region in regions}})
        fill_table(self._ui.changesTable, _rows(regions))
        fit_height(self._ui.changesTable)

    def _usual_threshold(self, last_scan: slicer.vtkMRMLScalarVolumeNode) -> float:
        """Computed once for each scan: it takes all of its voxels."""
        if self._proposed[0] != last_scan.GetID():
            self._proposed = (last_scan.GetID(), usual_threshold(last_scan))
        return self._proposed[1]


def _rows(regions: Sequence[RegionChange]) -> list[tuple[str, ...]]:
    """One row for each measure, with a column for each region; intensities in the scan's own units."""
    measures: dict[str, Callable[[RegionChange], str]] = {
        _("Mean"): lambda region: f"{region.mean:.3g}",
        _("SD"): lambda region: f"{region.sd:.3g}",
        _("5 % … 95 %"): lambda region: f"{region.low:.3g} … {region.high:.3g}",
        _("Voxels changed"): lambda region: str(region.changed_voxels),
        _("Volume changed, ml"): lambda region: f"{region.changed_ml:.2f}",
        _("Volume in all, ml"): lambda region: f"{region.volume_ml:.1f}",
    }
    return [(name, *map(measure, regions)) for name, measure in measures.items()]
