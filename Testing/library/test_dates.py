"""Dates out of text and names."""

from __future__ import annotations

from datetime import datetime

import pytest
from CRONOSLib.dates import date_in_name, parse_date, parse_unit, parse_when
from CRONOSLib.errors import DateError
from CRONOSLib.series import TimeUnit
from hypothesis import given, settings
from hypothesis import strategies as st

moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0))


@settings(deadline=None, max_examples=50)
@given(moments)
def test_every_way_of_writing_a_moment_year_first_reads_the_same(moment: datetime) -> None:
    for style in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S", "%Y/%m/%d %H:%M:%SZ"):
        assert parse_date(moment.strftime(style)) == moment


@settings(deadline=None, max_examples=50)
@given(moments)
def test_a_date_is_found_in_any_name_that_holds_it(moment: datetime) -> None:
    day = datetime(moment.year, moment.month, moment.day)
    for name in ("%Y-%m-%d_T1post.nii.gz", "ses-%Y%m%d", "patient7 %Y_%m_%d", "scan%Y%m%d.nrrd", "x_%Y.%m.%d.mha"):
        assert date_in_name(moment.strftime(name)) == day
    assert date_in_name(moment.strftime("scan_%Y%m%dT%H%M%S.nrrd")) == moment


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-3-1", datetime(2024, 3, 1)),
        ("20240301131023.231001+0100", datetime(2024, 3, 1, 13, 10, 23, 231001)),
        ("2024.03.01", datetime(2024, 3, 1)),
        ("1877-06-17T13:45:30", datetime(1877, 6, 17, 13, 45, 30)),
        (" 2024-02-29 ", datetime(2024, 2, 29)),
        ("20240301T2359", datetime(2024, 3, 1, 23, 59)),
        ("20161231235960", datetime(2016, 12, 31, 23, 59, 59)),
    ],
)
def test_iso_and_dicom_dates_are_understood(text: str, date: datetime) -> None:
    assert parse_date(text) == date


@pytest.mark.parametrize("text", ["03/04/2020", "3.4.2020", "25-12-2020", "03/04/20"])
def test_a_date_that_ends_with_the_year_is_asked_for_again(text: str) -> None:
    with pytest.raises(DateError, match=r"can be read as two dates\. Write it as year-month-day"):
        parse_date(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("2020-03", "lacks the day"),
        ("2020", "lacks the day"),
        ("2023-02-29", "not a day of the calendar"),
        ("20120000", "not a day of the calendar"),
        ("last spring", "is not a date"),
    ],
)
def test_what_is_no_date_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(DateError, match=says):
        parse_date(text)


@pytest.mark.parametrize(
    "name",
    ["week-012", "GA25", "visit3", "SCD2001_008", "SCD2001_08_05", "sub-10203040", "1234567890123", "T1w", "2020"],
)
def test_numbers_in_names_are_not_taken_for_dates(name: str) -> None:
    assert date_in_name(name) is None


def test_a_name_with_two_dates_is_a_question() -> None:
    with pytest.raises(DateError, match="holds 2 dates"):
        date_in_name("2020-01-01_to_2021-01-01.nii.gz")


def test_a_name_that_says_one_day_twice_is_not() -> None:
    assert date_in_name("20200101_scan_20200101T120000") == datetime(2020, 1, 1, 12)


def test_a_name_whose_day_and_month_may_be_swapped_is_a_question() -> None:
    with pytest.raises(DateError, match="two ways"):
        date_in_name("scan_03-04-2020.nii.gz")


def test_a_number_needs_a_unit() -> None:
    assert parse_when("25", TimeUnit.WEEK) == 25.0
    assert parse_when("-1.5e2", TimeUnit.MILLISECOND) == -150.0
    with pytest.raises(DateError, match="number without a unit"):
        parse_when("25")


def test_eight_digits_without_a_unit_are_a_date() -> None:
    assert parse_when("20240301") == datetime(2024, 3, 1)


def test_units_are_known_by_their_usual_names() -> None:
    assert [parse_unit(name) for name in ("ms", "Seconds", "day", "weeks", "yr")] == list(TimeUnit)
    with pytest.raises(DateError, match="not a unit of time"):
        parse_unit("fortnight")
