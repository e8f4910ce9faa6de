"""Acquisition dates and times out of text: ISO 8601, DICOM DA and DT, file and folder names."""

from __future__ import annotations

import re
from datetime import datetime

from CRONOSLib.errors import DateError
from CRONOSLib.series import TimeUnit

_EXAMPLE = "for example 2024-03-01"
_CLOCK = (
    r"(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?:Z|[+-]\d{2}:?\d{2})?"
)
_EXTENDED = re.compile(rf"(?P<year>\d{{4}})([-/._])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}})(?:[T ]+{_CLOCK})?")
_BASIC = re.compile(rf"(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}})(?:[T ]?{_CLOCK})?")
_YEAR_LAST = re.compile(r"\d{1,2}([-/._ ])\d{1,2}\1(\d{4}|\d{2})(?:[T ].*)?")
_NO_DAY = re.compile(r"\d{4}(?:[-/._]?\d{1,2})?")

_NAME_CLOCK = r"(?:T?(?P<hour>\d{2})[-.]?(?P<minute>\d{2})[-.]?(?P<second>\d{2}))?(?!\d)"
_NAMED = (
    # Letters may touch a date of hyphens or of digits only (ses20240301), but SCD2001_08_05 is a number of a patient.
    re.compile(rf"(?<!\d)(?P<year>\d{{4}})(-?)(?P<month>\d{{2}})\2(?P<day>\d{{2}}){_NAME_CLOCK}"),
    re.compile(rf"(?<![0-9A-Za-z])(?P<year>\d{{4}})([_.])(?P<month>\d{{2}})\2(?P<day>\d{{2}}){_NAME_CLOCK}"),
)
_NAMED_YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})([-_.])(\d{1,2})\2(?:19|20)\d{2}(?!\d)")
_PLAUSIBLE_YEARS = range(1850, 2150)  # BIDS shifts dates of de-identified studies to before 1925

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_UNIT_NAMES = {
    TimeUnit.MILLISECOND: ("ms", "msec", "millisecond", "milliseconds"),
    TimeUnit.SECOND: ("s", "sec", "second", "seconds"),
    TimeUnit.DAY: ("d", "day", "days"),
    TimeUnit.WEEK: ("w", "week", "weeks"),
    TimeUnit.YEAR: ("y", "yr", "year", "years"),
}


def parse_date(text: str) -> datetime:
    """Date, or date and time of day, of one text written year first.

    Understands ISO 8601 (2024-03-01, 2024-03-01T13:05:00, 20240301), DICOM DA (YYYYMMDD, YYYY.MM.DD) and DICOM DT
    (YYYYMMDDHHMMSS.FFFFFF&ZZXX; PS3.5 section 6.2). A time zone is dropped: what counts is the scanner's own clock.

    Raises DateError when the order of day and month is open, the day is missing, or the text is no date.
    """
    text = text.strip()
    found = _EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)
    if found:
        date = _to_date(found)
        if date is None:
            raise DateError(f"'{text}' is not a day of the calendar. Give a date as year-month-day, {_EXAMPLE}.")
        return date
    if not text:
        raise DateError(f"A date is empty. Give it as year-month-day, {_EXAMPLE}.")
    if _YEAR_LAST.fullmatch(text):
        raise DateError(f"'{text}' can be read as two dates. Write it as year-month-day, {_EXAMPLE}.")
    if _NO_DAY.fullmatch(text):
        raise DateError(f"'{text}' lacks the day. Give the whole date as year-month-day, {_EXAMPLE}.")
    raise DateError(f"'{text}' is not a date. Give it as year-month-day, {_EXAMPLE}.")


def date_in_name(name: str) -> datetime | None:
    """The one date in a file or folder name, or None when there is none.

    A date is year first (2024-03-01, 2024_03_01, 2024.03.01, 20240301, 20240301T130500). Names such as `week-012`,
    `GA25` or `visit3` hold no date.

    Raises DateError when the name holds different dates, or one whose day and month could be swapped.
    """
    dates = [date for pattern in _NAMED for found in pattern.finditer(name) if (date := _plausible(found))]
    days = sorted({date.date() for date in dates})
    if len(days) > 1:
        raise DateError(
            f"The name '{name}' holds {len(days)} dates ({', '.join(day.isoformat() for day in days)}). "
            "Say which one is the scan's."
        )
    if dates:
        return max(dates)  # the one with a time of day, should the date stand there twice
    if any(_could_be_day_and_month(found) for found in _NAMED_YEAR_LAST.finditer(name)):
        raise DateError(f"The date in '{name}' can be read in two ways. Give the scan its date, {_EXAMPLE}.")
    return None


def parse_unit(text: str) -> TimeUnit:
    """Unit of time from its name (`ms`, `s`, `day`, `week`, `year`, and their usual spellings).

    Raises DateError when the name is unknown.
    """
    for unit, names in _UNIT_NAMES.items():
        if text.strip().lower() in names:
            return unit
    known = ", ".join(unit.value for unit in TimeUnit)
    raise DateError(f"'{text}' is not a unit of time. Use one of {known}.")


def parse_when(text: str, unit: TimeUnit | None = None) -> datetime | float:
    """When a scan was taken: a date, or a plain number in `unit`.

    Raises DateError as `parse_date` does, and when a number comes without its unit.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        if unit is not None:
            return float(text)
        if not _BASIC.fullmatch(text):
            raise DateError(
                f"'{text}' is a number without a unit. Say the unit (ms, s, day, week or year), "
                f"or give a date, {_EXAMPLE}."
            )
    return parse_date(text)


def _to_date(found: re.Match[str]) -> datetime | None:
    """Date of a match, or None when the calendar does not have it."""
    part = found.groupdict()
    fraction = (part.get("fraction") or "")[:6].ljust(6, "0")
    clock = (int(part["hour"] or 0), int(part["minute"] or 0), min(int(part["second"] or 0), 59))  # 60: leap second
    try:
        return datetime(int(part["year"]), int(part["month"]), int(part["day"]), *clock, int(fraction))
    except ValueError:
        return None


def _plausible(found: re.Match[str]) -> datetime | None:
    date = _to_date(found)
    return date if date is not None and date.year in _PLAUSIBLE_YEARS else None


def _could_be_day_and_month(found: re.Match[str]) -> bool:
    first, second = int(found[1]), int(found[3])
    return 1 <= min(first, second) <= 12 and max(first, second) <= 31
