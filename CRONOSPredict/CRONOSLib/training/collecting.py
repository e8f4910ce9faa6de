"""From the patients found in a folder to a sealed cohort whose patients are prepared."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.manifest import COHORT_NAME, Cohort, Patient, read_cohort, write_cohort
from CRONOSLib.cohorts.parallel import each
from CRONOSLib.cohorts.readers.found import Skipped
from CRONOSLib.cohorts.readers.patients import FoundCohort, require_enough, with_several_visits
from CRONOSLib.cohorts.splits import SPLITS, USUAL_SHARES, Shares, complete_splits
from CRONOSLib.cohorts.usual_settings import write_usual_settings
from CRONOSLib.errors import CohortError, OutputError
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.training.examining import ExaminedPatient, examine, skipped_of
from CRONOSLib.training.patients import prepare_patients
from CRONOSLib.training.prepared_files import cache_of
from CRONOSLib.whole_file import write_whole_file

SKIPPED_NAME = "skipped.csv"

OnProgress = Callable[[str, float], None]
"""Told what is being done and the fraction done, in [0, 1]; it may raise to stop."""


@dataclass(frozen=True)
class CollectedCohort:
    """A cohort that was made or taken up again, and what is not part of it."""

    cohort: Cohort
    skipped: tuple[Skipped, ...]


def collect_cohort(
    found: FoundCohort,
    out: Path,
    *,
    seed: int = 0,
    shares: Shares = USUAL_SHARES,
    preprocessing: Preprocessing | None = None,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> CollectedCohort:
    """Make a cohort of patients that were found: read every scan, prepare the patients, split and seal them.

    Scans that cannot be read and patients without two usable ones are left out, with the reason, in `skipped.csv`
    beside the manifest; patients with one are trained on where `found` keeps them. Images stay where they are.
    Interrupted, it goes on where it stopped when called again in the same way; one call at a time works on `out`. The
    split is frozen with the manifest: a finished cohort does not change when patients are added to the folder, but it
    can be prepared in another way.

    found:         of `find_cohort`
    shares:        of the splits, where the data set has no official ones
    preprocessing: None: that of the layout
    jobs:          processes that share the work; the result does not depend on it

    Raises CohortError when fewer than three patients are usable, one scan stands for two patients, or `out` holds
    another cohort; OutputError when `out` cannot be written.
    """
    tell = on_progress or (lambda what, done: None)
    out = Path(out).absolute()
    preprocessing = preprocessing or found.layout.preprocessing
    recipe = _recipe(found, shares)
    if (out / COHORT_NAME).exists():
        made = _again(out, recipe, seed, preprocessing, jobs, tell)
        write_usual_settings(out, _usual_settings(preprocessing))
        return made
    cache = cache_of(out, preprocessing)
    _open_folder(out, cache)
    examined = _examine(found, cache, preprocessing, jobs, tell)
    usable = [one.patient for one in examined if one.patient]
    skipped = (*found.skipped, *(reason for one in examined for reason in one.skipped))
    require_enough(usable, skipped)
    several = with_several_visits(usable)
    splits = complete_splits({patient.subject: patient.split for patient in several}, seed, shares)
    patients = [Patient(patient.subject, splits.get(patient.subject, "train"), patient.visits) for patient in usable]
    generator = f"cronos prepare, layout {found.layout.name}"
    write_whole_file(out / SKIPPED_NAME, _skipped_table(skipped))
    write_usual_settings(out, _usual_settings(preprocessing))
    cohort = write_cohort(
        out, patients, name=out.name, unit=found.unit, generator=generator, parameters=recipe, seed=seed
    )
    return CollectedCohort(cohort, skipped)


def read_skipped(folder: Path) -> tuple[Skipped, ...]:
    """What is not part of the cohort in a folder; nothing where that was not written down."""
    path = folder / SKIPPED_NAME
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        return skipped_of(list(csv.reader(file))[1:])


def _recipe(found: FoundCohort, shares: Shares) -> dict[str, Any]:
    """What a cohort was made from; kept in `cohort.json`."""
    return {
        "source": str(found.folder),
        "layout": found.layout.name,
        "channel": found.channel,
        "shares": asdict(shares),
        **({"single_scans": True} if found.single_scans else {}),
    }


def _again(
    out: Path, recipe: dict[str, Any], seed: int, preprocessing: Preprocessing, jobs: int, tell: OnProgress
) -> CollectedCohort:
    """A finished cohort, its patients prepared where they are not."""
    cohort = read_cohort(out)
    if (dict(cohort.parameters), cohort.seed) != (recipe, seed):
        raise CohortError(
            f"'{out}' holds a cohort that was made from another folder or in another way. Choose another folder."
        )
    splits = [split for split in SPLITS if cohort.split(split)]
    for number, split in enumerate(splits):

        def told(done: float, before: int = number) -> None:
            tell("Preparing patients", (before + done) / len(splits))

        prepare_patients(cohort, split, preprocessing, told, jobs, single_scans=split == "train")
    return CollectedCohort(cohort, read_skipped(out))


def _open_folder(out: Path, cache: Path) -> None:
    """Make the folder, and clear away what a killed run left half-written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder '{out}' cannot be made. Choose another place for the cohort.") from error
    for leftover in cache.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _examine(
    found: FoundCohort, cache: Path, preprocessing: Preprocessing, jobs: int, tell: OnProgress
) -> list[ExaminedPatient]:
    examined: list[ExaminedPatient] = []
    count = len(found.patients)
    work = partial(examine, cache=cache, preprocessing=preprocessing, unit=found.unit, single_scans=found.single_scans)
    for one in each(work, found.patients, jobs):
        examined.append(one)
        tell(f"Reading and preparing patients, {len(examined)} of {count}", len(examined) / count)
    return examined


def _usual_settings(preprocessing: Preprocessing) -> dict[str, Any]:
    return {"preprocessing": preprocessing.to_json(), "align_cohort": True}


def _skipped_table(skipped: Sequence[Skipped]) -> str:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["subject", "path", "reason"])
    table.writerows([one.subject, one.path or "", one.reason] for one in skipped)
    return buffer.getvalue()
