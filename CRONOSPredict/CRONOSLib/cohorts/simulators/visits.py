"""When a patient is scanned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VisitSettings:
    """Irregular follow-up (METHODS 13.3).

    count:        fewest and most visits
    gap_weeks:    range of a patient's mean gap
    gap_variation: deviation of the gaps relative to their mean; gaps are gamma distributed
    shortest_gap_days: no visit sooner after another
    """

    count: tuple[int, int] = (3, 8)
    gap_weeks: tuple[float, float] = (8.0, 12.0)
    gap_variation: float = 0.5
    shortest_gap_days: int = 7


def draw_visit_days(rng: np.random.Generator, settings: VisitSettings) -> tuple[int, ...]:
    """Whole days of the visits, the first one 0."""
    count = int(rng.integers(settings.count[0], settings.count[1] + 1))
    mean_days = 7 * rng.uniform(*settings.gap_weeks)
    shape = 1 / settings.gap_variation**2
    gaps = rng.gamma(shape, mean_days / shape, count - 1)
    days = np.cumsum(np.maximum(np.rint(gaps), settings.shortest_gap_days)).astype(int)
    return (0, *(int(day) for day in days))
