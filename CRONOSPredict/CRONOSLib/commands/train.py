"""`cronos train`: a cohort in, a bundle out."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import table
from CRONOSLib.errors import MethodError

if TYPE_CHECKING:
    from CRONOSLib.training.settings import TrainSettings


def train(
    cohort: Annotated[Path, typer.Option(help="Folder of a cohort, such as `cronos simulate` makes.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was cut off is resumed.")],
    method: Annotated[str, typer.Option(help="A name of `cronos methods` that needs a bundle.")] = "cronos-continuous",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    preset: Annotated[str | None, typer.Option(help="A preset of `cronos methods`.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and draws.")] = None,
    settings: Annotated[Path | None, typer.Option(help="JSON file with more settings of the run.")] = None,
) -> None:
    """Train a method on a cohort and save it as a bundle, with its skill on held-out patients."""
    from CRONOSLib.packages import require

    chosen = {"steps": steps, "preset": preset, "seed": seed}
    given = {name: value for name, value in chosen.items() if value is not None}
    require("torch", "lightning", "safetensors", purpose="Training")
    from CRONOSLib.training.fit import fit
    from CRONOSLib.training.settings import TrainSettings

    run = TrainSettings.from_json({**_read(settings), **given})
    result = fit(cohort, method, out, run, command=_command(cohort.resolve().name, method, run, settings))
    made = table("Skill against LCI", "mean", "95 % CI", "patients")
    for name, skill in (
        ("validation", result.validation),
        ("test", result.test),
        ("test, where it changed most", result.test_changed),
    ):
        made.add_row(name, f"{skill.mean:.3f}", f"{skill.low:.3f} to {skill.high:.3f}", str(skill.patients))
    stdout.print(made)
    stdout.print(f"Bundle: {result.bundle.path}", markup=False, soft_wrap=True)


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"The settings '{file}' cannot be read as JSON ({error}). Correct the file.") from error
    if not isinstance(values, dict):
        raise MethodError(f"The settings '{file}' hold no names and values. Write them as {{\"steps\": 4000}}.")
    return values


def _command(cohort: str, method: str, run: TrainSettings, settings: Path | None) -> str:
    """What to type to train the same bundle again, without the folders of this machine."""
    words = ["cronos", "train", "--cohort", cohort, "--method", method, "--steps", str(run.steps)]
    words += ["--preset", run.preset, "--seed", str(run.seed), "--out", f"runs/{method}"]
    return shlex.join(words + (["--settings", settings.name] if settings else []))
