"""A method as Lightning trains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import lightning
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from CRONOSLib.errors import CohortError
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.augmentation import augment
from CRONOSLib.training.batches import Batches, Steps, TrainingBatch
from CRONOSLib.training.processes import Processes
from CRONOSLib.training.settings import TrainSettings


class TrainedMethod(lightning.LightningModule):
    """One optimiser step per call: the gradients of the batches of a step averaged, clipped and applied.

    subjects: names of the patients of a step, for a message
    loss:     mean over the batches of the last step, of all processes
    """

    def __init__(self, method: Method, settings: TrainSettings, subjects: Callable[[int], list[str]]) -> None:
        super().__init__()
        self.automatic_optimization = False  # the steps of a resumed run must not depend on how many processes it had
        self.method = method
        self.settings = settings
        self.subjects = subjects
        self.loss = math.nan

    def training_step(self, batches: list[TrainingBatch], index: int) -> None:
        """One step. Raises CohortError when a gradient is no finite number; the weights are then untouched."""
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        losses = []
        for number, batch in enumerate(batches, 1):
            with self._gradients_exchanged(number == len(batches)):
                losses.append(self._loss(batch))
                self.manual_backward(losses[-1] / len(batches))
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.settings.clip or math.inf)
        loss = self.trainer.strategy.reduce(torch.stack(losses).detach().mean(), reduce_op="mean")
        if not norm.isfinite():
            raise CohortError(self._not_finite())
        optimizer.step()  # type: ignore[union-attr]
        optimizer.zero_grad()  # type: ignore[union-attr]
        schedule.step()  # type: ignore[union-attr]
        self.loss = float(loss)

    def _loss(self, batch: TrainingBatch) -> Tensor:
        """Everything random about it follows from the seed of the batch."""
        generator = torch.Generator().manual_seed(batch.seed)
        series = augment(batch.series, self.settings.augmentation, generator, batch.single)
        torch.manual_seed(batch.seed)
        return self.method.loss(series)

    def _not_finite(self) -> str:
        return (
            f"The loss of step {self.global_step + 1} is no finite number; its patients are "
            f"{', '.join(self.subjects(self.global_step))}. The last good checkpoint, if any, is kept. Look at the "
            "scans of these patients, or train in another folder at a lower learning rate."
        )

    @contextmanager
    def _gradients_exchanged(self, exchanged: bool) -> Iterator[None]:
        """Processes add up their gradients once in a step, at its last batch."""
        model = self.trainer.strategy.model
        if exchanged or not isinstance(model, DistributedDataParallel):
            yield
        else:
            with model.no_sync():
                yield

    def transfer_batch_to_device(
        self, batch: list[TrainingBatch], device: torch.device, dataloader_idx: int
    ) -> list[TrainingBatch]:
        """Lightning does not know our dataclasses."""
        return [one.to(device) for one in batch]

    def configure_optimizers(self):
        """AdamW with a linear warm-up and a cosine to 0, per step."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.method.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _schedule(step, settings))
        return [optimizer], [schedule]


class StepData(lightning.LightningDataModule):
    """The steps that are left: a resumed run sees what the uninterrupted one would have seen."""

    def __init__(self, batches: Batches, processes: Processes) -> None:
        super().__init__()
        self.batches = batches
        self.processes = processes

    def train_dataloader(self) -> DataLoader:
        """From the step that the trainer stands at."""
        assert self.trainer is not None
        steps = Steps(self.batches, self.trainer.global_step, self.processes.rank, self.processes.world)
        return DataLoader(steps, batch_size=None)


def _schedule(step: int, settings: TrainSettings) -> float:
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, settings.steps - warmup)))
