"""The measured worth of a trained model: its skill against copying the last scan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Skill:
    """1 - MSE / MSE of LCI, averaged over patients that training never saw; 0 is copying, 1 is perfect.

    mean:     average over patients
    low, high: 95 % confidence interval of the mean, bootstrap over patients
    patients: how many were measured
    split:    which part of the cohort they are ("validation", "test")
    """

    mean: float
    low: float
    high: float
    patients: int
    split: str = "validation"

    def __str__(self) -> str:
        return f"{self.mean:.3f} (95 % CI {self.low:.3f} to {self.high:.3f}, {self.patients} {self.split} patients)"
