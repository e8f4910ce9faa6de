"""A method measured on patients that it never saw, against copying the last scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from CRONOSLib.evaluation.calibration import error_in_spreads
from CRONOSLib.evaluation.change import change_correlation, changed_auroc, edge_nrmse
from CRONOSLib.evaluation.deformation import regularity
from CRONOSLib.evaluation.ensemble import crps, spread_skill_ratio
from CRONOSLib.evaluation.held_out_forecast import HeldOutForecast
from CRONOSLib.evaluation.metrics import measure
from CRONOSLib.evaluation.sharpness import sharpness
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.forecasting.devices import seeded, work_seconds
from CRONOSLib.forecasting.run import disagree
from CRONOSLib.imaging.intensity import foreground_threshold
from CRONOSLib.methods.interface import Members, Method
from CRONOSLib.training.draws import Draw, assemble, frozen_draws
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings

_CHANGED_SHARE = 0.02


def last_visit_draw(visits: int, max_context: int) -> Draw:
    """The last visit from those before it: one draw per patient, as in LUMIERE."""
    return Draw(tuple(range(max(0, visits - 1 - max_context), visits - 1)), visits - 1)


def draw_of(result: HeldOutForecast, patient: PreparedPatient) -> Draw:
    """Contexts and target of a forecast of this patient."""
    target = result.target_visit - 1
    last = int(np.argmin(np.abs(patient.times - (patient.times[target] - result.horizon))))
    return Draw(tuple(range(last + 1 - result.contexts, last + 1)), target)


def evaluate(
    method: Method,
    patients: Sequence[PreparedPatient],
    settings: TrainSettings,
    *,
    every_draw: bool = True,
    draws: Callable[[int], Iterable[Draw]] | None = None,
    device: torch.device | str = "cpu",
    further: bool = False,
    on_patient: Callable[[float], None] | None = None,
) -> list[HeldOutForecast]:
    """Forecast every frozen draw of every patient, or only each patient's last visit.

    draws:      of a patient with so many visits, in place of both
    further:    also measure what takes longer than the forecast itself, such as SSIM, change, edges and sharpness; and
                the seconds of the forecast
    on_patient: told the fraction done after each patient
    """
    results, where = [], torch.device(device)
    for number, patient in enumerate(patients, start=1):
        count = len(patient.times)
        last = [last_visit_draw(count, settings.max_context)]
        usual = frozen_draws(count, settings.max_context) if every_draw else last
        for draw in draws(count) if draws else usual:
            batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale).to(where)
            began = work_seconds(where)
            members = forecast_of(method, batch, settings)
            seconds = work_seconds(where) - began
            result = _measure(members, batch, patient, draw, settings, further)
            results.append(replace(result, seconds=seconds) if further else result)
        if on_patient:
            on_patient(number / len(patients))
    return results


def forecast_of(method: Method, batch: SeriesBatch, settings: TrainSettings) -> Members:
    """Members of a batch, by the precision and seed of the settings; the method is left in the mode it was in."""
    was_training = method.training
    method.eval()
    bf16 = settings.precision.startswith("bf16")
    autocast = torch.autocast(batch.images.device.type, torch.bfloat16, enabled=bf16)
    with torch.inference_mode(), autocast, seeded(settings.seed):
        members = method.forecast(batch)
    method.train(was_training)
    return members


def truth_at_own_scale(patient: PreparedPatient, draw: Draw, batch: SeriesBatch, settings: TrainSettings) -> np.ndarray:
    """(D, H, W) the target without the scanner's gain, where scans have no unit; else as it is.

    Where each scan is scaled by itself, so is the truth that a range around the forecast is held against, as in
    `CRONOSLib.evaluation.comparison`: nothing forecasts a gain.
    """
    if settings.preprocessing.intensity.scope == "each":
        return np.asarray(patient.visits[draw.target, 0], dtype=np.float32)
    assert batch.target is not None
    return batch.target[0, 0].cpu().numpy()


def _measure(
    members: Members, batch: SeriesBatch, patient: PreparedPatient, draw: Draw, settings: TrainSettings, further: bool
) -> HeldOutForecast:
    assert batch.target is not None
    forecast = members.forecast.float()
    change = (batch.last_image - batch.target) ** 2
    error = (forecast - batch.target) ** 2
    changed = change >= torch.quantile(change.flatten()[::7], 1 - _CHANGED_SHARE)
    arrays = [image[0, 0].cpu().numpy() for image in (forecast, batch.target, batch.last_image)]
    return HeldOutForecast(
        subject=patient.subject,
        contexts=int(batch.mask.sum()),
        target_visit=draw.target + 1,
        horizon=float(patient.times[draw.target] - patient.times[max(draw.contexts)]),
        mse=error.mean().item(),
        lci_mse=change.mean().item(),
        mse_changed=error[changed].mean().item(),
        lci_mse_changed=change[changed].mean().item(),
        error_in_spreads=_error_in_spreads(members, arrays, truth_at_own_scale(patient, draw, batch, settings)),
        **(_further(*arrays) | _of_members(members, arrays[1]) if further else {}),
    )


def _error_in_spreads(members: Members, arrays: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray | None:
    """Over the foreground of the last scan: that is known when a forecast is made. None when the members agree."""
    forecast, _, last = arrays
    if not disagree(members.images[0, members.mask[0], 0].float().cpu().numpy()):
        return None
    spread = members.spread[0, 0].float().cpu().numpy()
    return error_in_spreads(forecast - truth, spread, last > foreground_threshold(last))


def _of_members(members: Members, truth: np.ndarray) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if members.displacement is not None:
        facts["folding_percent"] = regularity(members.displacement[0].float().cpu().numpy()).folding_percent
    images = members.images[0, members.mask[0], 0].float().cpu().numpy()
    facts["crps"] = crps(images, truth)  # where the members agree, their mean absolute error
    if disagree(images):
        facts["spread_skill"] = spread_skill_ratio(images, truth)
    return facts


def _further(forecast: np.ndarray, truth: np.ndarray, last: np.ndarray) -> dict[str, Any]:
    metrics = measure(forecast, truth)
    return {
        "nrmse": metrics.nrmse,
        "nrmse_euclidean": metrics.nrmse_euclidean,
        "psnr": metrics.psnr,
        "ssim": metrics.ssim.value,
        "change_correlation": change_correlation(forecast, truth, last),
        "changed_auroc": changed_auroc(forecast, truth, last),
        "edge_nrmse": edge_nrmse(forecast, truth),
        "sharpness": sharpness(forecast, truth).detail,
    }
