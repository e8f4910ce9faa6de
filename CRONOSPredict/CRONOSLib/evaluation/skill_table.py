"""Skill of a method beside baselines: over all forecasts, by horizon and by number of contexts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CRONOSLib.bundles.skill import Skill
from CRONOSLib.errors import CohortError
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast, difference_of, skill_of
from CRONOSLib.evaluation.skill import Difference

_BINS = 4


@dataclass(frozen=True)
class SkillRow:
    """Skill of one method over one group of forecasts.

    grouping:  "all", "horizon" or "contexts"
    group:     as shown, such as "43 to 121 day" or "2 contexts"
    skill:     against LCI
    changed:   mean skill over the voxels that truly changed most
    ahead:     skill of the measured method minus skill of this one; None for the measured method itself
    forecasts: how many were averaged
    """

    grouping: str
    group: str
    method: str
    skill: Skill
    changed: float
    ahead: Difference | None
    forecasts: int


def skill_table(
    results: Mapping[str, Sequence[HeldOutForecast]], split: str, unit: str = "day"
) -> tuple[SkillRow, ...]:
    """Rows of every group and method; the method measured is the first of `results`, the others are baselines.

    results: by method, the same forecasts in the same order
    unit:    of the horizons

    Horizons are cut at the quartiles of the forecasts. Raises CohortError as `skill_over_patients`, and when the
    methods were measured on different forecasts.
    """
    methods = list(results)
    if not methods or not results[methods[0]]:
        raise CohortError("There is no forecast to measure skill on. Give patients with two visits or more.")
    rows = []
    for grouping, group, chosen in _groups(results[methods[0]], unit):
        picked = {name: [all_of[index] for index in chosen] for name, all_of in results.items()}
        for name in methods:
            rows.append(
                SkillRow(
                    grouping=grouping,
                    group=group,
                    method=name,
                    skill=skill_of(picked[name], split),
                    changed=skill_of(picked[name], split, changed=True).mean,
                    ahead=None if name == methods[0] else difference_of(picked[methods[0]], picked[name]),
                    forecasts=len(chosen),
                )
            )
    return tuple(rows)


def write_skill_table(path: Path, rows: Sequence[SkillRow]) -> None:
    """One row per group and method; intervals are 95 %, bootstrap over patients, paired for the differences."""
    flat = [_flat(row) for row in rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(flat[0]))
        table.writeheader()
        table.writerows(flat)


def _flat(row: SkillRow) -> dict[str, str | float | None]:
    ahead = row.ahead
    return {
        "grouping": row.grouping,
        "group": row.group,
        "method": row.method,
        "skill": row.skill.mean,
        "low": row.skill.low,
        "high": row.skill.high,
        "skill_changed": row.changed,
        "ahead": ahead.mean if ahead else None,
        "ahead_low": ahead.low if ahead else None,
        "ahead_high": ahead.high if ahead else None,
        "patients": row.skill.patients,
        "forecasts": row.forecasts,
    }


def _groups(results: Sequence[HeldOutForecast], unit: str) -> Iterator[tuple[str, str, list[int]]]:
    """Grouping, group and the indices of its forecasts."""
    yield "all", "all", list(range(len(results)))
    horizons = np.array([result.horizon for result in results])
    edges = np.unique(np.quantile(horizons, np.linspace(0, 1, _BINS + 1)))
    bins = np.clip(np.searchsorted(edges, horizons, side="right") - 1, 0, max(0, len(edges) - 2))
    for number in sorted(set(bins.tolist())):
        inside = np.flatnonzero(bins == number)
        low, high = horizons[inside].min(), horizons[inside].max()
        yield "horizon", f"{low:.3g} to {high:.3g} {unit}", inside.tolist()
    contexts = np.array([result.contexts for result in results])
    for count in sorted(set(contexts.tolist())):
        yield "contexts", f"{count} context{'s' if count > 1 else ''}", np.flatnonzero(contexts == count).tolist()
