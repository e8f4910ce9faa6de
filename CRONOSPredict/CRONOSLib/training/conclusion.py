"""The end of a run: the best weights measured on held-out patients and saved as a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.bundles.store import save_bundle
from CRONOSLib.bundles.weights import round_to_stored
from CRONOSLib.cohorts.manifest import Cohort
from CRONOSLib.evaluation.calibration import calibrate
from CRONOSLib.evaluation.held_out_forecast import skill_of, write_results
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import method_entry
from CRONOSLib.methods.settings import settings_to_json
from CRONOSLib.training.assessment import assess
from CRONOSLib.training.held_out import evaluate
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.run_folder import writing
from CRONOSLib.training.settings import TrainSettings

_CALIBRATING = 0.2  # of the time that measuring takes


@dataclass(frozen=True)
class FitResult:
    """What a run left behind.

    bundle:        saved under `bundle/` of the run's folder
    validation:    skill over all frozen draws of the validation patients
    test:          the same for the test patients, whom nothing was chosen on
    test_changed:  skill over the voxels that truly changed most
    """

    bundle: Bundle
    validation: Skill
    test: Skill
    test_changed: Skill


@dataclass(frozen=True)
class TrainedRun:
    """What is known when the last step is done.

    splits:  the prepared patients of "train", "validation" and "test"
    command: how to train the same bundle again
    source:  the bundle that the run started from, if any
    """

    method: str
    cohort: Cohort
    settings: TrainSettings
    splits: dict[str, list[PreparedPatient]]
    command: str = ""
    source: Bundle | None = None


def conclude(
    run: TrainedRun,
    model: Method,
    out: Path,
    device: torch.device,
    on_progress: Callable[[str, float], None],
) -> FitResult:
    """Measure the model, as a bundle stores it, on the held-out patients and save the bundle with its card.

    out:         folder of the run: validation.csv, test.csv, bundle/
    on_progress: told what is being done and the fraction done; it may raise to stop
    """
    round_to_stored(model)
    model.to(device)
    settings = run.settings
    validation = evaluate(
        model,
        run.splits["validation"],
        settings,
        every_draw=settings.every_draw,
        device=device,
        on_patient=lambda done: on_progress("Calibrating on the validation patients", _CALIBRATING * done),
    )
    assessment = assess(
        run.method,
        model,
        run.splits["test"],
        settings,
        split="test",
        unit=run.cohort.unit,
        calibration=calibrate(validation),
        device=device,
        on_progress=lambda what, done: on_progress(what, _CALIBRATING + (1 - _CALIBRATING) * done),
    )
    test = assessment.results[run.method]
    with writing(out):
        write_results(out / "validation.csv", validation)
        write_results(out / "test.csv", test)
    described = replace(_described(run, model), skill=assessment.skill, calibration=assessment.calibration)
    saved = save_bundle(out / "bundle", described, model, assessment.for_card)
    changed = skill_of(test, "test", changed=True)
    return FitResult(saved, skill_of(validation, "validation"), assessment.skill, changed)


def _described(run: TrainedRun, model: Method) -> Bundle:
    patients, cohort, settings = run.splits["train"], run.cohort, run.settings
    gaps = sorted(float(gap) for patient in patients for gap in patient.times[1:] - patient.times[:-1])
    return Bundle(
        name=f"{run.method}-{cohort.name}",
        title=f"{method_entry(run.method).summary}, trained on {cohort.name}",
        method=run.method,
        settings=settings_to_json(model.settings),
        preprocessing=settings.preprocessing,
        time_unit=cohort.unit,
        time_scale=settings.time_scale,
        horizons=(gaps[0], _longest(patients)),
        typical_gap=gaps[len(gaps) // 2],
        max_contexts=settings.max_context,
        training={
            "cohort": cohort.name,
            "generator": cohort.generator,
            "cohort_seed": cohort.seed,
            "manifest_sha256": cohort.manifest_sha256,
            "patients": len(patients),
            "seed": settings.seed,
            "steps": settings.steps,
            "command": run.command,
            **(
                {"started_from": run.source.name, "started_from_sha256": run.source.weights_sha256}
                if run.source
                else {}
            ),
        },
    )


def _longest(patients: Sequence[PreparedPatient]) -> float:
    return max(float(patient.times[-1] - patient.times[0]) for patient in patients)
