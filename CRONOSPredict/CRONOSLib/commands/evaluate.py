"""`cronos evaluate`: a method on the held-out patients of a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import progress, table
from CRONOSLib.errors import CohortError
from CRONOSLib.whole_folder import check_writable, whole_folder

if TYPE_CHECKING:
    import torch

    from CRONOSLib.bundles.bundle import Bundle
    from CRONOSLib.bundles.calibration import Calibration
    from CRONOSLib.cohorts.manifest import Cohort
    from CRONOSLib.methods.interface import Method
    from CRONOSLib.training.assessment import Assessment
    from CRONOSLib.training.patients import PreparedPatient
    from CRONOSLib.training.settings import TrainSettings

_MARKER = "skill.csv"


def evaluate(
    cohort: Annotated[Path, typer.Option(help="Folder of a cohort.")],
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Trained model: a name of `cronos bundles`, or a folder such as runs/mine/bundle; the best "
            "that comes with CRONOS unless given."
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Instead of a bundle: one of `cronos methods` that needs none, such as linear.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Whose patients: train, validation or test. Test ones took no part in training.")
    ] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for results.csv, skill.csv, card.md, gallery.png.")] = None,
    last_visit: Annotated[
        bool, typer.Option("--last-visit", help="One forecast per patient, of the last visit from all before it.")
    ] = False,
    further: Annotated[
        bool, typer.Option("--further", help="Also SSIM, correlation of change, AUROC, edges and sharpness.")
    ] = False,
    update_bundle: Annotated[
        bool,
        typer.Option(
            "--update-bundle", help="Calibrate on the validation patients, and write skill and card into the bundle."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier result in --out.")] = False,
) -> None:
    """Measure a method on held-out patients, beside copying the last scan, their mean, a line and a ridge line.

    Every patient is forecast again and again, from the first k scans: the next one and the last one. Skill is
    1 − MSE/MSE of copying the last scan: 0 is copying, 1 is perfect, below 0 is worse. Shown are its mean and 95 %
    interval over patients, by horizon and by number of scans, and how often the range of a bundle held the truth.

    ```
    cronos evaluate --cohort cohorts/mine --bundle runs/mine/bundle --out evaluation
    cronos evaluate --cohort cohorts/mine --method linear --last-visit
    ```
    """
    from CRONOSLib.bundles.store import default_bundle, load_bundle
    from CRONOSLib.packages import require

    if out is not None:
        check_writable(out, _MARKER, replace=force)
    require("torch", purpose="Evaluating")
    from CRONOSLib.cohorts.manifest import read_cohort
    from CRONOSLib.training.assessment import write_assessment

    trained = load_bundle(bundle) if bundle else None if method else default_bundle()
    patients = read_cohort(cohort)
    if update_bundle:
        _check_update(trained, patients, split)
    assessment = _assess(
        patients, trained, method, split, device, last_visit=last_visit, further=further, calibrate=update_bundle
    )
    _show(assessment)
    if out is not None:
        with whole_folder(out, _MARKER, replace=force) as fresh:
            write_assessment(fresh, assessment)
            (fresh / "card.md").write_text(assessment.text + "\n", encoding="utf-8")
    if update_bundle and trained is not None:
        from CRONOSLib.bundles.store import redescribe_bundle

        measured = replace(trained, skill=assessment.skill, calibration=assessment.calibration)
        stdout.print(f"Updated {redescribe_bundle(measured, assessment.for_card).path}", markup=False, soft_wrap=True)


def _check_update(bundle: Bundle | None, cohort: Cohort, split: str) -> None:
    """A card states what holds for patients that training never saw; only the bundle's own cohort says who they are."""
    if bundle is None:
        raise CohortError("Only a bundle has a card to write. Give one with --bundle.")
    if split != "test":
        raise CohortError("A card states the skill on the test patients. Leave --split out.")
    if bundle.training.get("manifest_sha256") != cohort.manifest_sha256:
        raise CohortError(
            f"Bundle '{bundle.name}' was not trained on this cohort, so its test patients may have been trained on. "
            "Give the cohort that its card names."
        )


def _assess(
    cohort: Cohort,
    bundle: Bundle | None,
    method: str | None,
    split: str,
    device: str,
    *,
    last_visit: bool,
    further: bool,
    calibrate: bool,
) -> Assessment:
    from CRONOSLib.forecasting.choice import MethodChoice
    from CRONOSLib.forecasting.devices import choose_device
    from CRONOSLib.training.assessment import assess
    from CRONOSLib.training.patients import prepare_patients

    where = choose_device(device)
    choice = MethodChoice.of(method, bundle, scans=2)
    settings = _settings(bundle, cohort, every_draw=not last_visit)
    model = choice.load(where)
    calibration = bundle.calibration if bundle else None
    with progress() as tell:

        def prepared(name: str) -> list[PreparedPatient]:
            return prepare_patients(
                cohort, name, settings.cohort_preprocessing(), lambda done: tell(f"Preparing {name} patients", done)
            )

        if calibrate:
            calibration = _calibration(
                model, prepared("validation"), settings, where, lambda done: tell("Calibrating", done)
            )
        return assess(
            choice.name,
            model,
            prepared(split),
            settings,
            split=split,
            unit=cohort.unit,
            calibration=calibration,
            device=where,
            further=further,
            on_progress=tell,
        )


def _calibration(
    model: Method,
    patients: Sequence[PreparedPatient],
    settings: TrainSettings,
    device: torch.device,
    on_patient: Callable[[float], None],
) -> Calibration | None:
    """Ranges from the validation patients."""
    from CRONOSLib.evaluation.calibration import calibrate
    from CRONOSLib.training.held_out import evaluate as measure

    results = measure(model, patients, settings, every_draw=settings.every_draw, device=device, on_patient=on_patient)
    return calibrate(results)


def _settings(bundle: Bundle | None, cohort: Cohort, *, every_draw: bool) -> TrainSettings:
    """The bundle's way of preparing patients, or the default one in full precision."""
    from CRONOSLib.training.settings import TrainSettings
    from CRONOSLib.training.time_scale import time_scale_of

    if bundle is None:
        return TrainSettings(time_scale=time_scale_of(cohort), every_draw=every_draw, precision="32-true")
    return TrainSettings(
        preprocessing=bundle.preprocessing,
        time_scale=bundle.time_scale,
        max_context=bundle.max_contexts,
        every_draw=every_draw,
    )


def _show(assessment: Assessment) -> None:
    from CRONOSLib.evaluation.card_sections import against_baselines, by_group, ranges

    rows, calibration = assessment.table, assessment.calibration
    tables = [against_baselines(rows), by_group("horizon", rows), by_group("contexts", rows)]
    for heading, *cells in [*tables, ranges(calibration)] if calibration else tables:
        made = table(*heading)
        for line in cells:
            made.add_row(*line)
        stdout.print(made)
        stdout.print()
