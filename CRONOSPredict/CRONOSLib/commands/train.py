"""`cronos train`: a cohort in, a bundle out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from CRONOSLib.commands.console import STOPPED, err, progress, say_error, table
from CRONOSLib.commands.console import out as stdout
from CRONOSLib.errors import MethodError, TrainingStopped

if TYPE_CHECKING:
    from CRONOSLib.training.conclusion import FitResult
    from CRONOSLib.training.run_folder import RunStatus
    from CRONOSLib.training.settings import TrainSettings

_SAID_BY_THE_ERROR = ("failed", "stopped")
_DEFAULT = "cronos-continuous"
_WHAT, _HOW, _WHERE = "What is trained", "How it is trained", "Computer"


def train(
    cohort: Annotated[
        Path | None, typer.Option(help="Folder of a cohort, as `cronos prepare` or `cronos simulate` makes it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. One that was cut off goes on where it stopped.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Of `cronos methods`, one that needs a bundle; {_DEFAULT} unless given.", rich_help_panel=_WHAT
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Of `cronos methods`: its settings.", rich_help_panel=_WHAT)
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from", help="Fine-tune this bundle: a name of `cronos bundles`, or a folder.", rich_help_panel=_WHAT
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="How often the weights are improved; 1600 unless given.", rich_help_panel=_HOW)
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Patients per batch; auto: as many as fit into memory. 2 unless given.", rich_help_panel=_HOW
        ),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches per step; processes share them. 1 unless given.", rich_help_panel=_HOW)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same weights. 0 unless given.", rich_help_panel=_HOW)
    ] = None,
    single: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: any other setting; may be repeated.", rich_help_panel=_HOW),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON file with all of this, such as the run.json of an earlier run.", rich_help_panel=_HOW),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_WHERE)] = "auto",
    devices: Annotated[
        int, typer.Option(help="GPUs (or, on a CPU, processes) of this machine.", min=1, rich_help_panel=_WHERE)
    ] = 1,
) -> None:
    """Train a method on a cohort and save it as a bundle, with its skill on held-out patients.

    The folder of the run holds run.json (all settings), status.json, metrics.csv (curves), log.txt, checkpoints/, and
    in the end bundle/, which `cronos forecast --bundle`, `cronos evaluate --bundle` and the panel take.

    Ctrl-C, SIGTERM or a file named `stop` in that folder stop the run after a checkpoint. A run that was stopped or cut
    off, even by a power failure, goes on to the very same weights when the same command is given again.

    ```
    cronos train --cohort cohorts/mine --out runs/mine
    cronos train --cohort cohorts/mine --set preprocessing.grid.spacing_mm=4 --out runs/coarse
    cronos train --cohort cohorts/mine --from cronos-continuous-sim-glioma --out runs/tuned
    cronos train --config runs/mine/run.json --out runs/again    # the same run once more
    cronos train --cohort cohorts/mine --devices 4 --accumulate 4 --out runs/big    # GPUs
    srun cronos train --cohort cohorts/mine --accumulate 8 --out runs/big    # or torchrun
    ```

    run.json lists all settings. A file for --config needs only what differs: {"cohort": …, "method": …, "out": …,
    "settings": {"learning_rate": 0.0005, "augmentation": {"rotation": 10}}}
    """
    from CRONOSLib.packages import require

    words = {"steps": steps, "preset": preset, "seed": seed, "start_from": start_from, "accumulate": accumulate}
    given = {name: value for name, value in words.items() if value is not None}
    if batch is not None:
        given["batch_size"] = _batch_size(batch)
    require("torch", "lightning", "safetensors", purpose="Training")
    order = _order(cohort, method, out, _read(config), given, single or (), config)
    order.settings.check_shares(devices)
    if devices > 1 and "LOCAL_RANK" not in os.environ:
        from CRONOSLib.training.processes import launch

        launch(devices, "CRONOSLib.cli", sys.argv[1:])
        return
    _train(order, device)


@dataclass(frozen=True)
class _Order:
    cohort: Path
    method: str
    out: Path
    settings: TrainSettings


def _order(
    cohort: Path | None,
    method: str | None,
    out: Path | None,
    written: dict[str, Any],
    given: dict[str, Any],
    single: Sequence[str],
    file: Path | None,
) -> _Order:
    """What the words of the command say; where they are silent, the configuration file; then what suits the cohort."""
    from CRONOSLib.cohorts.usual_settings import read_usual_settings
    from CRONOSLib.commands.settings_words import with_words
    from CRONOSLib.training.settings import TrainSettings

    unknown = set(written) - {"cohort", "method", "out", "settings", "manifest_sha256", "start_from_sha256"}
    if unknown:
        raise MethodError(
            f"The configuration '{file}' has no '{sorted(unknown)[0]}'. It takes cohort, method, out and settings."
        )
    place = written.get("out") or (file.parent if file and file.name == "run.json" else None)
    cohort, out = cohort or written.get("cohort"), out or place
    if cohort is None or out is None:
        raise MethodError("A run needs a cohort and a folder. Give --cohort and --out, or a --config that names both.")
    known = {**read_usual_settings(Path(cohort)), **written.get("settings", {}), **given}
    settings = TrainSettings.from_json(with_words(known, single))
    return _Order(Path(cohort), method or written.get("method") or _method_of(settings), Path(out), settings)


def _method_of(settings: TrainSettings) -> str:
    """The method of the bundle to start from, or the default one."""
    from CRONOSLib.bundles.store import load_bundle

    return load_bundle(settings.start_from).method if settings.start_from else _DEFAULT


def _train(order: _Order, device: str) -> None:
    from CRONOSLib.training.fit import fit

    try:
        with progress() as tell:
            told = _Told(tell)
            result = fit(
                order.cohort,
                order.method,
                order.out,
                order.settings,
                device=device,
                on_status=told.status,
            )
    except TrainingStopped as stopped:
        say_error(stopped)
        raise typer.Exit(STOPPED) from stopped
    if result is not None:
        _show(result)


class _Told:
    """What a run says: a bar with what is going on, and every new sentence on a line of its own."""

    def __init__(self, tell: Callable[[str, float], None]) -> None:
        self._tell = tell
        self._said = ""

    def status(self, status: RunStatus) -> None:
        """About once a second."""
        self._tell(_line(status), status.fraction)
        if status.message != self._said and status.state.value not in _SAID_BY_THE_ERROR:
            self._said = status.message
            err.print(status.message, markup=False, soft_wrap=True)


def _line(status: RunStatus) -> str:
    parts = [status.state.value.capitalize()]
    if status.step:
        parts.append(f"step {status.step} of {status.steps}")
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4g}")
    if status.best_skill is not None:
        parts.append(f"best skill {status.best_skill:.3f}")
    if status.seconds_left is not None:
        parts.append(f"{_duration(status.seconds_left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _show(result: FitResult) -> None:
    made = table("Skill against LCI", "mean", "95 % CI", "patients")
    for name, skill in (
        ("validation", result.validation),
        ("test", result.test),
        ("test, where it changed most", result.test_changed),
    ):
        made.add_row(name, f"{skill.mean:.3f}", f"{skill.low:.3f} to {skill.high:.3f}", str(skill.patients))
    stdout.print(made)
    stdout.print(f"Bundle: {result.bundle.path}", markup=False, soft_wrap=True)


def _batch_size(words: str) -> int:
    if words == "auto":
        return 0
    if words.isdigit() and int(words):
        return int(words)
    raise MethodError(f"The batch size '{words}' is neither a number nor 'auto'. Give one of the two.")


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"The configuration '{file}' cannot be read as JSON ({error}). Correct the file.") from error
    if not isinstance(values, dict) or not isinstance(values.get("settings", {}), dict):
        raise MethodError(
            f'The configuration \'{file}\' holds no names and values. Write it as {{"settings": {{"steps": 4000}}}}.'
        )
    return values
