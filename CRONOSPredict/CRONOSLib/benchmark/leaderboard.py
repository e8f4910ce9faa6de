"""What the finished runs of a benchmark say together, cohort by cohort."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from CRONOSLib.benchmark.run import SPLIT, Outcome, Run, read_record
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.errors import CohortError
from CRONOSLib.evaluation.gallery import Picture
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast, difference_of, per_patient, skill_of
from CRONOSLib.evaluation.skill import Difference, patient_skill, pooled_skill
from CRONOSLib.evaluation.skill_table import SkillRow, skill_table
from CRONOSLib.training.run_folder import writing
from CRONOSLib.whole_file import write_whole_file

REFERENCE = "lci"
"""The method that skill is measured against: its own is 0."""

_METRICS = tuple(
    column.name
    for column in fields(HeldOutForecast)
    if column.name not in ("subject", "contexts", "target_visit", "error_in_spreads")
)


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended. results: of its test patients, none where it failed."""

    run: Run
    outcome: Outcome
    results: tuple[HeldOutForecast, ...]

    @property
    def name(self) -> str:
        """Of the contender."""
        return self.run.contender.name


@dataclass(frozen=True)
class Leaderboard:
    """All runs on one cohort.

    unit:    of the horizons
    runs:    those that ended
    missing: those that have not been run yet
    """

    cohort: str
    unit: str
    runs: tuple[FinishedRun, ...]
    missing: tuple[Run, ...]

    @cached_property
    def measured(self) -> dict[str, tuple[FinishedRun, ...]]:
        """By contender the runs with results, the best mean skill first."""
        names = dict.fromkeys(one.name for one in self.runs if one.results)
        groups = {name: tuple(one for one in self.runs if one.name == name and one.results) for name in names}
        means = {name: skill_of(over_seeds(group), SPLIT).mean for name, group in groups.items()}
        return {name: groups[name] for name in sorted(groups, key=lambda name: -means[name])}

    @property
    def failed(self) -> tuple[FinishedRun, ...]:
        """Runs with a problem."""
        return tuple(one for one in self.runs if one.outcome.problem)

    @cached_property
    def skill_rows(self) -> tuple[SkillRow, ...]:
        """Skill against LCI of every contender, the best first, and its lead over the others; () without results."""
        results = {name: over_seeds(group) for name, group in self.measured.items()}
        return skill_table(results, SPLIT, self.unit) if results else ()

    def pooled(self, name: str) -> Skill:
        """Skill of a contender, each patient weighed by how much changed in it."""
        _, (error, lci) = per_patient(over_seeds(self.measured[name]), "mse", "lci_mse")
        return pooled_skill(error, lci, split=SPLIT)

    def seed_deviation(self, name: str) -> float | None:
        """Standard deviation over seeds of a contender's mean skill; None for a single one."""
        skills = [skill_of(one.results, SPLIT).mean for one in self.measured[name]]
        return stdev(skills) if len(skills) > 1 else None

    def difference(self, first: str, second: str) -> Difference | None:
        """Skill of a contender minus skill of another, paired over patients; None while one is not measured."""
        if not {first, second} <= set(self.measured):
            return None
        return difference_of(*(over_seeds(self.measured[name]) for name in (first, second)))

    @property
    def ranking(self) -> list[str]:
        """Contenders that do not copy, the best first."""
        return [name for name, group in self.measured.items() if group[0].run.contender.method != REFERENCE]

    def worst(self, count: int) -> list[Picture]:
        """The worst patient of the `count` best contenders that do not copy, of their first seed."""
        pictures = []
        for name in self.ranking[:count]:
            group = self.measured[name]
            picture = group[0].run.pictures()[-1]
            pictures.append(replace(picture, caption=f"{name}, {picture.caption}"))
        return pictures


def over_seeds(group: Sequence[FinishedRun]) -> list[HeldOutForecast]:
    """Each forecast with the mean of its metrics over the seeds; None where one of them has none."""
    return [_mean(forecasts) for forecasts in zip(*(one.results for one in group))]


def metric_of(group: Sequence[FinishedRun], metric: str) -> float | None:
    """Mean over patients, of the mean over each one's forecasts and seeds.

    None where a forecast lacks it: a mean over others than those of the next contender could not be compared with it.
    """
    results = over_seeds(group)
    if any(getattr(result, metric) is None for result in results):
        return None
    return float(per_patient(results, metric)[1][0].mean())


