"""A cohort of simulated patients on disk, whatever is simulated: resumable, in parallel, split by patient."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from CRONOSLib.cohorts.manifest import Cohort, Patient, Visit, write_cohort
from CRONOSLib.cohorts.parallel import each
from CRONOSLib.cohorts.simulators.fields import one_thread
from CRONOSLib.cohorts.splits import draw_splits
from CRONOSLib.cohorts.usual_settings import write_usual_settings
from CRONOSLib.errors import CohortError, OutputError
from CRONOSLib.series import TimeUnit

TRUTH = "truth"
"""Folder of a patient that holds what no scan shows."""
_PATIENT_NAME = "patient.json"


@dataclass(frozen=True)
class Simulator:
    """One kind of simulated patients; its functions belong to modules, so that processes can share it.

    generator: name and version
    unit:      of the visits' times
    settings:  maker of the default settings, a dataclass
    simulate:  (seed, settings, device) to a patient; the same seed gives the same voxels on the CPU
    write:     (patient, folder): scans to the folder, truth to its `truth`; returns the JSON-ready facts "visits",
               one entry per scan, and "parameters"
    visit:     an entry of "visits" to a visit with paths inside the patient's folder
    usual:     fields of `TrainSettings` that suit its patients, where they differ from the defaults
    """

    generator: str
    unit: TimeUnit
    settings: Callable[[], Any]
    simulate: Callable[[tuple[int, int], Any, str], Any]
    write: Callable[[Any, Path], dict[str, Any]]
    visit: Callable[[Mapping[str, Any]], Visit]
    usual: Mapping[str, Any] = field(default_factory=dict)


def simulate_cohort(
    simulator: Simulator,
    out: Path,
    patients: int,
    seed: int,
    settings: Any = None,
    device: str = "cpu",
    jobs: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Write `patients` simulated patients to the folder `out`; patients that are already there are kept.

    Every patient is written beside and then renamed, so that an interrupted run can be repeated. Same seed and
    settings give the same bytes on the CPU, whatever the number of jobs.

    settings:    of the simulator; None takes its defaults
    jobs:        processes, each with one thread
    on_progress: called with (patients done, patients in all), in the order of the patients

    Raises CohortError when `out` holds a patient of another seed or other settings, or as `each`, OutputError when it
    cannot be written, MissingPackageError when the simulator lacks a package.
    """
    settings = simulator.settings() if settings is None else settings
    out = Path(out).absolute()
    if patients < 1:
        raise CohortError(f"A cohort of {patients} patients cannot be simulated. Ask for at least one.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made. Choose another place for the cohort.") from error
    recipe = _recipe(simulator, seed, settings)
    missing = [index for index in range(patients) if not _is_there(out, index, recipe)]
    make = partial(
        _make_patient, simulator=simulator, out=out, seed=seed, settings=settings, device=device, recipe=recipe
    )
    for done, _ in enumerate(each(make, missing, jobs), start=patients - len(missing) + 1):
        if on_progress:
            on_progress(done, patients)
    splits = draw_splits(patients, seed)
    if simulator.usual:
        write_usual_settings(out, simulator.usual)
    return write_cohort(
        out,
        [_listed_patient(simulator, _folder(out, index), split) for index, split in enumerate(splits)],
        name=out.name,
        unit=simulator.unit,
        generator=simulator.generator,
        parameters=asdict(settings),
        seed=seed,
    )


def write_image(image: sitk.Image, path: Path) -> None:
    """Write `image`, compressed."""
    sitk.WriteImage(image, os.fspath(path), useCompression=True)


def frame_name(number: int) -> str:
    """File name of the frame `number`, from 0, of a series without dates."""
    return f"frame-{number + 1:02d}.nrrd"


def _make_patient(
    index: int, *, simulator: Simulator, out: Path, seed: int, settings: Any, device: str, recipe: str
) -> None:
    with one_thread():
        patient = simulator.simulate((seed, index), settings, device)
    try:
        _write(simulator, patient, _folder(out, index), recipe)
    except (OSError, RuntimeError) as error:  # SimpleITK tells of a full disk by a RuntimeError
        raise OutputError(
            f"{_folder(out, index)} cannot be written. Make sure that there is space, that the folder is yours and "
            "that no other run writes to it; then give the same command again."
        ) from error


def _write(simulator: Simulator, patient: Any, folder: Path, recipe: str) -> None:
    """All or nothing: beside, then renamed."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / TRUTH).mkdir(parents=True)
    record = {"recipe": recipe, **simulator.write(patient, beside)}
    (beside / TRUTH / _PATIENT_NAME).write_bytes((json.dumps(record, indent=2) + "\n").encode())
    beside.rename(folder)


def _recipe(simulator: Simulator, seed: int, settings: Any) -> str:
    """Digest of all that decides a patient's voxels besides the patient's number."""
    text = json.dumps([simulator.generator, seed, asdict(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_there(out: Path, index: int, recipe: str) -> bool:
    folder = _folder(out, index)
    if not folder.exists():
        return False
    if _record(folder).get("recipe") != recipe:
        raise CohortError(f"{folder} was made with another seed or other settings. Choose an empty folder.")
    return True


def _listed_patient(simulator: Simulator, folder: Path, split: str) -> Patient:
    visits = (simulator.visit(entry) for entry in _record(folder)["visits"])
    return Patient(folder.name, split, tuple(_inside(folder, visit) for visit in visits))


def _inside(folder: Path, visit: Visit) -> Visit:
    return replace(visit, path=folder / visit.path, mask=folder / visit.mask if visit.mask else None)


def _record(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / TRUTH / _PATIENT_NAME).read_bytes())
    except (OSError, json.JSONDecodeError) as error:
        raise CohortError(f"{folder} is not a simulated patient. Choose an empty folder for the cohort.") from error


def _folder(out: Path, index: int) -> Path:
    return out / f"sub-{index + 1:04d}"
