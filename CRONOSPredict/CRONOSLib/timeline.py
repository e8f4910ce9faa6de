"""A patient through time: forecasts at several times among the scans that were really taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import SimpleITK as sitk

from CRONOSLib.forecast import Forecast, OnProgress
from CRONOSLib.imaging.preparation import prepare
from CRONOSLib.series import LongitudinalSeries


@dataclass(frozen=True)
class Frame:
    """One moment of a patient, on the last scan's grid and in its units.

    time:   in the unit of the series
    image:  float32
    spread: float32, as in `Forecast`; None for a real scan, and where there is one member
    real:   a scan that was taken, and no forecast
    """

    time: float
    image: sitk.Image
    spread: sitk.Image | None = None
    real: bool = False


def spaced_times(series: LongitudinalSeries, first: float, last: float, count: int) -> tuple[float, ...]:
    """At most `count` times from first to last, equally spaced, without those at which a scan was taken.

    Where the series has dates, they are whole days after the first scan.
    """
    step = (last - first) / max(count - 1, 1)
    times = [first + step * index for index in range(count)]
    if series.epoch is not None:
        times = [float(round(time)) for time in times]
    return tuple(time for time in dict.fromkeys(times) if time not in series.times)


def share_of_progress(on_progress: OnProgress, number: int, count: int) -> OnProgress:
    """Progress of one of several equal pieces of work, told as progress of all of them."""
    return lambda what, fraction: on_progress(what, (number + fraction) / count)


def frames_of(
    series: LongitudinalSeries,
    first: Forecast,
    times: Sequence[float],
    forecast_at: Callable[[float, OnProgress], Forecast],
    on_progress: OnProgress,
) -> Iterator[Frame]:
    """The forecasts of a series at several times, then its scans, brought onto the last one.

    first:       one of the forecasts, already made; the scans are aligned as they were for it
    times:       of the forecasts, that of the first one among them, in the unit of the series
    forecast_at: makes another one
    on_progress: told the fraction of all forecasts that is done; it may raise to stop

    Raises AlignmentError when a scan that took no part in the first forecast does not overlap with the last one, and
    the errors of `forecast_at`.
    """
    yield Frame(first.target_time, first.image, first.spread)
    others = [time for time in times if time != first.target_time]
    for number, time in enumerate(others, start=1):
        result = forecast_at(time, share_of_progress(on_progress, number, len(others) + 1))
        yield Frame(time, result.image, result.spread)
    yield from _real_frames(series, first)


def aligned_frames(forecast: Forecast) -> Iterator[Frame]:
    """The scans that a forecast was made from, as they were aligned, oldest first."""
    for index, scan in enumerate(forecast.series):
        yield Frame(scan.time, forecast.prepared.scan_to_native(scan.image, index), real=True)


def _real_frames(series: LongitudinalSeries, forecast: Forecast) -> Iterator[Frame]:
    taken_part = forecast.series.times
    yield from aligned_frames(forecast)
    left_out = tuple(scan for scan in series if scan.time not in taken_part)
    if left_out:
        rest = replace(series, scans=(*left_out, series.last), warnings=())
        prepared = prepare(rest, forecast.preprocessing)
        for index, scan in enumerate(left_out):
            yield Frame(scan.time, prepared.scan_to_native(scan.image, index), real=True)
