"""Skill against copying the last scan, patient by patient, with a confidence interval over patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.bundles.skill import Skill
from CRONOSLib.errors import CohortError

_RESAMPLES = 10_000
_CHUNK = 1_000  # resamples drawn at once: 1,000 x 1,000 patients are 8 MB


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
    means = _resampled_means(skills, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Skill(float(skills.mean()), float(low), float(high), len(skills), split)


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Mean of each of the resamples drawn with replacement."""
    generator = np.random.default_rng(seed)
    size = (_CHUNK, len(values))
    chunks = [values[generator.integers(0, len(values), size)].mean(axis=1) for _ in range(_RESAMPLES // _CHUNK)]
    return np.concatenate(chunks)
