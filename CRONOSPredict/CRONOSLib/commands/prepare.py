"""`cronos prepare`: a folder of patients in, a cohort to train on out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import progress, table
from CRONOSLib.errors import CohortError

if TYPE_CHECKING:
    from CRONOSLib.cohorts.readers.found import Skipped
    from CRONOSLib.cohorts.readers.patients import FoundCohort
    from CRONOSLib.cohorts.splits import Shares
    from CRONOSLib.imaging.preparation import Preprocessing
    from CRONOSLib.training.collecting import CollectedCohort

_MOST_REASONS = 12
_WHO, _GRID = "Which patients and scans", "How they are prepared"


def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the patients.")],
    out: Annotated[Path, typer.Option(help="Folder of the cohort; an interrupted one is continued.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what was found; write nothing.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes to share the work.", min=1)] = 1,
    layout: Annotated[
        str,
        typer.Option(
            help="How the folder is laid out: acdc, isles, lumiere, adni, oasis, bids, folders (a folder for each "
            "patient, dates in names) or dicom; auto recognises it.",
            rich_help_panel=_WHO,
        ),
    ] = "auto",
    channel: Annotated[
        str | None,
        typer.Option(
            help="Kind of scan to take where there are several, such as CT1, T1w or a series description; "
            "the usual one of the data set, else that of most patients, unless given.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    single_scans: Annotated[
        bool,
        typer.Option(
            "--single-scans",
            help="Keep patients with one scan, too. They are trained on when the augmentation 'synthetic' is above 0.",
            rich_help_panel=_WHO,
        ),
    ] = False,
    split: Annotated[
        str,
        typer.Option(
            help="Percent of the patients to train, to validate and to test, where no split is official.",
            rich_help_panel=_WHO,
        ),
    ] = "70/15/15",
    seed: Annotated[int, typer.Option(help="The same seed splits the same patients alike.", rich_help_panel=_WHO)] = 0,
    align: Annotated[
        str | None,
        typer.Option(
            help="How a patient's scans are brought onto the last one: off, rigid or affine; "
            "rigid unless given, off for frames of one examination.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Edge of a voxel in mm; 3 unless given, or --size.", rich_help_panel=_GRID)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Stretch every scan to this many voxels along x, y, z, such as 96x96x64; the "
            "published one for acdc and isles unless given.",
            rich_help_panel=_GRID,
        ),
    ] = None,
) -> None:
    """Make a cohort for training from a folder of patients.

    Says what was found, and what cannot be used and why; splits the rest by patient; aligns, resamples and normalises
    it. Your own files stay where they are.

    OUT then holds manifest.tsv (which scan of which patient, when, in which split) sealed by cohort.json, skipped.csv,
    the prepared patients, and train.json, which tells `cronos train` how they were prepared.

    ```
    cronos prepare patients --out cohorts/mine --dry-run    # look first
    cronos prepare patients --out cohorts/mine --jobs 4
    cronos prepare ACDC/database --out cohorts/acdc    # docs/cohorts.md: each data set
    ```
    """
    from CRONOSLib.cohorts.readers.registry import find_cohort
    from CRONOSLib.training.collecting import collect_cohort

    shares = _shares(split)
    with progress() as tell:
        tell("Looking for patients", 0.0)
        found = find_cohort(folder, layout, channel, single_scans=single_scans)
    _show_found(found)
    preprocessing = _preprocessing(found.layout.preprocessing, align, spacing, size)
    if dry_run:
        _show_skipped(found.skipped)
        return
    with progress() as tell:
        made = collect_cohort(
            found, out, seed=seed, shares=shares, preprocessing=preprocessing, jobs=jobs, on_progress=tell
        )
    _show_skipped(made.skipped)
    _show_made(made, out)


def _shares(text: str) -> Shares:
    from CRONOSLib.cohorts.splits import Shares

    try:
        train, validation, test = (float(part) / 100 for part in text.split("/"))
    except ValueError:
        raise CohortError(f"'{text}' is not a split. Give three percentages, such as 70/15/15.") from None
    return Shares(train, validation, test)


def _preprocessing(usual: Preprocessing, align: str | None, spacing: float | None, size: str | None) -> Preprocessing:
    """The usual preprocessing of a layout with what the user asked for."""
    from CRONOSLib.imaging.grid import GridSpec
    from CRONOSLib.imaging.registration import Alignment

    if align is not None:
        if align not in {kind.value for kind in Alignment}:
            raise CohortError(f"There is no alignment '{align}'. Choose off, rigid or affine.")
        usual = replace(usual, alignment=Alignment(align))
    if spacing is not None and size is not None:
        raise CohortError("A spacing and a size exclude each other. Give one of them.")
    if spacing is not None:
        usual = replace(usual, grid=GridSpec(spacing_mm=spacing))
    if size is not None:
        usual = replace(usual, grid=GridSpec(stretch_to=_size(size)))
    return usual


def _size(text: str) -> tuple[int, int, int]:
    try:
        x, y, z = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise CohortError(f"'{text}' is not a size. Give three numbers of voxels, such as 96x96x64.") from None
    return x, y, z


def _show_found(found: FoundCohort) -> None:
    visits = sum(len(patient.visits) for patient in found.patients)
    stdout.print(f"Layout: {found.layout.title}", markup=False)
    stdout.print(f"Found:  {len(found.patients)} patients with {visits} scans", markup=False)
    if len(found.channels) > 1:
        counted = ", ".join(f"{name or 'unnamed'} ({count})" for name, count in sorted(found.channels.items()))
        stdout.print(f"Channel: {found.channel or 'unnamed'}; of {counted} patients", markup=False)


def _show_skipped(skipped: tuple[Skipped, ...]) -> None:
    if not skipped:
        return
    from CRONOSLib.cohorts.readers.found import by_reason

    reasons = by_reason(skipped)
    made = table("times", "left out because", "for example", title="Left out")
    for reason, count, one in reasons[:_MOST_REASONS]:
        made.add_row(str(count), reason, f"{one.subject} {one.path.name if one.path else ''}")
    stdout.print(made)
    if len(reasons) > _MOST_REASONS:
        stdout.print(f"… and {len(reasons) - _MOST_REASONS} more reasons.", markup=False)


def _show_made(made: CollectedCohort, out: Path) -> None:
    rows = table("Split", "patients", "scans")
    for split in ("train", "validation", "test"):
        patients = made.cohort.split(split)
        rows.add_row(split, str(len(patients)), str(sum(len(patient.visits) for patient in patients)))
    stdout.print(rows)
    stdout.print(
        f"Train on it: cronos train --cohort {out} --out runs/{out.name}",
        markup=False,
        soft_wrap=True,
    )
