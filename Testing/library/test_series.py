"""A series is ordered, complete and honest about its times."""

from __future__ import annotations

from datetime import datetime

import pytest
import SimpleITK as sitk
from CRONOSLib.errors import SeriesError
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit
from hypothesis import given, settings
from hypothesis import strategies as st

IMAGE = sitk.Image(2, 2, 2, sitk.sitkFloat32)


def scan(time: float, name: str = "scan", **facts) -> Scan:
    return Scan(IMAGE, time, f"{name}-{time:g}", TimeSource.TYPED, **facts)


def dated(*days: str) -> LongitudinalSeries:
    return LongitudinalSeries.from_dates(scan(0, day, date=datetime.fromisoformat(day)) for day in days)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8, unique=True))
def test_scans_are_oldest_first_whatever_the_order_given(times):
    series = LongitudinalSeries(tuple(scan(time) for time in times), TimeUnit.SECOND)
    assert list(series.times) == sorted(times)
    assert series.last.time == max(times)


def test_dates_become_days_since_the_first():
    series = dated("2021-03-01", "2020-03-01")
    assert series.times == (0, 365)
    assert series.time_at(datetime(2021, 3, 2, 12)) == 366.5
    assert series.date_at(366.5) == datetime(2021, 3, 2, 12)
    assert series.describe_time(366.5) == "2021-03-02T12:00"


def test_no_scan_is_one_sentence():
    with pytest.raises(SeriesError, match="no scan to forecast from"):
        LongitudinalSeries(())


def test_two_scans_at_one_time_are_named():
    with pytest.raises(SeriesError, match=r"2020-03-01-0' and '2020-03-01-0' have the same time \(2020-03-01\)"):
        dated("2020-03-01", "2020-03-01")


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_is_refused(time):
    with pytest.raises(SeriesError, match="Give it a date"):
        LongitudinalSeries((scan(time),))


def test_a_target_before_the_first_scan_is_refused_and_between_scans_is_not():
    series = dated("2020-01-01", "2020-01-11")
    assert series.horizon(4) == -6
    assert series.horizon(12) == 2
    with pytest.raises(SeriesError, match=r"before the first scan \(2020-01-01\)"):
        series.horizon(-1)
    with pytest.raises(SeriesError, match="target time is nan"):
        series.horizon(float("nan"))


def test_a_date_means_nothing_to_a_series_of_phases():
    series = LongitudinalSeries((scan(0), scan(40)), TimeUnit.MILLISECOND)
    assert series.date_at(40) is None
    assert series.describe_time(40) == "40 ms"
    with pytest.raises(SeriesError, match="not dates but ms"):
        series.time_at(datetime(2020, 1, 1))


@pytest.mark.parametrize(("fact", "what"), [("patient", "patients"), ("modality", "modalities")])
def test_scans_that_may_not_belong_together_are_a_warning(fact, what):
    series = LongitudinalSeries((scan(0, **{fact: "A"}), scan(1, **{fact: "B"})))
    assert series.warnings == (f"The scans come from different {what} (A, B). Check that they belong together.",)
    assert not LongitudinalSeries((scan(0, **{fact: "A"}), scan(1))).warnings


def test_a_held_out_scan_leaves_only_the_scans_before_it():
    series = dated("2020-01-01", "2020-01-11", "2020-01-21")
    context, truth = series.held_out(10)
    assert context.times == (0,)
    assert context.epoch == series.epoch
    assert truth.time == 10
    with pytest.raises(SeriesError, match=r"No scan was taken at 2020-01-06\. Choose one of 2020-01-01, 2020-01-11"):
        series.held_out(5)
    with pytest.raises(SeriesError, match="no scan before 2020-01-01"):
        series.held_out(0)


def test_units_convert():
    assert TimeUnit.WEEK.convert(2, TimeUnit.DAY) == 14
    assert TimeUnit.SECOND.convert(1.5, TimeUnit.MILLISECOND) == pytest.approx(1500)
    assert TimeUnit.YEAR.convert(1, TimeUnit.DAY) == 365.25
