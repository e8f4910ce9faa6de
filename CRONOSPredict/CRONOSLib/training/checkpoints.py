"""Checkpoints that are whole or not there: the last one to go on from, and the best."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from CRONOSLib.errors import CohortError
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.run_folder import RunFolder, writing
from CRONOSLib.training.settings import TrainSettings
from CRONOSLib.training.stopping import StopRequest
from CRONOSLib.training.validation import MeasureSkill
from CRONOSLib.whole_file import write_whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside, then renames; a disk that is full leaves the checkpoint before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Raises OutputError when there is no room."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        path = Path(path)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(path, buffer.getbuffer())


class KeepCheckpoints(Callback):
    """last.ckpt at every validation, every few minutes and when asked to stop; best.ckpt at each best skill.

    Stops the run when it is asked to, and when `patience` validations in a row were no better.

    run: what the checkpoint belongs to; one of another run is refused
    """

    def __init__(self, folder: RunFolder, settings: TrainSettings, measure: MeasureSkill, stop: StopRequest) -> None:
        self.folder = folder
        self.settings = settings
        self.measure = measure
        self.stop = stop
        self.best = -math.inf
        self.worse = 0
        self.saved = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """After a step, when averaging and validation are done with it."""
        skill = self.measure.measured
        stopping = trainer.strategy.reduce_boolean_decision(self.stop.asked, all=False)
        due = trainer.strategy.reduce_boolean_decision(self._minutes_are_over(), all=False)
        if skill is not None:
            self._compare(skill.mean, trainer)
        if skill is not None or due or stopping:
            trainer.save_checkpoint(self.folder.last)
            self.saved = time.monotonic()
        if stopping:
            self.stop.heard = True
            trainer.should_stop = True
        elif self.settings.patience and self.worse >= self.settings.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"best": self.best, "worse": self.worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best skill so far."""
        self.best, self.worse = state_dict["best"], state_dict["worse"]

    def _compare(self, skill: float, trainer: lightning.Trainer) -> None:
        if skill > self.best:
            self.best, self.worse = skill, 0
            trainer.save_checkpoint(self.folder.best)
        else:
            self.worse += 1

    def _minutes_are_over(self) -> bool:
        minutes = self.settings.checkpoint_minutes
        return bool(minutes) and time.monotonic() - self.saved > 60 * minutes


def check_checkpoint(path: Path, method: Method) -> None:
    """Make sure that a checkpoint can be read and belongs to this method.

    Raises CohortError when it is damaged or of another configuration.
    """
    names = {name: value.shape for name, value in method.state_dict().items()}
    if {name: value.shape for name, value in _weights(path).items()} != names:
        raise CohortError(
            f"The checkpoint '{path}' is of another configuration: its weights do not fit this method. "
            "Give the folder of the right run, or remove the checkpoint to start again."
        )


def load_checkpoint(path: Path, method: Method) -> None:
    """Give the method the weights of a checkpoint: the averaged ones where they were averaged."""
    method.load_state_dict(_weights(path))


def _weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        return {name.removeprefix("method."): value for name, value in state.items()}
    except Exception as error:  # torch has no common class for a file that is none of its own
        raise CohortError(f"The checkpoint '{path}' is damaged ({error}). Remove it to start again.") from error