def leaderboards(runs: Sequence[Run], units: dict[str, str]) -> list[Leaderboard]:
    """The runs by cohort, as far as they have ended.

    units: of the horizons, by cohort
    Raises CohortError when runs on a cohort differ in its manifest or in their settings.
    """
    return [
        _leaderboard([run for run in runs if run.cohort.name == cohort], cohort, units[cohort])
        for cohort in dict.fromkeys(run.cohort.name for run in runs)
    ]


def write_tables(folder: Path, boards: Sequence[Leaderboard]) -> None:
    """results.csv with one row per patient, and one with its sentence per failed run; forecasts.csv; runs.csv.

    Raises OutputError when they cannot be written.
    """
    runs = [one for board in boards for one in board.runs]
    with writing(folder):
        write_whole_file(folder / "results.csv", _table([row for one in runs for row in _patients(one)]))
        write_whole_file(folder / "forecasts.csv", _table([row for one in runs for row in _forecasts(one)]))
        write_whole_file(folder / "runs.csv", _table([_facts(one) for one in runs]))


def _leaderboard(runs: Sequence[Run], cohort: str, unit: str) -> Leaderboard:
    finished, missing = [], []
    for run in runs:
        outcome = run.outcome()
        if outcome is None:
            missing.append(run)
            continue
        finished.append(FinishedRun(run, outcome, () if outcome.problem else tuple(run.results())))
    _require_equal_conditions(finished)
    return Leaderboard(cohort, unit, tuple(finished), tuple(missing))


def _require_equal_conditions(finished: Sequence[FinishedRun]) -> None:
    """Of what stands in the folders, not of what was asked for."""
    known = [(one, (read_record(one.run.folder) or {}).get("conditions")) for one in finished]
    for one, conditions in known:
        first, expected = known[0]
        if conditions != expected:
            raise CohortError(
                f"{one.run} and {first.run} were run on other patients or with other settings and cannot be compared. "
                f"Remove '{one.run.folder}' and run it again."
            )


def _mean(forecasts: Sequence[HeldOutForecast]) -> HeldOutForecast:
    values = {metric: [getattr(one, metric) for one in forecasts] for metric in _METRICS}
    means = {name: None if None in each else float(np.mean(each)) for name, each in values.items()}
    return replace(forecasts[0], **means)  # type: ignore[arg-type]


def _key(one: FinishedRun) -> dict[str, Any]:
    return {"cohort": one.run.cohort.name, "method": one.name, "seed": one.run.settings.seed}


def _patients(one: FinishedRun) -> list[dict[str, Any]]:
    if not one.results:
        return [{**_key(one), "problem": one.outcome.problem}]
    kept = [metric for metric in _METRICS if all(getattr(result, metric) is not None for result in one.results)]
    subjects, means = per_patient(one.results, *kept)
    columns = dict(zip(kept, means))
    skills = patient_skill(columns["mse"], columns["lci_mse"])
    changed = patient_skill(columns["mse_changed"], columns["lci_mse_changed"])
    counts = {subject: sum(result.subject == subject for result in one.results) for subject in subjects}
    return [
        {
            **_key(one),
            "subject": subject,
            "forecasts": counts[subject],
            "skill": skills[row],
            "skill_changed": changed[row],
            **{metric: values[row] for metric, values in columns.items()},
        }
        for row, subject in enumerate(subjects)
    ]


def _forecasts(one: FinishedRun) -> list[dict[str, Any]]:
    columns = ("subject", "contexts", "target_visit", *_METRICS)
    return [{**_key(one), **{name: getattr(result, name) for name in columns}} for result in one.results]


def _facts(one: FinishedRun) -> dict[str, Any]:
    values = {field.name: getattr(one.outcome, field.name) for field in fields(Outcome)}
    levels = {f"coverage_{level:.0%}".rstrip("%"): held for level, held in values.pop("coverage")}
    problem = values.pop("problem")
    return {**_key(one), **values, **levels, "problem": problem}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """CSV with the columns of all rows, those of problems last."""
    columns = dict.fromkeys(name for row in rows for name in row if name != "problem")
    text = io.StringIO()
    table = csv.DictWriter(text, [*columns, "problem"], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
