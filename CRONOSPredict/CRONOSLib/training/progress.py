"""What a run says while it goes on: status, curves and log in its folder, lines on the console."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from CRONOSLib.errors import CronosError, OutputError, TrainingStopped
from CRONOSLib.training.checkpoints import KeepCheckpoints
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus, writing
from CRONOSLib.training.validation import MeasureSkill
from CRONOSLib.whole_file import write_whole_file

OnStatus = Callable[[RunStatus], None]

_COLUMNS = ("step", "seconds", "loss", "learning_rate", "validation_skill", "validation_skill_changed")
_ROW_EVERY = 10  # steps
_STATUS_EVERY = 1.0  # seconds


class Teller:
    """Keeps status.json and log.txt of a run, and tells whoever listens."""

    def __init__(self, folder: RunFolder, on_status: OnStatus | None = None) -> None:
        self.folder = folder
        self.status = RunStatus()
        self._on_status = on_status
        self._written = 0.0
        self._began = time.monotonic()

    def enter(self, state: RunState, message: str) -> None:
        """Another state begins, or the run ends."""
        self._began = time.monotonic()
        self.status = replace(self.status, state=state, message=message, fraction=0.0, seconds_left=None)
        self._tell(now=True)
        self.folder.note(message)

    def note(self, message: str) -> None:
        """Something worth remembering happened in this state."""
        self.status = replace(self.status, message=message)
        self._tell(now=True)
        self.folder.note(message)

    def advance(self, fraction: float, since: float = 0.0, **values: Any) -> None:
        """Some of the state is done; `since`: the fraction that was done when it began, by an earlier process."""
        spent, done = time.monotonic() - self._began, fraction - since
        left = spent / done * (1 - fraction) if done > 0 else None
        self.status = replace(self.status, fraction=fraction, seconds_left=left, **values)
        self._tell(now=fraction >= 1)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """However the block ends, the status says so."""
        try:
            yield
        except TrainingStopped as stopped:
            self._end(RunState.STOPPED, str(stopped))
            raise
        except CronosError as error:
            self._end(RunState.FAILED, str(error))
            raise
        except BaseException as error:
            self._end(RunState.FAILED, f"The run broke off ({type(error).__name__}: {error}).")
            raise

    def _end(self, state: RunState, message: str) -> None:
        with suppress(OutputError):  # a full disk can be told nothing
            self.enter(state, message)

    def _tell(self, *, now: bool) -> None:
        if now or time.monotonic() - self._written > _STATUS_EVERY:
            self.status = self.folder.say(self.status)
            self._written = time.monotonic()
            if self._on_status:
                self._on_status(self.status)


class TellProgress(Callback):
    """After each step: status, a row of metrics.csv now and then, a line at each validation; in the first process."""

    def __init__(self, teller: Teller, measure: MeasureSkill, keep: KeepCheckpoints) -> None:
        self.teller = teller
        self.measure = measure
        self.keep = keep
        self._first_step = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Rows of steps that a cut-off run did beyond its last checkpoint are done again."""
        self._first_step = trainer.global_step
        with writing(self.teller.folder.metrics):
            _keep_rows(self.teller.folder, trainer.global_step)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """The step is done, measured and saved."""
        step, steps, skill = trainer.global_step, self.keep.settings.steps, self.measure.measured
        values: dict[str, Any] = {"step": step, "steps": steps, "loss": pl_module.loss}
        if skill is not None and self.measure.changed is not None:
            values |= {"validation_skill": skill.mean, "best_skill": self.keep.best}
        self.teller.advance(step / steps, self._first_step / steps, **values)
        if skill is not None or step % _ROW_EVERY == 0:
            self._add_row(trainer, step, pl_module.loss)
        if skill is not None and self.measure.changed is not None:
            self.teller.note(
                f"step {step} of {steps}: validation skill {skill.mean:.3f}, "
                f"{self.measure.changed.mean:.3f} where most changed"
            )

    def _add_row(self, trainer: lightning.Trainer, step: int, loss: float) -> None:
        skill, changed = self.measure.measured, self.measure.changed
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row = [str(step), f"{time.time():.1f}", f"{loss:.6g}", f"{rate:.6g}"]
        row += [f"{value.mean:.6g}" if value is not None else "" for value in (skill, changed)]
        with writing(self.teller.folder.metrics), self.teller.folder.metrics.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        for logger in trainer.loggers:
            logger.log_metrics({name: float(value) for name, value in zip(_COLUMNS[2:], row[2:]) if value}, step)


def _keep_rows(folder: RunFolder, step: int) -> None:
    """metrics.csv with the rows up to a step; only its header for a new run."""
    kept = io.StringIO()
    table = csv.writer(kept)
    table.writerow(_COLUMNS)
    if step and folder.metrics.is_file():
        with folder.metrics.open(newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(_COLUMNS) and row[0].isdigit()]
        table.writerows(row for row in rows if int(row[0]) <= step)
    write_whole_file(folder.metrics, kept.getvalue())
