"""Skill against copying the last scan, patient by patient, with a confidence interval over patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.bundles.skill import Skill
from CRONOSLib.errors import CohortError

_RESAMPLES = 10_000
_CHUNK = 1_000  # resamples drawn at once: 1,000 x 1,000 patients are 8 MB


@dataclass(frozen=True)
class Difference:
    """Skill of one method minus skill of another, on the same patients.

    mean:      average over patients
    low, high: 95 % confidence interval, paired bootstrap: a resample holds the same patients for both
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def patient_skill(error: ArrayLike, lci_error: ArrayLike) -> NDArray[np.float64]:
    """1 - MSE / MSE_LCI of each patient; 0 is copying the last scan, 1 is perfect.

    error, lci_error: (N,) mean square errors of the forecast and of the last scan, same unit.
    Raises CohortError when they differ in length, are negative or not finite, or when a last scan equals the truth
    (then nothing changed and skill has no meaning).
    """
    error, lci_error = np.asarray(error, dtype=np.float64), np.asarray(lci_error, dtype=np.float64)
    if error.ndim != 1 or error.shape != lci_error.shape:
        raise CohortError(
            f"There are {error.shape} errors but {lci_error.shape} LCI errors. Give one pair per patient."
        )
    if not (np.isfinite(error).all() and np.isfinite(lci_error).all() and (error >= 0).all()):
        raise CohortError("Some error of this cohort is not a finite number. Check the forecasts it was measured on.")
    if not (lci_error > 0).all():
        raise CohortError(
            f"Patient {int(np.argmin(lci_error))} has a last scan equal to the truth, so skill has no meaning. "
            "Leave this patient out."
        )
    return 1.0 - error / lci_error


def skill_over_patients(
    error: ArrayLike, lci_error: ArrayLike, *, split: str = "validation", level: float = 0.95, seed: int = 0
) -> Skill:
    """Mean skill over patients and its bootstrap confidence interval (10,000 resamples of patients, seeded).

    error, lci_error: (N,) mean square errors, one pair per patient. With one patient the interval is that one value.
    Raises CohortError as `patient_skill`, and when there is no patient.
    """
    skills = patient_skill(error, lci_error)
    if not len(skills):
        raise CohortError("There is no patient to measure skill on. Give at least one.")
    low, high = interval_of_mean(skills, level=level, seed=seed)
    return Skill(float(skills.mean()), low, high, len(skills), split)


def pooled_skill(
    error: ArrayLike, lci_error: ArrayLike, *, split: str = "validation", level: float = 0.95, seed: int = 0
) -> Skill:
    """1 − mean MSE / mean MSE_LCI over patients, and its bootstrap interval, as `skill_over_patients` takes them.

    A patient in whom hardly anything changed weighs hardly anything; in the mean skill it may outweigh all others.
    Raises CohortError as `skill_over_patients`.
    """
    error, lci_error = np.asarray(error, dtype=np.float64), np.asarray(lci_error, dtype=np.float64)
    count = len(patient_skill(error, lci_error))
    if not count:
        raise CohortError("There is no patient to measure skill on. Give at least one.")
    resampled = 1 - _resampled_means(error, seed) / _resampled_means(lci_error, seed)  # the same patients in both
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Skill(float(1 - error.mean() / lci_error.mean()), float(low), float(high), count, split)


def skill_difference(error: ArrayLike, other: ArrayLike, lci_error: ArrayLike) -> Difference:
    """Mean of skill − skill of another method, and its paired bootstrap interval over patients.

    error, other, lci_error: (N,) mean square errors of both methods and of the last scan, patient by patient
    Raises CohortError as `skill_over_patients`.
    """
    gains = patient_skill(error, lci_error) - patient_skill(other, lci_error)
    if not len(gains):
        raise CohortError("There is no patient to measure skill on. Give at least one.")
    return Difference(float(gains.mean()), *interval_of_mean(gains))


def interval_of_mean(values: NDArray[np.float64], *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean of (N,) values, one per patient (10,000 resamples, seeded)."""
    low, high = np.quantile(_resampled_means(values, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Mean of each of the resamples drawn with replacement."""
    generator = np.random.default_rng(seed)
    size = (_CHUNK, len(values))
    chunks = [values[generator.integers(0, len(values), size)].mean(axis=1) for _ in range(_RESAMPLES // _CHUNK)]
    return np.concatenate(chunks)
