"""A method as Lightning trains it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.draws import assemble, at_gain_of_last, collate, random_draw
from CRONOSLib.training.held_out import evaluate, skill_of
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings

MONITOR = "validation_skill"
"""What decides which checkpoint is best."""


class RandomDraws(IterableDataset):
    """The batches of a run from some step on; each is a function of the seed and the step alone."""

    def __init__(self, patients: Sequence[PreparedPatient], settings: TrainSettings, first_step: int) -> None:
        self.patients = patients
        self.settings = settings
        self.first_step = first_step

    def __iter__(self) -> Iterator[SeriesBatch]:
        for step in range(self.first_step, self.settings.steps):
            generator = np.random.default_rng([self.settings.seed, step])
            yield collate([self._draw(generator) for _ in range(self.settings.batch_size)])

    def _draw(self, generator: np.random.Generator) -> SeriesBatch:
        settings = self.settings
        patient = self.patients[int(generator.integers(len(self.patients)))]
        draw = random_draw(generator, len(patient.times), settings.max_context, settings.interpolation)
        flip = bool(generator.random() < 0.5)
        batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale, flip)
        return at_gain_of_last(batch) if settings.match_gain else batch


class TrainedMethod(lightning.LightningModule):
    """The loss of a method on random draws."""

    def __init__(self, method: Method, patients: Sequence[PreparedPatient], settings: TrainSettings) -> None:
        super().__init__()
        self.method = method
        self.patients = patients
        self.settings = settings

    def train_dataloader(self) -> DataLoader:
        """The batches that are left: a resumed run sees what the uninterrupted one would have seen."""
        return DataLoader(RandomDraws(self.patients, self.settings, self.global_step), batch_size=None)

    def training_step(self, batch: SeriesBatch, index: int) -> Tensor:
        """Loss of one batch. The noise of a step depends on the seed and the step alone."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)
        loss = self.method.loss(batch)
        self.log("loss", loss, batch_size=len(batch.images))
        return loss

    def transfer_batch_to_device(self, batch: SeriesBatch, device: torch.device, dataloader_idx: int) -> SeriesBatch:
        """Lightning does not know our dataclass."""
        return batch.to(device)

    def configure_optimizers(self):
        """AdamW with a linear warm-up and a cosine to 0, per step."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.method.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _schedule(step, settings))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class MeasureSkill(Callback):
    """Skill on each validation patient's last visit, every so many steps and at the end."""

    def __init__(self, patients: Sequence[PreparedPatient], settings: TrainSettings) -> None:
        self.patients = patients
        self.settings = settings

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Log the skill, and say it; the checkpoint callback runs after this one."""
        settings, step = self.settings, trainer.global_step
        if step % settings.validate_every and step != settings.steps:
            return
        results = evaluate(pl_module.method, self.patients, settings, every_draw=False, device=pl_module.device)
        whole, changed = skill_of(results, "validation"), skill_of(results, "validation", changed=True)
        pl_module.log_dict({MONITOR: whole.mean, f"{MONITOR}_changed": changed.mean}, batch_size=1)
        print(
            f"step {step} of {settings.steps}: validation skill {whole.mean:.3f}, "
            f"{changed.mean:.3f} where most changed",
            flush=True,
        )


def _schedule(step: int, settings: TrainSettings) -> float:
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, settings.steps - warmup)))
