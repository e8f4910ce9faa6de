"""The whole panel: its sections, and what they do together."""

from __future__ import annotations

import qt

from CRONOSLib.scene.panel.advanced_section import AdvancedSection
from CRONOSLib.scene.panel.check_section import CheckSection
from CRONOSLib.scene.panel.flow_section import FlowSection
from CRONOSLib.scene.panel.forecast_section import ForecastSection
from CRONOSLib.scene.panel.live import Live
from CRONOSLib.scene.panel.results_section import ResultsSection
from CRONOSLib.scene.panel.run_section import RunSection
from CRONOSLib.scene.panel.series_section import SeriesSection
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.time_section import TimeSection
from CRONOSLib.scene.panel.widgets import measuring_texts, sections


class Panel:
    """Shows the choices of a parameter node, and changes them as the user does.

    ui: the named widgets of CRONOSPredict.ui
    """

    def __init__(self, ui) -> None:
        self._state = PanelState(self._refresh)
        self._busy = False
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self.refresh)
        self._measure_texts = measuring_texts(ui)
        for section in sections(ui):
            section.connect("contentsCollapsed(bool)", lambda collapsed: self.refresh_soon())
        self.results = ResultsSection(ui, self._state)
        self.run = RunSection(ui, self._state, self.results.show)
        self.series = SeriesSection(ui, self._state)
        self.time = TimeSection(ui, self._state, self.run)
        self.live = Live(ui, self._state, self.run, self.results)
        self.flow = FlowSection(ui, self._state, self.run)
        self._sections = (
            self.series,
            ForecastSection(ui, self._state),
            AdvancedSection(ui, self._state),
            self.run,
            self.results,
            CheckSection(ui, self._state, self.run),
            self.time,
            self.live,
            self.flow,
        )

    def show(self, choices) -> None:
        """Show the choices of another parameter node; None: the scene goes, so nothing may run on."""
        self.live.forget()
        if choices is None:
            self.results.stop()
            self.time.stop()
            self.flow.stop()
        self._state.show(choices)
        self.refresh()

    def refresh(self) -> None:
        """Follow the choices and the scene."""
        if not self._busy:
            self._state.changed()

    def refresh_soon(self) -> None:
        """Follow the scene once for many nodes that come or go together."""
        self._soon.start(0)

    def scene_closes(self) -> None:
        """Give up what runs: its scans are about to go."""
        self.run.stop()
        self.time.stop()

    def close(self) -> None:
        """The application or the module ends."""
        self._soon.stop()
        self._measure_texts.stop()
        self.results.stop()
        self.time.stop()
        self.flow.stop()
        self.run.job.close()

    def _refresh(self) -> None:
        """Showing a choice may change another, and that need not be shown again and again."""
        self._busy = True
        try:
            for section in self._sections:
                section.refresh()
        finally:
            self._busy = False
        self._measure_texts.start(0)
