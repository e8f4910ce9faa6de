"""Forecasts at several times among the scans that were really taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.forecast import ForecastOptions, forecast
from CRONOSLib.forecasting.kept import Kept
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.timeline import Frame, frames_of, spaced_times
from CRONOSLib.worker.forecasting import Forecaster
from CRONOSLib.worker.job import ForecastJob, load_result
from CRONOSLib.worker.sending import Sender

OFF = ForecastOptions(alignment=Alignment.OFF)
Series = Callable[..., LongitudinalSeries]


def frames(series: LongitudinalSeries, times: tuple[float, ...], told: list[float] | None = None) -> list[Frame]:
    def at(time: float, tell=None):
        return forecast(series, time, method="linear", options=OFF, kept=kept, on_progress=tell)

    kept = Kept()
    note = lambda what, fraction: told.append(fraction) if told is not None else None  # noqa: E731
    return list(frames_of(series, at(times[-1]), times, at, note))


def test_times_are_whole_days_and_leave_out_the_days_of_scans(growing_series: Series) -> None:
    assert spaced_times(growing_series((0, 61)), 0, 122, 5) == (30, 92, 122)
    assert spaced_times(growing_series((0, 60)), 60, 63, 10) == (61, 62, 63)


def test_times_that_are_no_dates_are_not_rounded(beating_series: LongitudinalSeries) -> None:
    assert spaced_times(beating_series, 100.0, 101.0, 5) == (100.25, 100.5, 100.75, 101.0)


def test_each_frame_is_the_forecast_of_its_time(growing_series: Series) -> None:
    series = growing_series()
    made = {frame.time: frame for frame in frames(series, (90.0, 150.0, 200.0)) if not frame.real}
    assert sorted(made) == [90.0, 150.0, 200.0]
    for time, frame in made.items():
        alone = forecast(series, time, method="linear", options=OFF)
        assert np.array_equal(sitk.GetArrayFromImage(frame.image), sitk.GetArrayFromImage(alone.image))


def test_the_scans_stand_among_them_and_the_last_one_is_untouched(growing_series: Series) -> None:
    series = growing_series()
    real = [frame for frame in frames(series, (150.0,)) if frame.real]
    assert [frame.time for frame in real] == [0.0, 60.0, 120.0]
    last = sitk.GetArrayFromImage(series.last.image)
    assert np.array_equal(sitk.GetArrayFromImage(real[-1].image), last)
    assert all(frame.image.GetSize() == series.last.image.GetSize() for frame in real)
    assert not np.array_equal(sitk.GetArrayFromImage(real[0].image), last)


def test_a_scan_in_another_scanners_units_is_brought_into_those_of_the_last(growing_series: Series) -> None:
    series = growing_series((0, 60))
    doubled = sitk.Cast(series.scans[0].image, sitk.sitkFloat32) * 2 + 50
    scans = (type(series.last)(**{**vars(series.scans[0]), "image": doubled}), series.last)
    plain, gained = (
        next(frame for frame in frames(LongitudinalSeries(found, series.unit, series.epoch), (90.0,)) if frame.real)
        for found in (series.scans, scans)
    )
    assert np.allclose(sitk.GetArrayFromImage(plain.image), sitk.GetArrayFromImage(gained.image), atol=0.01)


def test_scans_that_a_bundle_leaves_out_still_stand_among_the_frames(growing_series: Series, tiny_bundle: Bundle):
    series = growing_series(tuple(range(0, 200, 20)))
    assert len(series) > tiny_bundle.max_contexts

    def at(time: float, tell=None):
        return forecast(series, time, bundle=tiny_bundle)

    found = list(frames_of(series, at(240.0), (240.0,), at, lambda what, fraction: None))
    assert sorted(frame.time for frame in found if frame.real) == list(series.times)


def test_progress_is_that_of_all_forecasts(growing_series: Series) -> None:
    told: list[float] = []
    frames(growing_series(), (90.0, 150.0, 200.0), told)
    assert told == sorted(told)
    assert 1 / 3 < told[0] < 2 / 3
    assert told[-1] == pytest.approx(1.0)


def test_a_request_brings_back_what_the_library_makes(growing_series: Series, tmp_path) -> None:
    series = growing_series()
    job = ForecastJob(series, 200.0, method="linear", options=OFF, through_time=(90.0, 200.0))
    (tmp_path / "result").mkdir()
    request = Sender(tmp_path).request(1, job, tmp_path / "result")
    told: list[float] = []
    reply = Forecaster().forecast(request, lambda what, fraction: told.append(fraction), lambda: None)
    result = load_result(job, reply)
    assert [(frame.time, frame.real) for frame in result.frames] == [
        (0.0, True),
        (60.0, True),
        (90.0, False),
        (120.0, True),
        (200.0, False),
    ]
    expected = {frame.time: frame.image for frame in frames(series, (90.0, 200.0))}
    for frame in result.frames:
        assert np.array_equal(sitk.GetArrayFromImage(frame.image), sitk.GetArrayFromImage(expected[frame.time]))
    assert np.array_equal(sitk.GetArrayFromImage(result.image), sitk.GetArrayFromImage(result.frames[-1].image))
    assert told == sorted(told)
