"""One method on one cohort with one seed: trained, measured on the test patients, and kept in a folder of its own.

```
run.json          what was run (`Run.record`)
fit/              the folder of the training run, for a method that learns; one for each learning rate; in the end
                  without its checkpoints
forecasts.csv     every forecast of a test patient, as `CRONOSLib.evaluation.held_out_forecast` describes it
pictures.npz      best, median and worst test patient
outcome.json      what it took, or why it failed; written last
log.txt           where it broke off, when that was a bug
```
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from CRONOSLib.benchmark.configuration import Benchmark, BenchmarkCohort, Contender
from CRONOSLib.cohorts.manifest import Cohort, read_cohort
from CRONOSLib.errors import CohortError
from CRONOSLib.evaluation.gallery import Picture
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast, read_results, write_results
from CRONOSLib.training.run_folder import writing
from CRONOSLib.training.settings import TrainSettings
from CRONOSLib.whole_file import write_whole_file

SPLIT = "test"


@dataclass(frozen=True)
class Outcome:
    """What a run took.

    problem:          why it failed, in one sentence; "" when it did not
    parameters:       that are trained
    steps:            of the optimiser
    learning_rate:    of the best validation skill, where several were trained
    validation_skill: of that one
    step_seconds:     work of one step, validations included; None where nothing was trained in this go
    peak_memory_mb:   of the process that trained and forecast, or of its GPU
    coverage:         by level, share of the foreground that the calibrated range holds in the test patients
    device:           "CPU", or the name of the GPU
    """

    problem: str = ""
    parameters: int = 0
    steps: int = 0
    learning_rate: float | None = None
    validation_skill: float | None = None
    step_seconds: float | None = None
    peak_memory_mb: float | None = None
    coverage: tuple[tuple[float, float], ...] = ()
    device: str = "CPU"


@dataclass(frozen=True)
class Run:
    """One method on one cohort with one seed.

    folder:          of the run
    manifest_sha256: of the cohort, when the benchmark was begun
    settings:        of training, complete for the cohort, with preset, method settings and seed
    learning_rates, train_seconds, forecasts: as `Benchmark` describes them
    device:          "auto", "cpu" or "cuda"
    """

    folder: Path
    cohort: BenchmarkCohort
    manifest_sha256: str
    contender: Contender
    settings: TrainSettings
    learning_rates: tuple[float, ...]
    train_seconds: float
    forecasts: int
    device: str = "auto"

    def __str__(self) -> str:
        return f"{self.cohort.name}, {self.contender.name}, seed {self.settings.seed}"

    def record(self) -> dict[str, Any]:
        """What the run is: two runs of equal records have equal results."""
        return _plain(
            {
                "cohort": self.cohort.name,
                "method": asdict(self.contender),
                "conditions": self.conditions(),
                "seed": self.settings.seed,
            }
        )

    def conditions(self) -> dict[str, Any]:
        """What must be equal for all runs on a cohort, or they cannot be compared."""
        shared = replace(self.settings, preset="default", method_settings={}, seed=0)
        return _plain(
            {
                "manifest_sha256": self.manifest_sha256,
                "learning_rates": self.learning_rates,
                "train_seconds": self.train_seconds,
                "forecasts": self.forecasts,
                "settings": shared.to_json(),
            }
        )

    def outcome(self) -> Outcome | None:
        """How it ended; None for a run that has not ended."""
        try:
            values = json.loads((self.folder / "outcome.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return Outcome(**{**values, "coverage": tuple(map(tuple, values["coverage"]))})

    def conclude(self, outcome: Outcome) -> None:
        """Keep how it ended. Raises OutputError when that cannot be written."""
        with writing(self.folder):
            write_whole_file(self.folder / "outcome.json", json.dumps(asdict(outcome), indent=2) + "\n")

    def results(self) -> list[HeldOutForecast]:
        """Every forecast of a test patient. Raises CohortError when the file is no such table."""
        return read_results(self.folder / "forecasts.csv")

    def pictures(self) -> tuple[Picture, ...]:
        """The best, the median and the worst test patient, in the slice where each truly changed most."""
        with np.load(self.folder / "pictures.npz") as kept:
            captions = [str(caption) for caption in kept["captions"]]
            return tuple(Picture(caption, *kept[str(row)].astype(np.float32)) for row, caption in enumerate(captions))


def runs_of(benchmark: Benchmark, out: Path, device: str = "auto") -> list[Run]:
    """The runs of a benchmark, cohort by cohort.

    Raises CohortError when a cohort cannot be read, MethodError for an unknown setting.
    """
    runs = []
    for place in benchmark.cohorts:
        cohort = read_cohort(place.folder)
        shared = benchmark.shared_settings(place, cohort)
        for contender in benchmark.contenders:
            for seed in benchmark.seeds if contender.trained else benchmark.seeds[:1]:
                runs.append(
                    Run(
                        folder=out / "runs" / place.name / contender.name / f"seed-{seed}",
                        cohort=place,
                        manifest_sha256=cohort.manifest_sha256,
                        contender=contender,
                        settings=replace(
                            shared,
                            preset=contender.preset,
                            method_settings=dict(contender.settings),
                            seed=seed,
                        ),
                        learning_rates=benchmark.learning_rates or (shared.learning_rate,),
                        train_seconds=benchmark.train_seconds,
                        forecasts=benchmark.forecasts,
                        device=device,
                    )
                )
    return runs


def check_comparable(runs: Sequence[Run]) -> None:
    """Make sure that what lies in the folders of the runs was run under these very conditions.

    A benchmark is frozen when it begins: patients, settings and budget stay, methods and seeds may be added.
    Raises CohortError otherwise.
    """
    for run in runs:
        known = read_record(run.folder)
        if known is None or known == run.record():
            continue
        sha256 = known.get("conditions", {}).get("manifest_sha256")
        if sha256 != run.manifest_sha256:
            raise CohortError(
                f"Cohort '{run.cohort.name}' is another one than when {run} was run: its manifest differs. Results on "
                "different patients cannot be compared; restore the cohort, or give another folder."
            )
        raise CohortError(
            f"{run} was run with other settings ({', '.join(_differences(known, run.record()))}). Results of different "
            "settings cannot be compared; give another folder."
        )


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was run in a folder; None where nothing was."""
    try:
        return json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None


