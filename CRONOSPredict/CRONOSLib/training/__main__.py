"""The process that trains: `python -m CRONOSLib.training RUN_FOLDER`, started by a panel that it may outlive.

With `--estimate` it reads an order from its standard input instead, and prints what the run would take.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from CRONOSLib.errors import CronosError, TrainingStopped
from CRONOSLib.packages import require
from CRONOSLib.training.order import TrainingOrder, order_of, usual_settings
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus

_NEEDED = ("torch", "torchdiffeq", "lightning", "safetensors")
_ENDS = (RunState.FAILED, RunState.STOPPED)


def main() -> int:
    """Exit code: 0 when done, 2 for what a user can mend."""
    if sys.argv[1:] == ["--estimate"]:
        return _estimate()
    folder = RunFolder(Path(sys.argv[1]))
    try:
        _train(folder)
    except CronosError as error:
        status = folder.status() or RunStatus()
        if status.state not in _ENDS:  # of a run, whose end is told where it happens
            state = RunState.STOPPED if isinstance(error, TrainingStopped) else RunState.FAILED
            folder.say(replace(status, state=state, message=str(error), seconds_left=None))
        return 2
    return 0


def _train(folder: RunFolder) -> None:
    order = order_of(folder)
    assert order is not None
    if hasattr(os, "nice"):
        os.nice(5)  # the window stays quick while this process uses every core
    if "LOCAL_RANK" not in os.environ:
        with folder.held():
            require(*_NEEDED, purpose="Training")
            order = _with_cohort(order, folder)
            order.write()
        if order.devices > 1:
            from CRONOSLib.training.processes import launch

            launch(order.devices, "CRONOSLib.training", [str(folder.path)])
            return
    from CRONOSLib.training.fit import fit
    from CRONOSLib.training.settings import TrainSettings

    settings = TrainSettings.from_json(dict(order.settings))
    fit(order.cohort, order.method, order.out, settings, device=order.device)


def _with_cohort(order: TrainingOrder, folder: RunFolder) -> TrainingOrder:
    """The order with a cohort instead of mere patients, and with what is usual for them where it is silent."""
    from CRONOSLib.cohorts.manifest import Cohort
    from CRONOSLib.imaging.preparation import Preprocessing
    from CRONOSLib.training.collecting import collect_cohort

    patients = order.patients
    settings = {**usual_settings(patients), **order.settings}
    if isinstance(patients, Cohort):
        _stopper(folder)("", 0.0)
        return replace(order, cohort=patients.folder, settings=settings)
    made = collect_cohort(
        patients,
        folder.path / "cohort",
        preprocessing=Preprocessing.from_json(settings["preprocessing"]),
        jobs=max(1, (os.cpu_count() or 2) // 2),
        on_progress=_stopper(folder),
    )
    return replace(order, cohort=made.cohort.folder, channel="", settings=settings)


def _stopper(folder: RunFolder) -> Callable[[str, float], None]:
    """Tells how far the preparation is, and ends it when asked."""

    def tell(what: str, fraction: float) -> None:
        if folder.stop_file.exists():
            raise TrainingStopped("Stopped while the patients were prepared. The run goes on from there.")
        if what:
            folder.say(replace(folder.status() or RunStatus(), message=what, fraction=fraction))

    return tell


def _estimate() -> int:
    try:
        require(*_NEEDED, purpose="Training")
        from CRONOSLib.training.estimate import estimate_run

        answer = asdict(estimate_run(TrainingOrder.from_json(json.load(sys.stdin))))
    except CronosError as error:
        answer = {"problem": str(error)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # taking torch down in order would hold its memory for seconds more
