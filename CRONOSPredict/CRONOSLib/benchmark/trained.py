"""A method that is ready to be measured: trained by `CRONOSLib.training.fit`, or as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from CRONOSLib.benchmark.configuration import Contender
from CRONOSLib.benchmark.run import Outcome, Run
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.cohorts.manifest import Cohort, read_cohort
from CRONOSLib.forecasting.devices import work_seconds
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method
from CRONOSLib.training.estimate import largest_shape
from CRONOSLib.training.fit import fit
from CRONOSLib.training.memory import trial_batch
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus
from CRONOSLib.training.settings import TrainSettings

_EDGE = 24  # voxels along each axis of a trial on a CPU, whose work grows with the voxels


@dataclass(frozen=True)
class Ready:
    """A method on its device, how its patients are prepared, and what it took so far."""

    method: Method
    settings: TrainSettings
    outcome: Outcome


@dataclass(frozen=True)
class Work:
    """What a method costs, in `work_seconds`.

    parameters:       that are trained
    step_seconds:     of one optimiser step; 0 for a method that learns nothing
    forecast_seconds: of one patient
    """

    parameters: int
    step_seconds: float
    forecast_seconds: float


def ready_method(run: Run, device: torch.device) -> Ready:
    """The method of a run: of several learning rates, the one with the best validation skill.

    Raises what `fit` raises.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    if not run.contender.trained:
        torch.manual_seed(run.settings.seed)
        method = create_method(run.contender.method, dict(run.contender.settings), run.contender.preset)
        settings = replace(run.settings, precision="32-true")
        return Ready(method.to(device).eval(), settings, Outcome(device=name))
    settings = replace(run.settings, steps=_steps(run, device))
    fits = []
    for rate in run.learning_rates:
        clock = _StepClock(device)
        result = fit(
            run.cohort.folder,
            run.contender.method,
            run.folder / "fit" / f"rate-{rate:g}",
            replace(settings, learning_rate=rate),
            device=run.device,
            on_status=clock.status,
        )
        assert result is not None, "A benchmark trains in one process."
        fits.append((rate, result, clock))
    rate, best, clock = max(fits, key=lambda one: one[1].validation.mean)
    method = load_method(best.bundle, device)
    outcome = Outcome(
        parameters=_parameters(method),
        steps=settings.steps,
        learning_rate=rate,
        validation_skill=best.validation.mean,
        step_seconds=clock.step_seconds,
        device=name,
    )
    return Ready(method, settings, outcome)


def work_of(run: Run, cohort: Cohort, device: torch.device) -> Work:
    """What a step and a forecast take: measured on random images, on a CPU on a small piece and enlarged.

    Roughly: what a method does on a grid of its own does not grow with the voxels.
    """
    settings = run.settings
    shape = largest_shape(cohort.split("train"), settings)
    piece = shape if device.type == "cuda" else tuple(min(_EDGE, length) for length in shape)
    scans = min(settings.max_context, max(len(patient.visits) for patient in cohort.patients) - 1)
    small = _tried(run.contender, settings.precision, piece, scans // 2 + 1, device)
    times = math.prod(shape) / math.prod(piece)
    return Work(
        parameters=small.parameters,
        step_seconds=times * max(1, settings.batch_size) * settings.accumulate * small.step_seconds,
        forecast_seconds=times * small.forecast_seconds,
    )


@cache
def _tried(contender: Contender, precision: str, shape: tuple[int, ...], scans: int, device: torch.device) -> Work:
    """Of one patient with scans of this shape (D, H, W); cohorts of equal shapes share it."""
    method = create_method(contender.method, dict(contender.settings), contender.preset).to(device)
    batch = trial_batch((1, *shape), scans).to(device)
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision.startswith("bf16"))

    def step() -> None:
        with half:
            loss = method.loss(batch)
        loss.backward()

    def forecast() -> None:
        with half, torch.inference_mode():
            method.eval().forecast(batch)

    return Work(
        parameters=_parameters(method),
        step_seconds=_seconds_of(step, device, 2) if contender.trained else 0.0,
        forecast_seconds=_seconds_of(forecast, device, 1),
    )


def _steps(run: Run, device: torch.device) -> int:
    """As many as the settings say, or as fit into the seconds; a run that was begun keeps its number."""
    if not run.train_seconds:
        return run.settings.steps
    known = _begun(run.folder / "fit")
    if known:
        return known
    work = work_of(run, read_cohort(run.cohort.folder), device)
    return max(1, round(run.train_seconds / work.step_seconds))


def _begun(folder: Path) -> int | None:
    for place in sorted(folder.glob("rate-*")):
        record = RunFolder(place).read_record()
        if record is not None:
            return int(record["settings"]["steps"])
    return None


def _parameters(method: Method) -> int:
    return sum(weight.numel() for weight in method.parameters())


def _seconds_of(work: Callable[[], None], device: torch.device, times: int) -> float:
    """Of the last time: the first one sets everything up."""
    for _ in range(times):
        began = work_seconds(device)
        work()
        seconds = work_seconds(device) - began
    return seconds


class _StepClock:
    """Work of a training step, from the first to the last status of the steps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seen: list[tuple[int, float]] = []

    @property
    def step_seconds(self) -> float | None:
        """None when all steps were done before."""
        if len(self._seen) < 2 or self._seen[-1][0] == self._seen[0][0]:
            return None
        (first, began), (last, ended) = self._seen[0], self._seen[-1]
        return (ended - began) / (last - first)

    def status(self, status: RunStatus) -> None:
        """Told by the training run."""
        if status.state is RunState.TRAINING and status.step:
            self._seen.append((status.step, work_seconds(self._device)))
