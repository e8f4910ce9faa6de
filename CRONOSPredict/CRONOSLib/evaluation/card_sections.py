"""What is said about the measured worth of a method: tables of text, and the Markdown of a model card."""

from __future__ import annotations

from collections.abc import Sequence

from CRONOSLib.bundles.calibration import Calibration
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.evaluation.skill_table import SkillRow

Cells = list[list[str]]
"""Rows of text, the heading first."""


def against_baselines(rows: Sequence[SkillRow]) -> Cells:
    """Skill over all forecasts, the measured method first."""
    cells = [["against LCI", "skill (95 % CI)", "where most changed", "ahead of it (95 % CI)"]]
    for row in rows:
        if row.grouping == "all":
            cells.append([row.method, interval(row.skill), number(row.changed), str(row.ahead or "")])
    return cells


def by_group(grouping: str, rows: Sequence[SkillRow]) -> Cells:
    """Skill by "horizon" or by "contexts": the measured method with its interval, the baselines with their means."""
    chosen = [row for row in rows if row.grouping == grouping]
    methods = dict.fromkeys(row.method for row in chosen)
    cells = [["by horizon" if grouping == "horizon" else "by contexts", "patients", "forecasts", *methods]]
    for group in dict.fromkeys(row.group for row in chosen):
        first, *others = (row for row in chosen if row.group == group)
        counts = [str(first.skill.patients), str(first.forecasts)]
        cells.append([group, *counts, interval(first.skill), *(number(row.skill.mean) for row in others)])
    return cells


def ranges(calibration: Calibration) -> Cells:
    """What each range was made to hold, and what it held."""
    cells = [["made to hold at least", "factor", "held in test patients (95 % CI)"]]
    for level in calibration.levels:
        held = (
            "not measured" if level.coverage is None else f"{level.coverage:.1%} ({level.low:.1%} to {level.high:.1%})"
        )
        cells.append([f"{level.level:.0%}", f"{level.factor:.2f}", held])
    return cells


def skill_section(rows: Sequence[SkillRow]) -> str:
    """Markdown tables of skill: over all forecasts against every baseline, by horizon and by number of contexts."""
    measured = rows[0]
    about = (
        f"1 − MSE/MSE of copying the last scan (LCI): 0 is copying, 1 is perfect. Mean over {measured.skill.patients} "
        f"{measured.skill.split} patients, {measured.forecasts} forecasts, with the 95 % interval of a bootstrap over "
        "patients. *Ahead* is the skill of this bundle minus that of the other method, paired by patient."
    )
    tables = (against_baselines(rows), by_group("horizon", rows), by_group("contexts", rows))
    return "\n\n".join([about, *map(markdown, tables)])


def calibration_section(calibration: Calibration) -> str:
    """Markdown on how wide the range around a forecast is, and how often it held the truth."""
    about = (
        "The range forecast ± factor × max(spread, floor) is made to hold the truth in at least this share of the "
        f"voxels of the head or body, on average over patients; factors from {calibration.patients} validation "
        f"patients, floor {calibration.floor:g} of normalised intensity. The fewer patients, the wider it must be. It "
        "holds at the resolution of the grid, for the truth at the brightness of the last scan, and for patients like "
        "these only."
    )
    return f"{about}\n\n{markdown(ranges(calibration))}"


def interval(skill: Skill) -> str:
    """Mean and 95 % interval."""
    return f"{number(skill.mean)} ({number(skill.low)} to {number(skill.high)})"


def number(value: float) -> str:
    """Three decimals, and no minus before zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def markdown(cells: Cells) -> str:
    """A table of Markdown."""
    head, *body = cells
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))
