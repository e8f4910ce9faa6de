"""The time to forecast, in words and in the limits of its slider."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from slicer.i18n import tr as _

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.errors import MethodError, SeriesError
from CRONOSLib.forecasting.times import method_time
from CRONOSLib.series import LongitudinalSeries, TimeUnit

_REACH = 1.5
"""How far beyond the longest horizon of the bundle, or the span of the scans, the slider goes."""


@dataclass(frozen=True)
class TargetWords:
    """What a target is, and what is doubtful about it; `problem` keeps the forecast from running."""

    meaning: str = ""
    warning: str = ""
    problem: str = ""


def describe_target(timeline: LongitudinalSeries, target: float, bundle: Bundle | None) -> TargetWords:
    """Whether a target is extrapolation or interpolation, and whether the bundle has seen such horizons."""
    try:
        horizon = timeline.horizon(target)
        warnings = method_time(timeline, target, bundle).warnings
    except (SeriesError, MethodError) as error:
        return TargetWords(problem=str(error))
    return TargetWords(_meaning(timeline, target, horizon), " ".join(warnings))


def default_target(timeline: LongitudinalSeries, bundle: Bundle | None) -> float:
    """As long after the last scan as the bundle's scans usually lie apart, or these scans do."""
    return timeline.last.time + _rounded(_usual_gap(timeline, bundle))


def reach(timeline: LongitudinalSeries, bundle: Bundle | None) -> float:
    """Last time of the slider, in the unit of the series."""
    span = timeline.last.time - timeline.scans[0].time
    longest = _longest_horizon(timeline, bundle)
    return timeline.last.time + _rounded(_REACH * max(span, longest, _usual_gap(timeline, bundle)))


def horizon_end(timeline: LongitudinalSeries, bundle: Bundle | None) -> float:
    """Last time for which the bundle was trained; without one, as far behind the last scan as the scans span."""
    span = timeline.last.time - timeline.scans[0].time
    return timeline.last.time + _rounded(_longest_horizon(timeline, bundle) or span or _usual_gap(timeline, bundle))


def unsuitable(bundle: Bundle, timeline: LongitudinalSeries) -> str:
    """Why a bundle does not suit a series, one sentence, or ""."""
    try:
        method_time(timeline, timeline.last.time, bundle)
    except MethodError as error:
        return str(error)
    return ""


def unit_words(unit: TimeUnit) -> str:
    """Name of a unit after a number."""
    return {
        TimeUnit.DAY: _("days"),
        TimeUnit.WEEK: _("weeks"),
        TimeUnit.YEAR: _("years"),
    }.get(unit, unit.value)


def _longest_horizon(timeline: LongitudinalSeries, bundle: Bundle | None) -> float:
    """Longest horizon that a bundle was trained on, in the unit of the series; 0 without a suitable one."""
    if bundle is None or unsuitable(bundle, timeline):
        return 0.0
    return bundle.time_unit.convert(bundle.horizons[1], timeline.unit)


def _usual_gap(timeline: LongitudinalSeries, bundle: Bundle | None) -> float:
    if bundle is not None and not unsuitable(bundle, timeline):
        return bundle.time_unit.convert(bundle.typical_gap, timeline.unit)
    span = timeline.last.time - timeline.scans[0].time
    return span / (len(timeline) - 1) if len(timeline) > 1 else 1.0


def _rounded(duration: float) -> float:
    return max(1.0, round(duration)) if duration > 1 else duration


def _meaning(timeline: LongitudinalSeries, target: float, horizon: float) -> str:
    if horizon > 0:
        return _("Extrapolation: {length} {unit} after the last scan ({last}).").format(
            length=f"{horizon:.4g}", unit=unit_words(timeline.unit), last=timeline.describe_time(timeline.last.time)
        )
    index = bisect.bisect_left(timeline.times, target)
    if timeline.times[index] == target:
        return _("A scan was taken then ({time}).").format(time=timeline.describe_time(target))
    return _("Interpolation: between the scans of {earlier} and {later}.").format(
        earlier=timeline.describe_time(timeline.times[index - 1]), later=timeline.describe_time(timeline.times[index])
    )
