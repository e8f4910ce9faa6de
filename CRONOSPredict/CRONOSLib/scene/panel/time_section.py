"""Section "Through time": forecasts at many dates as a sequence, and the plot of what is measured."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import slicer
import vtk
from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError
from CRONOSLib.scene.panel.background import Background
from CRONOSLib.scene.panel.course_section import CourseSection
from CRONOSLib.scene.panel.job import ForecastOrder
from CRONOSLib.scene.panel.run_section import RunSection, progress_words
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.time_range import TimeRange
from CRONOSLib.scene.plot import chart_of
from CRONOSLib.scene.steps import Steps
from CRONOSLib.scene.timeline import TimelineNodes, note_of, timeline_of, timeline_steps
from CRONOSLib.scene.timeline_views import show_timeline
from CRONOSLib.worker.client import Listener
from CRONOSLib.worker.job import ForecastResult

_FULL = 1000


class TimeSection:
    """Makes, plays and shows the sequence of the series in the table."""

    def __init__(self, ui, state: PanelState, run: RunSection) -> None:
        self._ui, self._state, self._run = ui, state, run
        self._playing = self._cancelling = False
        self._said = ""
        self._timeline: TimelineNodes | None = None
        self._watched: tuple[slicer.vtkMRMLSequenceBrowserNode, int] | None = None
        self._background = Background()
        self._range = TimeRange(ui, state)
        self.course = CourseSection(ui, state, self._say)
        ui.playButton.connect("clicked()", self._on_play)
        ui.timeShowButton.connect("clicked()", self._on_show)
        ui.timeProgressBar.setRange(0, _FULL)

    @property
    def playing(self) -> bool:
        """Whether a sequence is being made."""
        return self._playing

    def refresh(self) -> None:
        """Show the choices, and what can be done."""
        self._range.refresh()
        button, reason = self._ui.playButton, self.reason()
        button.text = _("Cancel") if self._playing else _("Play")
        button.enabled = not self._cancelling if self._playing else not reason
        button.toolTip = (
            _("Give up these forecasts.")
            if self._playing
            else reason or _("Forecast these dates, and play them with the scans as a sequence.")
        )
        self._ui.timeProgressBar.visible = self._playing
        timeline = timeline_of(self._state.last_scan)
        show = self._ui.timeShowButton
        show.enabled = timeline is not None and slicer.app.layoutManager() is not None
        show.toolTip = (
            _("Show the patient through time again, above the plot.")
            if show.enabled
            else _("There is no sequence of these scans yet. Press Play.")
        )
        self._watch(timeline)
        self.course.refresh(timeline)

    def reason(self) -> str:
        """Why no sequence can be made now, one sentence, or ""."""
        if self._run.job.running and not self._playing:
            return _("Another forecast is under way. Wait for it, or cancel it.")
        return self._run.reason_at_any_time() or self._range.problem()

    def _on_show(self) -> None:
        self.refresh()  # the region may have been drawn anew
        self._show()

    def _show(self) -> None:
        """Sequence and plot in the views."""
        timeline, layouts = timeline_of(self._state.last_scan), slicer.app.layoutManager()
        if timeline is not None and layouts is not None:
            show_timeline(layouts, timeline, chart_of(timeline), _("Time"))

    def stop(self) -> None:
        """The scene goes: nothing half-made stays."""
        self._background.clear()
        self._playing = self._cancelling = False
        self.course.stop()
        self._said = ""
        self._watch(None)

    def _on_play(self) -> None:
        if not self._playing:
            self._run.begin(self._start)
        elif self._background.busy:
            self._background.clear()
            self._cancelled()
            return
        else:
            self._cancelling = True
            self._run.job.cancel()
        self._state.changed()

    def _start(self) -> None:
        times = self._range.times()
        order = ForecastOrder.of(self._state)
        job = replace(order.job, target_time=times[-1], through_time=times)
        order = replace(order, job=job, segmentation="")
        self._playing = True
        self._say("")
        self._show_progress(_("Preparing"), 0.0, None)
        listener = Listener(self._show_progress, partial(self._take, order.last), self._fail, self._cancelled)
        self._run.job.order(order, listener)

    def _show_progress(self, what: str, fraction: float, seconds_left: float | None) -> None:
        self._ui.timeProgressBar.setFormat(progress_words(what, seconds_left))
        self._ui.timeProgressBar.value = round(fraction * _FULL)

    def _take(self, last_id: str, result: ForecastResult) -> None:
        self._show_progress(_("Adding the sequence to the scene"), 1.0, None)
        self._background.add(self._add(last_id, result))

    def _add(self, last_id: str, result: ForecastResult) -> Steps[None]:
        """One frame at a time; a last scan that leaves meanwhile ends it."""
        scene, made = slicer.mrmlScene, None
        steps = timeline_steps(result.frames, result.series, scene.GetNodeByID(last_id))
        while made is None:
            if scene.GetNodeByID(last_id) is None:
                self._end(_("The last scan left the scene, so its forecasts were dropped. Add the scan again."))
                return
            try:
                next(steps)
            except StopIteration as end:
                made = end.value
            yield
        self._show()
        made.browser.SetPlaybackActive(True)
        yield  # before it is measured
        self._end("\n".join(result.warnings))

    def _cancelled(self) -> None:
        self._end(_("The forecasts were cancelled."))

    def _fail(self, error: CronosError) -> None:
        self._end(str(error))

    def _end(self, said: str) -> None:
        self._playing = self._cancelling = False
        self._say(said)
        if self._state.choices is not None:
            self._state.changed()

    def _say(self, text: str) -> None:
        self._said = text
        self._show_words()

    def _watch(self, timeline: TimelineNodes | None) -> None:
        """Tell what the browser shows, also when Slicer's toolbar moves it."""
        browser = timeline.browser if timeline else None
        if self._watched is not None and self._watched[0] is not browser:
            self._watched[0].RemoveObserver(self._watched[1])
            self._watched = None
        if browser is not None and self._watched is None:
            tag = browser.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show_words())
            self._watched = browser, tag
        self._timeline = timeline
        self._show_words()

    def _show_words(self) -> None:
        """The date of the frame that is shown, and what the user should read."""
        words = [self._said] if self._said else []
        if self._timeline is not None:
            note = note_of(self._timeline)
            kind = _("scan") if note.real else _("forecast")
            words.insert(0, _("Shown: {time}, {kind}.").format(time=note.time, kind=kind))
        self._ui.timeLabel.text = "\n".join(words)
        self._ui.timeLabel.visible = bool(words)
