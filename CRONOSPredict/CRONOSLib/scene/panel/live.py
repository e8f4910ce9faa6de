"""Forecasts that follow the target while it moves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import slicer
from slicer.i18n import tr as _

from CRONOSLib.scene.panel.installing import missing_packages
from CRONOSLib.scene.panel.job import ForecastOrder
from CRONOSLib.scene.panel.results_section import ResultsSection
from CRONOSLib.scene.panel.run_section import RunSection
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.results import add_results
from CRONOSLib.worker.client import Listener
from CRONOSLib.worker.job import ForecastResult


class Live:
    """Orders a forecast when the target moved; the last order wins, and its nodes are those of the one before."""

    def __init__(self, ui, state: PanelState, run: RunSection, results: ResultsSection) -> None:
        self._ui, self._state, self._run, self._results = ui, state, run, results
        self._asked: tuple[object, float | None] | None = None

    def refresh(self) -> None:
        """Forecast when the target is another one than before, of the same scans."""
        state, box = self._state, self._ui.liveCheckBox
        reason = self._run.reason()
        if not reason and missing_packages():
            reason = _("Forecast once, so that what is missing is installed.")
        box.enabled = not reason
        box.toolTip = reason or _("Forecast anew whenever the target date moves; the last date wins.")
        scans = None if state.timeline is None else state.timeline.times
        asked = (scans, state.target_time)
        moved = self._asked is not None and self._asked[0] == scans and self._asked != asked
        wanted = moved and state.choices.live and not reason
        if wanted and self._run.job.running:
            return  # and looked at again when that ends
        self._asked = asked
        if wanted:
            order = replace(ForecastOrder.of(state), segmentation="")
            listener = Listener(result=partial(self._take, order.last), error=lambda error: self._run.say(str(error)))
            self._run.job.order(order, listener, live=True)

    def forget(self) -> None:
        """Other choices are shown: their target has not moved."""
        self._asked = None

    def _take(self, last_id: str, result: ForecastResult) -> None:
        last = slicer.mrmlScene.GetNodeByID(last_id)
        if last is None or self._state.choices is None:
            return
        nodes = add_results(slicer.mrmlScene, result, last, live=True)
        self._run.say("\n".join(nodes.warnings))
        if self._state.choices.forecast is nodes.forecast:
            self._results.refresh()
        else:
            self._results.show(nodes)
        self.refresh()
