"""`cronos evaluate`: a method on the held-out patients of a cohort."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import progress, table
from CRONOSLib.errors import OutputError

if TYPE_CHECKING:
    from CRONOSLib.bundles.bundle import Bundle
    from CRONOSLib.training.held_out import DrawResult
    from CRONOSLib.training.settings import TrainSettings

_BASELINES = ("mean", "linear", "ridge")


def evaluate(
    cohort: Annotated[Path, typer.Option(help="Folder of a cohort.")],
    bundle: Annotated[str | None, typer.Option(help="Trained model: a name of `cronos bundles`, or a folder.")] = None,
    method: Annotated[str | None, typer.Option(help="A method that needs no bundle.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="CSV file with one row per forecast.")] = None,
) -> None:
    """Measure a method against copying the last scan, on patients that training never saw."""
    from CRONOSLib.bundles.store import default_bundle, load_bundle
    from CRONOSLib.packages import require

    if out is not None:
        _check_file(out)
    require("torch", purpose="Evaluating")
    from CRONOSLib.cohorts.manifest import read_cohort
    from CRONOSLib.forecasting.choice import MethodChoice
    from CRONOSLib.forecasting.devices import choose_device
    from CRONOSLib.training.held_out import evaluate as measure
    from CRONOSLib.training.patients import prepare_patients

    where = choose_device(device)
    trained = load_bundle(bundle) if bundle else None if method else default_bundle()
    choices = [MethodChoice.of(method, trained, scans=2)]
    choices += [MethodChoice(name, None) for name in _BASELINES if name != choices[0].name]
    settings = _settings(trained)
    results: dict[str, list[DrawResult]] = {}
    with progress() as tell:
        patients = prepare_patients(
            read_cohort(cohort),
            split,
            settings.cohort_preprocessing(),
            on_step=lambda done: tell("Preparing the patients", 0.3 * done),
        )
        for number, choice in enumerate(choices):
            tell(f"Measuring {choice.name}", 0.3 + 0.7 * number / len(choices))
            exact = settings if choice.bundle else replace(settings, precision="32-true")
            results[choice.name] = measure(choice.load(where), patients, exact, device=where)
    _show(results, split)
    if out is not None:
        _write(out, results[choices[0].name])


def _settings(bundle: Bundle | None) -> TrainSettings:
    """The bundle's way of preparing patients, or the default one."""
    from CRONOSLib.training.settings import TrainSettings

    if bundle is None:
        return TrainSettings()
    return TrainSettings(
        preprocessing=bundle.preprocessing, time_scale=bundle.time_scale, max_context=bundle.max_contexts
    )


def _show(results: dict[str, list[DrawResult]], split: str) -> None:
    from CRONOSLib.training.held_out import skill_of

    made = table("Skill against LCI", "mean", "95 % CI", "where it changed most", "patients", "forecasts")
    for name, rows in results.items():
        whole, changed = skill_of(rows, split), skill_of(rows, split, changed=True)
        style = "bold green" if whole.low > 0 else "bold red" if whole.high < 0 else ""
        made.add_row(
            name,
            Text(f"{whole.mean:.3f}", style=style),
            f"{whole.low:.3f} to {whole.high:.3f}",
            f"{changed.mean:.3f}",
            str(whole.patients),
            str(len(rows)),
        )
    stdout.print(made)


def _check_file(path: Path) -> None:
    if path.is_dir() or not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"'{path}' cannot be written. Give a file in a folder that exists.")


def _write(path: Path, rows: list[DrawResult]) -> None:
    """Beside, then renamed."""
    from CRONOSLib.training.held_out import write_results

    beside = path.with_name(f".{path.name}.part")
    try:
        write_results(beside, rows)
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written ({error.strerror}). Give another file.") from error
    finally:
        beside.unlink(missing_ok=True)
