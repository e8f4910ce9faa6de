"""The plot of section "Through time": what is measured, and where."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError
from CRONOSLib.scene.course import Point, Quantity, course_of
from CRONOSLib.scene.panel.background import Background
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.target import unit_words
from CRONOSLib.scene.panel.widgets import fill_combo, on_choice
from CRONOSLib.scene.plot import PlotWords, plot_course
from CRONOSLib.scene.steps import Steps
from CRONOSLib.scene.timeline import TimelineNodes, notes_of
from CRONOSLib.scene.timeline_views import show_chart
from CRONOSLib.series import TimeUnit


class CourseSection:
    """Measures the frames of a sequence again when what is measured changes.

    say: shows one sentence to the user
    """

    def __init__(self, ui, state: PanelState, say: Callable[[str], None]) -> None:
        self._ui, self._state, self._say = ui, state, say
        self._measured: object = None
        self._background = Background()
        on_choice(ui.quantityCombo, lambda name: setattr(state.choices, "quantity", name))

    @property
    def busy(self) -> bool:
        """Whether the plot is not yet what the choices ask for."""
        return self._background.busy

    def refresh(self, timeline: TimelineNodes | None) -> None:
        """Show the choices, and measure again when they are others."""
        items = [(_("Mean intensity"), Quantity.MEAN.value), (_("Changed volume"), Quantity.CHANGED.value)]
        items.append((_("Volume of the segments"), Quantity.VOLUME.value))
        fill_combo(self._ui.quantityCombo, items, self._state.choices.quantity)
        if timeline is None:
            self.stop()
            return
        chosen = self._state.choices
        region = chosen.region
        what = (
            timeline.sequence.GetID(),
            timeline.sequence.GetMTime(),
            chosen.quantity,
            chosen.threshold,
            region and (region.GetID(), region.GetMTime()),
        )
        if what != self._measured:
            self._background.clear()
            self._measured = what
            self._background.add(self._measure(timeline, Quantity(chosen.quantity), region, chosen.threshold))

    def stop(self) -> None:
        """The sequence is gone, or goes."""
        self._background.clear()
        self._measured = None

    def _measure(self, timeline: TimelineNodes, quantity: Quantity, region, threshold: float) -> Steps[None]:
        points: list[Point] = []
        yield
        try:
            for point in course_of(timeline, quantity, region, threshold):
                points.append(point)
                yield
        except CronosError as error:
            self._say(str(error))
            return
        show_chart(plot_course(timeline, points, _words(timeline, quantity)))


def _words(timeline: TimelineNodes, quantity: Quantity) -> PlotWords:
    unit = TimeUnit(timeline.sequence.GetIndexUnit())
    begin = notes_of(timeline)[0].time
    dated = unit is TimeUnit.DAY
    return PlotWords(
        time=_("Days since {date}").format(date=begin) if dated else _("Time, {unit}").format(unit=unit_words(unit)),
        quantity={
            Quantity.MEAN: _("Mean intensity"),
            Quantity.CHANGED: _("Changed against the last scan, ml"),
            Quantity.VOLUME: _("Volume of the segments, ml"),
        }[quantity],
        real=_("Scans"),
        forecast=_("Forecast"),
        low=_("Forecast − spread"),
        high=_("Forecast + spread"),
        date=_("Date"),
    )
