"""Ranges around a forecast that hold the truth as often as they say, in patients like those they were made on.

The members' spread tells where a forecast is less sure, not by how much. A range ± factor · max(spread, floor) is
given its factor by the validation patients. What is exchangeable is the patient: the voxels of one brain err together,
so a hundred thousand of them are no hundred thousand witnesses. Hence each patient counts once, by the share of its
foreground that the range misses, and the factor is the smallest one with

    (n · R(factor) + 1) / (n + 1) ≤ 1 − level,   R = mean share missed over n patients

(hierarchical conformal prediction, Lee, Barber and Willett 2023, and conformal risk control, Angelopoulos et al., ICLR
2024, agree on it; it is the split-conformal quantile when a patient is one voxel). Of a new patient, drawn like these,
the range then holds the truth in at least `level` of the voxels on average: with few patients in more, since the new
one counts as missed altogether. The
validation patients also chose the checkpoint, which tilts this a little; coverage is measured on the test patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.bundles.calibration import CalibratedLevel, Calibration
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast
from CRONOSLib.evaluation.skill import interval_of_mean

LEVELS = (0.5, 0.8, 0.9, 0.95)
FLOOR = 0.002
"""Normalised intensity, a tenth of a scan's noise. Higher, and the range no longer widens where the members disagree;
lower, and it trusts agreement by chance."""

_PROBABILITIES = np.linspace(0, 1, 201)
_HALVINGS = 40


def error_in_spreads(error: ArrayLike, spread: ArrayLike, inside: ArrayLike) -> NDArray[np.float64]:
    """(201,) quantiles, from 0 to 1, of |error| / max(spread, FLOOR) over the voxels of `inside`.

    error, spread, inside: (D, H, W), normalised intensity; `inside` is True somewhere
    """
    ratio = np.abs(np.asarray(error)) / np.maximum(spread, FLOOR)
    return np.quantile(ratio[np.asarray(inside, dtype=bool)].astype(np.float64), _PROBABILITIES)


def coverage(results: Sequence[HeldOutForecast], factor: float) -> NDArray[np.float64]:
    """(N,) share of the foreground that the range of this factor holds, mean over the forecasts of each patient.

    Forecasts with one member are left out: they have no spread.
    """
    spread = _with_spread(results)
    _, patient = np.unique([result.subject for result in spread], return_inverse=True)
    held = [np.interp(factor, result.error_in_spreads, _PROBABILITIES) for result in spread]  # type: ignore[arg-type]
    return np.bincount(patient, held) / np.bincount(patient)


def calibrate(validation: Sequence[HeldOutForecast], levels: Sequence[float] = LEVELS) -> Calibration | None:
    """Factors from the validation patients; None where no forecast has a spread, or patients are too few for 50 %.

    A level needs n ≥ level / (1 − level) patients: 9 for 90 %, 19 for 95 %; others are left out.
    """
    patients = len({result.subject for result in _with_spread(validation)})
    found = []
    for level in sorted(levels):
        needed = level + level / patients if patients else 1.1  # 1 − ((n + 1)(1 − level) − 1) / n
        if needed <= 1 + 1e-12:
            found.append(CalibratedLevel(level, _factor(validation, min(needed, 1.0))))
    return Calibration(FLOOR, patients, tuple(found)) if found and found[0].level <= 0.9 else None


def measured(calibration: Calibration, test: Sequence[HeldOutForecast]) -> Calibration:
    """The calibration with the coverage of its ranges in the test patients."""
    levels = []
    for level in calibration.levels:
        held = coverage(test, level.factor)
        if len(held):
            low, high = interval_of_mean(held)
            level = replace(level, coverage=float(held.mean()), low=low, high=high)
        levels.append(level)
    return replace(calibration, levels=tuple(levels), tested=len(coverage(test, 1.0)))


def _with_spread(results: Sequence[HeldOutForecast]) -> list[HeldOutForecast]:
    return [result for result in results if result.error_in_spreads is not None]


def _factor(results: Sequence[HeldOutForecast], needed: float) -> float:
    """The smallest factor whose mean coverage reaches `needed`, by bisection."""
    low, high = 0.0, max(float(result.error_in_spreads[-1]) for result in _with_spread(results))  # type: ignore[index]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if coverage(results, middle).mean() >= needed else (middle, high)
    return high
