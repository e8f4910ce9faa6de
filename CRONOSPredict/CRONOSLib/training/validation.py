"""Skill on the validation patients while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from CRONOSLib.bundles.skill import Skill
from CRONOSLib.evaluation.held_out_forecast import skill_of
from CRONOSLib.training.averaging import AveragedWeights
from CRONOSLib.training.draws import spread_draws
from CRONOSLib.training.held_out import evaluate
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.processes import Processes
from CRONOSLib.training.settings import TrainSettings

_HORIZONS = 2


class MeasureSkill(Callback):
    """Skill on the validation patients' last visits, every so many steps and at the end; processes share the patients.

    Each last visit is forecast from the earlier half of the visits before it, and from all of them: in a dense series
    hardly anything changes from the last visit but one to the last, and skill on that alone says little.

    measured, changed: after a step with a validation, its skill over the whole grid and where most changed; else None
    """

    def __init__(
        self,
        patients: Sequence[PreparedPatient],
        settings: TrainSettings,
        processes: Processes,
        averaged: AveragedWeights | None,
    ) -> None:
        self.patients = patients
        self.settings = settings
        self.processes = processes
        self.averaged = averaged
        self._draws = partial(spread_draws, max_context=settings.max_context, count=_HORIZONS)
        self.measured: Skill | None = None
        self.changed: Skill | None = None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Measure the weights that would be saved now."""
        settings, step = self.settings, trainer.global_step
        self.measured = self.changed = None
        if step % settings.validate_every and step != settings.steps:
            return
        mine = self.processes.share(self.patients)
        with self.averaged.in_place(pl_module) if self.averaged else nullcontext():
            results = evaluate(pl_module.method, mine, settings, draws=self._draws, device=pl_module.device)
        results = self.processes.gathered(results)
        self.measured = skill_of(results, "validation")
        self.changed = skill_of(results, "validation", changed=True)
