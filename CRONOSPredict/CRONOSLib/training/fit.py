"""Training a method on a cohort: from patients to a bundle."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.bundles.store import save_bundle
from CRONOSLib.bundles.weights import round_to_stored
from CRONOSLib.cohorts.manifest import Cohort, read_cohort
from CRONOSLib.errors import CohortError
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method, method_entry
from CRONOSLib.methods.settings import settings_to_json
from CRONOSLib.training.held_out import evaluate, skill_of, write_results
from CRONOSLib.training.module import MONITOR, MeasureSkill, TrainedMethod
from CRONOSLib.training.patients import PreparedPatient, prepare_patients
from CRONOSLib.training.settings import TrainSettings


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


def fit(cohort: Path, method: str, out: Path, settings: TrainSettings, *, command: str = "") -> FitResult:
    """Train, keep the checkpoint with the best validation skill, measure it and save it as a bundle.

    A run cut off is resumed from its last checkpoint when `out` holds one of the same settings and cohort.

    out: folder of the run: run.json, checkpoints/, metrics.csv, validation.csv, test.csv, bundle/
    Raises CohortError when the cohort is unusable or the folder belongs to another run, MethodError for a method that
    learns nothing.
    """
    if not method_entry(method).needs_bundle:
        raise CohortError(f"Method '{method}' has nothing to train. Choose a CRONOS method.")
    patients = read_cohort(cohort)
    _claim(out, patients, method, settings)
    torch.manual_seed(settings.seed)
    model = create_method(method, settings.method_settings, settings.preset)
    splits = {
        split: prepare_patients(patients, split, settings.cohort_preprocessing())
        for split in ("train", "validation", "test")
    }
    best = _optimise(model, splits["train"], splits["validation"], out, settings)
    _load(model, best)
    return _conclude(model, method, patients, splits, out, settings, command)


def _claim(out: Path, cohort: Cohort, method: str, settings: TrainSettings) -> None:
    """Write run.json, or make sure that the folder belongs to this very run."""
    run = {"method": method, "manifest_sha256": cohort.manifest_sha256, "settings": settings.to_json()}
    record = out / "run.json"
    text = json.dumps(run, indent=2)
    if record.is_file() and record.read_text() != text:
        raise CohortError(f"'{out}' holds a run with other settings or another cohort. Give another folder.")
    out.mkdir(parents=True, exist_ok=True)
    beside = record.with_suffix(".json.new")
    beside.write_text(text)
    os.replace(beside, record)


def _optimise(
    model: Method,
    patients: list[PreparedPatient],
    validation: list[PreparedPatient],
    out: Path,
    settings: TrainSettings,
) -> Path:
    """Path of the best checkpoint."""
    folder = out / "checkpoints"
    keep = ModelCheckpoint(
        folder, "best", MONITOR, mode="max", save_last=True, enable_version_counter=False,
        every_n_train_steps=min(settings.validate_every, settings.steps),  # a run shorter than that keeps its end
    )  # fmt: skip
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    module = TrainedMethod(model, patients, settings)
    last = folder / "last.ckpt"
    with _quiet():
        trainer = lightning.Trainer(
            default_root_dir=out,
            accelerator="auto",
            devices=1,
            precision=settings.precision,  # type: ignore[arg-type]
            max_steps=settings.steps,
            gradient_clip_val=settings.clip,
            logger=CSVLogger(out, name="", version=""),
            callbacks=[MeasureSkill(validation, settings), keep],
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
        )
        trainer.fit(module, ckpt_path=last if last.is_file() else None, weights_only=True)
    return Path(keep.best_model_path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks on devices, logging intervals, loader workers and folders that are not empty."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def _load(model: Method, checkpoint: Path) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("method."): value for name, value in state.items()})


def _conclude(
    model: Method,
    method: str,
    cohort: Cohort,
    splits: dict[str, list[PreparedPatient]],
    out: Path,
    settings: TrainSettings,
    command: str,
) -> FitResult:
    """Measure the model on the held-out patients and save the bundle."""
    round_to_stored(model)
    results = {
        split: evaluate(model, splits[split], settings, every_draw=settings.every_draw)
        for split in ("validation", "test")
    }
    for split, rows in results.items():
        write_results(out / f"{split}.csv", rows)
    skill = {split: skill_of(rows, split) for split, rows in results.items()}
    bundle = _describe(model, method, cohort, splits["train"], settings, command)
    saved = save_bundle(out / "bundle", replace(bundle, skill=skill["test"]), model)
    return FitResult(saved, skill["validation"], skill["test"], skill_of(results["test"], "test", changed=True))


def _describe(
    model: Method,
    method: str,
    cohort: Cohort,
    patients: list[PreparedPatient],
    settings: TrainSettings,
    command: str,
) -> Bundle:
    gaps = sorted(float(gap) for patient in patients for gap in patient.times[1:] - patient.times[:-1])
    spans = [float(patient.times[-1] - patient.times[0]) for patient in patients]
    return Bundle(
        name=f"{method}-{cohort.name}",
        title=f"{method_entry(method).summary}, trained on {cohort.name}",
        method=method,
        settings=settings_to_json(model.settings),
        preprocessing=settings.preprocessing,
        time_unit=cohort.unit,
        time_scale=settings.time_scale,
        horizons=(gaps[0], max(spans)),
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
            "command": command,
        },
    )