def perform(run: Run) -> None:
    """Train, measure and keep. One that was cut off goes on from its last checkpoint.

    Raises what `CRONOSLib.training.fit.fit` and `CRONOSLib.training.held_out.evaluate` raise.
    """
    from CRONOSLib.benchmark.trained import ready_method
    from CRONOSLib.evaluation.calibration import calibrate, measured
    from CRONOSLib.forecasting import devices
    from CRONOSLib.training.assessment import best_median_worst_pictures
    from CRONOSLib.training.draws import spread_draws
    from CRONOSLib.training.held_out import evaluate
    from CRONOSLib.training.patients import prepare_patients

    with writing(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        write_whole_file(run.folder / "run.json", json.dumps(run.record(), indent=2) + "\n")
    cohort, device = _same_cohort(run), devices.choose_device(run.device)
    devices.reset_peak_memory(device)
    ready = ready_method(run, device)
    settings, method = ready.settings, ready.method
    draws = partial(spread_draws, max_context=settings.max_context, count=run.forecasts)

    def measure(split: str, further: bool) -> list[HeldOutForecast]:
        patients = prepare_patients(cohort, split, settings.cohort_preprocessing())
        return evaluate(method, patients, settings, draws=draws, device=device, further=further)

    results = measure(SPLIT, True)
    disagree = any(result.error_in_spreads is not None for result in results)
    calibration = calibrate(measure("validation", False)) if disagree else None
    tested = prepare_patients(cohort, SPLIT, settings.cohort_preprocessing())
    with writing(run.folder):
        write_results(run.folder / "forecasts.csv", results)
        _keep_pictures(run.folder, best_median_worst_pictures(method, tested, results, settings, device))
    levels = measured(calibration, results).levels if calibration else ()
    run.conclude(
        replace(
            ready.outcome,
            peak_memory_mb=devices.peak_memory_mb(device),
            coverage=tuple((level.level, level.coverage) for level in levels if level.coverage is not None),
        )
    )
    for checkpoints in run.folder.glob("fit/*/checkpoints"):
        shutil.rmtree(checkpoints, ignore_errors=True)


def _same_cohort(run: Run) -> Cohort:
    cohort = read_cohort(run.cohort.folder)
    if cohort.manifest_sha256 != run.manifest_sha256:
        raise CohortError(f"Cohort '{run.cohort.name}' was changed while the benchmark ran. Begin again.")
    return cohort


def _keep_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Only the slice that a gallery shows."""
    kept: dict[str, Any] = {"captions": np.array([picture.caption for picture in pictures])}
    for row, picture in enumerate(pictures):
        volumes = np.stack([picture.last, picture.forecast, picture.truth])
        where = int(np.argmax(((picture.truth - picture.last) ** 2).sum(axis=(1, 2))))
        kept[str(row)] = volumes[:, where : where + 1].astype(np.float16)
    np.savez_compressed(folder / "pictures.npz", **kept)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from a JSON file: tuples are lists there."""
    return json.loads(json.dumps(values))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the values that differ, innermost ones."""
    names = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            names += _differences(before, after)
        elif before != after:
            names.append(name)
    return names
