"""From the times of a patient to the time that a method counts in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import list_bundles
from CRONOSLib.dates import parse_when
from CRONOSLib.errors import MethodError
from CRONOSLib.series import LongitudinalSeries, TimeUnit


@dataclass(frozen=True)
class MethodTime:
    """Times as a method sees them: 0 at the last scan.

    times:  (T,) of the context scans, none above 0
    target: of the forecast; negative between scans
    """

    times: np.ndarray
    target: float
    warnings: tuple[str, ...] = ()


def target_time(series: LongitudinalSeries, text: str, unit: TimeUnit | None = None) -> float:
    """The target that a user typed, in the unit of the series: a date, or a number in `unit`.

    A plain number needs no unit where the series has no dates. Raises DateError as `parse_when`, SeriesError for a date
    where the series has none.
    """
    moment = parse_when(text, unit or (series.unit if series.epoch is None else None))
    return series.time_at(moment) if isinstance(moment, datetime) else moment


def method_time(
    series: LongitudinalSeries, target_time: float, bundle: Bundle | None = None, *, rescale: bool = False
) -> MethodTime:
    """Times of a series and of its target in a method's own time.

    With a bundle they are divided by its time scale, after conversion to its unit. Without one, the mean gap between
    the scans is 1, so that no unit matters.

    target_time: in the unit of the series
    rescale:     let the series' mean gap count as the bundle's typical gap, whatever the units

    Raises SeriesError when the target lies before the first scan, MethodError when the bundle counts days and the
    series seconds (or the other way round), or a single scan is to be rescaled.
    """
    horizon = series.horizon(target_time)
    offsets = np.array(series.times) - series.last.time
    if bundle is None:
        scale = _mean_gap(series) if len(series) > 1 else 1.0
        return MethodTime(offsets / scale, horizon / scale)
    if rescale:
        factor, notes = _rescaled(series, bundle)
    else:
        _check_unit(series, bundle)
        factor, notes = series.unit.convert(1.0, bundle.time_unit), ()
    warnings = (*notes, *_outside_horizons(horizon * factor, bundle))
    return MethodTime(offsets * factor / bundle.time_scale, horizon * factor / bundle.time_scale, warnings)


def most_useful_scans(series: LongitudinalSeries, target_time: float, count: int) -> LongitudinalSeries:
    """The series with at most `count` scans: the last one, and those nearest in time to the target.

    When scans are left out, the series carries a warning that says so.
    """
    if len(series) <= count:
        return series
    earlier = sorted(series.scans[:-1], key=lambda scan: abs(scan.time - target_time))
    kept = (*earlier[: count - 1], series.last)
    note = (
        f"The bundle was trained on at most {count} scans of one patient; "
        f"{len(series) - count} of the {len(series)} scans were left out."
    )
    return replace(series, scans=kept, warnings=(*series.warnings, note))


def _mean_gap(series: LongitudinalSeries) -> float:
    return (series.last.time - series.scans[0].time) / (len(series) - 1)


def _check_unit(series: LongitudinalSeries, bundle: Bundle) -> None:
    within = series.unit.within_one_exam
    if within != bundle.time_unit.within_one_exam:
        fitting = [known.name for known in list_bundles() if known.time_unit.within_one_exam == within]
        others = f"one of {', '.join(fitting)} if it suits the patient, " if fitting else ""
        raise MethodError(
            f"The times of the scans are in {series.unit.plural}, but bundle '{bundle.name}' was trained on scans "
            f"that lie {bundle.time_unit.plural} apart. Choose {others}a method without bundle, such as linear, or let "
            "their mean gap count as the bundle's typical gap (--rescale-time)."
        )


def _rescaled(series: LongitudinalSeries, bundle: Bundle) -> tuple[float, tuple[str, ...]]:
    if len(series) < 2:
        raise MethodError(
            "One scan has no gap that could be rescaled. Give two scans or more, or leave the times alone."
        )
    gap = _mean_gap(series)
    note = (
        f"The times were rescaled: the scans' mean gap of {gap:g} {series.unit.plural} counts as "
        f"{bundle.typical_gap:g} {bundle.time_unit.plural}. The bundle's measured skill does not hold here."
    )
    return bundle.typical_gap / gap, (note,)


def _outside_horizons(horizon: float, bundle: Bundle) -> tuple[str, ...]:
    shortest, longest = bundle.horizons
    if shortest <= horizon <= longest:
        return ()
    unit = bundle.time_unit.plural
    where = "between the scans" if horizon < 0 else f"{horizon:.4g} {unit} after the last scan"
    return (
        f"The target lies {where}, but bundle '{bundle.name}' was trained on horizons of {shortest:g} to {longest:g} "
        f"{unit}. Do not rely on this forecast.",
    )
