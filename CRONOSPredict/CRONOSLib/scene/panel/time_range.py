"""The times of a sequence: from when to when, and how many forecasts."""

from __future__ import annotations

from datetime import datetime

from slicer.i18n import tr as _

from CRONOSLib.errors import SeriesError
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.target import horizon_end
from CRONOSLib.scene.panel.widgets import show, show_date
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.timeline import spaced_times


class TimeRange:
    """First and last time, by calendar where the scans have dates, else as numbers."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        for name, date_edit, spin in (
            ("firstTime", ui.timeFirstDateEdit, ui.timeFirstSpin),
            ("lastTime", ui.timeLastDateEdit, ui.timeLastSpin),
        ):
            date_edit.connect("dateChanged(QDate)", lambda chosen, name=name: self._choose_date(name, chosen))
            spin.connect("valueChanged(double)", lambda time, name=name: self._choose(name, time))
        ui.timeWholeButton.connect("clicked()", self._choose_all)

    def refresh(self) -> None:
        """Show the choices."""
        ui, timeline = self._ui, self._state.timeline
        dated = timeline is None or timeline.epoch is not None
        for date_edit in (ui.timeFirstDateEdit, ui.timeLastDateEdit):
            date_edit.visible = dated
        for spin in (ui.timeFirstSpin, ui.timeLastSpin):
            spin.visible = not dated
        controls = (ui.timeFirstDateEdit, ui.timeLastDateEdit, ui.timeFirstSpin, ui.timeLastSpin)
        for widget in (*controls, ui.timeWholeButton, ui.framesSpin):
            widget.enabled = timeline is not None
        if timeline is not None:
            first, last = self._limits(timeline)
            self._show(timeline, first, ui.timeFirstDateEdit, ui.timeFirstSpin)
            self._show(timeline, last, ui.timeLastDateEdit, ui.timeLastSpin)

    def times(self) -> tuple[float, ...]:
        """Times to forecast, ascending; there must be scans."""
        timeline = self._state.timeline
        assert timeline is not None
        return spaced_times(timeline, *self._limits(timeline), self._state.choices.frames)

    def problem(self) -> str:
        """Why nothing can be forecast at these times, one sentence, or ""."""
        timeline = self._state.timeline
        if timeline is None:
            return self._state.problem
        first, last = self._limits(timeline)
        try:
            timeline.horizon(first)
        except SeriesError as error:
            return str(error)
        if first >= last:
            return _("The first date lies behind the last one. Choose an earlier one.")
        if not self.times():
            return _("A scan was taken at each of these dates. Choose other ones.")
        return ""

    def _limits(self, timeline: LongitudinalSeries) -> tuple[float, float]:
        first = self._state.time_of(self._state.choices.firstTime)
        last = self._state.time_of(self._state.choices.lastTime)
        return (
            timeline.scans[0].time if first is None else first,
            horizon_end(timeline, self._state.bundle) if last is None else last,
        )

    @staticmethod
    def _show(timeline: LongitudinalSeries, time: float, date_edit, spin) -> None:
        date = timeline.date_at(time)
        if date is None:
            show(spin, suffix=f" {timeline.unit.value}", value=round(time, 2))
        else:
            show_date(date_edit, date)

    def _choose_date(self, name: str, chosen) -> None:
        timeline = self._state.timeline
        if timeline is not None and timeline.epoch is not None:
            day = datetime(chosen.year(), chosen.month(), chosen.day())
            self._choose(name, max(timeline.time_at(day), self._start_of_first_day(timeline, day)))

    @staticmethod
    def _start_of_first_day(timeline: LongitudinalSeries, day: datetime) -> float:
        """The day of the first scan begins with that scan, which may have a time of day."""
        assert timeline.epoch is not None
        return timeline.scans[0].time if day.date() == timeline.epoch.date() else float("-inf")

    def _choose(self, name: str, time: float) -> None:
        if self._state.timeline is not None:
            setattr(self._state.choices, name, self._state.text_of(time))

    def _choose_all(self) -> None:
        modified = self._state.choices.StartModify()
        self._state.choices.firstTime = self._state.choices.lastTime = ""
        self._state.choices.EndModify(modified)
