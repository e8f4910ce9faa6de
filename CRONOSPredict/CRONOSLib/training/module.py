"""A method as Lightning trains it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.draws import assemble, collate, random_draw
from CRONOSLib.training.held_out import evaluate, skill_of
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings

MONITOR = "validation_skill"
"""What decides which checkpoint is best."""


class RandomDraws(Dataset):
    """The batches of one epoch; a function of the seed and the step alone, so that a resumed run sees the same."""

    def __init__(self, patients: Sequence[PreparedPatient], settings: TrainSettings, first_step: int) -> None:
        self.patients = patients
        self.settings = settings
        self.first_step = first_step

    def __len__(self) -> int:
        return min(self.settings.validate_every, self.settings.steps - self.first_step)

    def __getitem__(self, index: int) -> SeriesBatch:
        generator = np.random.default_rng([self.settings.seed, self.first_step + index])
        return collate([self._draw(generator) for _ in range(self.settings.batch_size)])

    def _draw(self, generator: np.random.Generator) -> SeriesBatch:
        settings = self.settings
        patient = self.patients[int(generator.integers(len(self.patients)))]
        draw = random_draw(generator, len(patient.times), settings.max_context, settings.interpolation)
        flip = bool(generator.random() < 0.5)
        return assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale, flip)


class TrainedMethod(lightning.LightningModule):
    """The loss of the method in training, its skill on the validation patients in validation."""

    def __init__(
        self,
        method: Method,
        patients: Sequence[PreparedPatient],
        validation: Sequence[PreparedPatient],
        settings: TrainSettings,
    ) -> None:
        super().__init__()
        self.method = method
        self.patients = patients
        self.validation = validation
        self.settings = settings

    def train_dataloader(self) -> DataLoader:
        """The batches of the current epoch, `validate_every` steps long."""
        first_step = self.current_epoch * self.settings.validate_every
        return DataLoader(RandomDraws(self.patients, self.settings, first_step), batch_size=None)

    def training_step(self, batch: SeriesBatch, index: int) -> Tensor:
        """Loss of one batch. The noise of a step depends on the seed and the step alone."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)
        loss = self.method.loss(batch)
        self.log("loss", loss, batch_size=len(batch.images))
        return loss

    def on_train_epoch_end(self) -> None:
        """Measure skill on each validation patient's last visit, and say it."""
        results = evaluate(self.method, self.validation, self.settings, every_draw=False, device=self.device)
        whole, changed = skill_of(results, "validation"), skill_of(results, "validation", changed=True)
        self.log(MONITOR, whole.mean)
        self.log(f"{MONITOR}_changed", changed.mean)
        print(
            f"step {self.global_step} of {self.settings.steps}: validation skill {whole.mean:.3f}, "
            f"{changed.mean:.3f} where most changed",
            flush=True,
        )

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


def _schedule(step: int, settings: TrainSettings) -> float:
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, settings.steps - warmup)))
