"""A method measured on patients that it never saw, against copying the last scan."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from CRONOSLib.bundles.skill import Skill
from CRONOSLib.evaluation.skill import skill_over_patients
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.draws import Draw, assemble, frozen_draws
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings

_CHANGED_SHARE = 0.02


@dataclass(frozen=True)
class DrawResult:
    """Errors of one forecast, in normalised intensity².

    horizon:     from the last context to the target, in the time unit of the bundle
    mse, lci_mse: over the whole grid
    mse_changed, lci_mse_changed: over the 2 % of voxels that truly changed most
    """

    subject: str
    contexts: int
    horizon: float
    mse: float
    lci_mse: float
    mse_changed: float
    lci_mse_changed: float


def last_visit_draw(visits: int, max_context: int) -> Draw:
    """The last visit from those before it: one draw per patient, as in LUMIERE."""
    return Draw(tuple(range(max(0, visits - 1 - max_context), visits - 1)), visits - 1)


def evaluate(
    method: Method,
    patients: Sequence[PreparedPatient],
    settings: TrainSettings,
    *,
    every_draw: bool = True,
    device: torch.device | str = "cpu",
) -> list[DrawResult]:
    """Forecast every frozen draw of every patient, or only each patient's last visit."""
    was_training = method.training
    method.eval()
    results = []
    for patient in patients:
        count = len(patient.times)
        last = [last_visit_draw(count, settings.max_context)]
        for draw in frozen_draws(count, settings.max_context) if every_draw else last:
            batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale).to(device)
            results.append(_measure(method, batch, patient.subject, settings))
    method.train(was_training)
    return results


def _measure(method: Method, batch: SeriesBatch, subject: str, settings: TrainSettings) -> DrawResult:
    bf16 = settings.precision.startswith("bf16")
    with torch.inference_mode(), torch.autocast(batch.images.device.type, torch.bfloat16, enabled=bf16):
        forecast = method.forecast(batch).forecast.float()
    assert batch.target is not None
    change = (batch.last_image - batch.target) ** 2
    error = (forecast - batch.target) ** 2
    changed = change >= torch.quantile(change.flatten()[::7], 1 - _CHANGED_SHARE)
    return DrawResult(
        subject=subject,
        contexts=int(batch.mask.sum()),
        horizon=float(batch.horizon) * settings.time_scale,
        mse=error.mean().item(),
        lci_mse=change.mean().item(),
        mse_changed=error[changed].mean().item(),
        lci_mse_changed=change[changed].mean().item(),
    )


def skill_of(results: Sequence[DrawResult], split: str, *, changed: bool = False) -> Skill:
    """Mean skill over patients with its bootstrap interval; a patient's draws are averaged first."""
    suffix = "_changed" if changed else ""
    subjects = sorted({result.subject for result in results})

    def per_patient(name: str) -> list[float]:
        return [np.mean([getattr(r, name + suffix) for r in results if r.subject == s]).item() for s in subjects]

    return skill_over_patients(per_patient("mse"), per_patient("lci_mse"), split=split)


def write_results(path: Path, results: Sequence[DrawResult]) -> None:
    """One row per forecast."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(asdict(results[0])))
        table.writeheader()
        table.writerows(asdict(result) for result in results)
