"""How long one unit of the network's time is for a cohort."""

from __future__ import annotations

import statistics

from CRONOSLib.cohorts.manifest import Cohort
from CRONOSLib.errors import CohortError
from CRONOSLib.series import TimeUnit


def time_scale_of(cohort: Cohort) -> float:
    """One unit of the network's time, in the cohort's unit.

    For dates it is a year (365.25 days), whatever the cohort, so that bundles of different cohorts mean the same.
    Hearts and perfusion have no such measure: there it is the median time from first to last scan of the training
    patients, so that a whole beat, or a whole passage of contrast agent, is 1. What methods count in the network's
    time, such as `gate_horizon` (0.05) or the slots of the discrete variant (0.15), follows.

    Raises CohortError when no training patient has two scans.
    """
    if not cohort.unit.within_one_exam:
        return TimeUnit.YEAR.convert(1, cohort.unit)
    spans = [
        patient.visits[-1].time - patient.visits[0].time for patient in cohort.split("train") if len(patient.visits) > 1
    ]
    if not spans:
        raise CohortError(f"No training patient of '{cohort.name}' has two scans. Add patients with several scans.")
    return statistics.median(spans)
