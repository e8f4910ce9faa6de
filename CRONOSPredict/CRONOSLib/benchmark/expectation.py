"""What a benchmark would take, before it is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from CRONOSLib.benchmark.run import SPLIT, Run
from CRONOSLib.benchmark.trained import Work, work_of
from CRONOSLib.cohorts.manifest import Cohort, read_cohort
from CRONOSLib.errors import CronosError
from CRONOSLib.forecasting.devices import choose_device

_PICTURES = 3


@dataclass(frozen=True)
class Expectation:
    """A method on a cohort.

    runs:    that are still to be done; the last one is measured
    seconds: of work that all of them take, roughly; None where the method failed
    problem: why it did
    """

    runs: tuple[Run, ...]
    work: Work | None
    seconds: float | None
    problem: str = ""


def expected(runs: Sequence[Run]) -> Iterator[Expectation]:
    """Each method on each cohort, with a step and a forecast measured on this machine; finished runs count nothing.

    Raises CohortError when a cohort cannot be read.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        outcome = run.outcome()
        if outcome is None or outcome.problem:
            groups.setdefault((run.cohort.name, run.contender.name), []).append(run)
    for group in groups.values():
        run = group[-1]
        cohort, device = read_cohort(run.cohort.folder), choose_device(run.device)
        try:
            work = work_of(run, cohort, device)
        except CronosError as error:
            yield Expectation(tuple(group), None, None, str(error))
            continue
        yield Expectation(tuple(group), work, len(group) * _seconds(run, cohort, work))


def _seconds(run: Run, cohort: Cohort, work: Work) -> float:
    validation, test = (len(cohort.split(split)) for split in ("validation", SPLIT))
    forecasts = run.forecasts * test + _PICTURES
    training = 0.0
    if run.contender.trained:
        settings = run.settings
        validations = settings.steps // settings.validate_every + 2  # the last step, and for the bundle
        forecasts += run.forecasts * validation + validations * validation + test + _PICTURES
        training = (run.train_seconds or settings.steps * work.step_seconds) * len(run.learning_rates)
    return training + forecasts * work.forecast_seconds
