"""Section "Forecast": the trained model or method, and the date to forecast."""

from __future__ import annotations

from datetime import datetime

from slicer.i18n import tr as _

from CRONOSLib.methods.registry import method_entry, method_names
from CRONOSLib.scene.panel.bundles import description, label
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.target import TargetWords, describe_target, reach, unit_words, unsuitable
from CRONOSLib.scene.panel.widgets import allow, fill_combo, on_choice, show, show_date
from CRONOSLib.series import LongitudinalSeries, TimeUnit

_POSITIONS = 400
"""Positions of the slider for times that are no days."""


class ForecastSection:
    """Bundle and method, and the target by calendar, by distance from the last scan, or by slider."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        on_choice(ui.methodCombo, lambda name: setattr(state.choices, "method", name))
        on_choice(ui.bundleCombo, lambda name: setattr(state.choices, "bundle", name))
        ui.targetDateEdit.connect("dateChanged(QDate)", self._on_date)
        ui.targetDistanceSpin.connect("valueChanged(double)", self._on_distance)
        ui.targetSlider.connect("valueChanged(int)", self._on_slider)

    def refresh(self) -> None:
        """Show the choices."""
        state = self._state
        own = [(_("Trained model"), "")]
        simple = [(method_entry(name).summary, name) for name in method_names() if not method_entry(name).needs_bundle]
        fill_combo(self._ui.methodCombo, own + simple, state.choices.method)
        self._show_bundles()
        timeline = state.timeline
        allow(state.problem, self._ui.targetDateEdit, self._ui.targetDistanceSpin, self._ui.targetSlider)
        if timeline is not None:
            self._show_target(timeline)
        words = self.words()
        self._ui.targetLabel.text = words.problem or words.warning or words.meaning
        self._ui.targetLabel.toolTip = words.meaning

    def words(self) -> TargetWords:
        """What the chosen target is, and what is wrong with it."""
        timeline, target = self._state.timeline, self._state.target_time
        return (
            TargetWords()
            if timeline is None or target is None
            else describe_target(timeline, target, self._state.bundle)
        )

    def _show_bundles(self) -> None:
        state = self._state
        bundles, bundle = state.bundles, state.bundle
        items = [(label(found, state.timeline), found.name) for found in bundles.bundles]
        fill_combo(self._ui.bundleCombo, items, bundle.name if bundle else "")
        self._ui.bundleCombo.enabled = state.needs_bundle and bool(items)
        self._ui.bundlesFolderEdit.enabled = state.needs_bundle
        self._ui.bundleLabel.visible = state.needs_bundle
        said = [description(bundle)] if bundle else [_("This folder holds no trained model.")]
        if bundle and state.timeline is not None and (reason := unsuitable(bundle, state.timeline)):
            said.append(reason)
        self._ui.bundleLabel.text = "<br>".join([*said, *bundles.complaints])

    def _show_target(self, timeline: LongitudinalSeries) -> None:
        ui, target = self._ui, self._state.target_time
        assert target is not None
        date = timeline.date_at(target)
        ui.targetDateEdit.visible = ui.targetDateLabel.visible = date is not None
        if date is not None:
            show_date(ui.targetDateEdit, date)
        first, last = timeline.scans[0].time, timeline.last.time
        show(
            ui.targetDistanceSpin,
            suffix=f" {unit_words(timeline.unit)}",
            decimals=0 if timeline.unit is TimeUnit.DAY else 2,
            minimum=first - last,
            value=target - last,
        )
        end = reach(timeline, self._state.bundle)
        show(
            ui.targetSlider,
            maximum=round((end - first) / self._step()),
            value=round((target - first) / self._step()),
        )

    def _step(self) -> float:
        """Time between two positions of the slider: a day where the times are days."""
        timeline = self._state.timeline
        assert timeline is not None
        if timeline.unit is TimeUnit.DAY:
            return 1.0
        return (reach(timeline, self._state.bundle) - timeline.scans[0].time) / _POSITIONS

    def _on_date(self, chosen) -> None:
        if self._state.timeline is not None:
            day = datetime(chosen.year(), chosen.month(), chosen.day())
            self._state.set_target_time(self._state.timeline.time_at(day))

    def _on_distance(self, distance: float) -> None:
        if self._state.timeline is not None:
            self._state.set_target_time(self._state.timeline.last.time + distance)

    def _on_slider(self, position: int) -> None:
        if self._state.timeline is not None:
            self._state.set_target_time(self._state.timeline.scans[0].time + position * self._step())
