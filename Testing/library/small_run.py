"""A run of six steps that tests of runs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from CRONOSLib.errors import TrainingStopped
from CRONOSLib.training.fit import fit
from CRONOSLib.training.module import TrainedMethod
from CRONOSLib.training.run_folder import RunFolder, RunState
from CRONOSLib.training.settings import TrainSettings
from small_training import SMALL

METHOD = "cronos-continuous"
SETTINGS = TrainSettings.from_json({**SMALL, "steps": 6, "validate_every": 3, "accumulate": 2, "batch_size": 1})


def stop_at(step: int, ask: Callable[[], None], folder: RunFolder, cohort: Path) -> None:
    """Ask while that step is computed."""
    compute = TrainedMethod.training_step

    def asked_meanwhile(method: TrainedMethod, *batches) -> None:
        if method.global_step == step - 1:
            ask()
        compute(method, *batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainedMethod, "training_step", asked_meanwhile)
        with pytest.raises(TrainingStopped, match=f"step {step} of 6"):
            fit(cohort, METHOD, folder.path, SETTINGS)
    status = folder.status()
    assert status is not None
    assert status.state is RunState.STOPPED
