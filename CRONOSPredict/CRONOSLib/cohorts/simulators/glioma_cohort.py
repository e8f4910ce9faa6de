"""A cohort of simulated glioma patients on disk."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.cohorts.manifest import Cohort, Patient, Visit, write_cohort
from CRONOSLib.cohorts.simulators.fields import one_thread
from CRONOSLib.cohorts.simulators.glioma import SimulatedPatient, simulate_glioma_patient
from CRONOSLib.cohorts.simulators.settings import GliomaSettings
from CRONOSLib.cohorts.splits import draw_splits
from CRONOSLib.errors import CohortError, OutputError
from CRONOSLib.series import TimeUnit

GENERATOR = "cronos simulate glioma, version 1"
_PATIENT_NAME = "patient.json"


def simulate_glioma_cohort(
    out: Path,
    patients: int,
    seed: int,
    settings: GliomaSettings | None = None,
    device: str = "cpu",
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Write `patients` simulated gliomas to the folder `out`; patients that are already there are kept.

    Every patient is written beside and then renamed, so that an interrupted run can be repeated. Same seed and
    settings give the same bytes on the CPU, whatever the number of workers.

    workers:     processes, each with one thread
    on_progress: called with (patients done, patients in all)

    Raises CohortError when `out` holds a patient of another seed or other settings, OutputError when it cannot be
    written, MissingPackageError without nilearn.
    """
    settings = settings or GliomaSettings()
    out = Path(out).absolute()
    if patients < 1:
        raise CohortError(f"A cohort of {patients} patients cannot be simulated. Ask for at least one.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made. Choose another place for the cohort.") from error
    recipe = _recipe(seed, settings)
    missing = [index for index in range(patients) if not _is_there(out, index, recipe)]
    make = partial(_make_patient, out=out, seed=seed, settings=settings, device=device, recipe=recipe)
    for done, _ in enumerate(_each(missing, workers, make), start=patients - len(missing) + 1):
        if on_progress:
            on_progress(done, patients)
    splits = draw_splits(patients, seed)
    listed = [_listed_patient(out, index, split) for index, split in enumerate(splits)]
    return write_cohort(
        out, listed, name=out.name, unit=TimeUnit.DAY, generator=GENERATOR, parameters=asdict(settings), seed=seed
    )


def write_patient(folder: Path, patient: SimulatedPatient, recipe: str = "") -> None:
    """Write the scans to `folder`, the truth to `folder/truth`, all or nothing."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    truth = beside / "truth"
    truth.mkdir(parents=True)
    for visit in patient.visits:
        day = visit.date.date().isoformat()
        write_image(visit.scan, beside / scan_name(day))
        write_image(visit.density, truth / f"{day}_density.nrrd")
        write_image(visit.labels, truth / f"{day}_labels.nrrd")
        if visit.clean is not None:
            write_image(visit.clean, truth / f"{day}_clean.nrrd")
    write_volumes(patient, truth / "volumes.tsv")
    record = {
        "recipe": recipe,
        "visits": [{"day": visit.day, "date": visit.date.date().isoformat()} for visit in patient.visits],
        "parameters": patient.parameters,
    }
    (truth / _PATIENT_NAME).write_bytes((json.dumps(record, indent=2) + "\n").encode())
    beside.rename(folder)


def write_volumes(patient: SimulatedPatient, path: Path) -> None:
    """Write the volumes of the tumour's regions in ml, one line per visit."""
    lines = ["date\tday\tnecrosis_ml\toedema_ml\tenhancing_ml"]
    for visit in patient.visits:
        volumes = "\t".join(f"{visit.volumes_ml[name]:.3f}" for name in ("necrosis", "oedema", "enhancing"))
        lines.append(f"{visit.date.date().isoformat()}\t{visit.day}\t{volumes}")
    path.write_bytes(("\n".join(lines) + "\n").encode())


def write_image(image: sitk.Image, path: Path) -> None:
    """Write `image`, compressed."""
    sitk.WriteImage(image, os.fspath(path), useCompression=True)


def scan_name(date: str) -> str:
    """File name of the scan of an ISO date."""
    return f"{date}_T1Gd.nrrd"


def _make_patient(index: int, *, out: Path, seed: int, settings: GliomaSettings, device: str, recipe: str) -> None:
    with one_thread():
        patient = simulate_glioma_patient((seed, index), settings, device)
    write_patient(_folder(out, index), patient, recipe)


def _each(indices: list[int], workers: int, make: Callable[[int], None]) -> Iterator[int]:
    """Make the patients, yielding the number of each when it is done."""
    if workers <= 1:
        for index in indices:
            make(index)
            yield index
        return
    context = multiprocessing.get_context("spawn")  # a forked torch may hang in its thread pool
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = {pool.submit(make, index): index for index in indices}
        for future in as_completed(running):
            future.result()
            yield running[future]


def _recipe(seed: int, settings: GliomaSettings) -> str:
    """Digest of all that decides a patient's voxels besides the patient's number."""
    text = json.dumps([GENERATOR, seed, asdict(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_there(out: Path, index: int, recipe: str) -> bool:
    folder = _folder(out, index)
    if not folder.exists():
        return False
    if _record(folder).get("recipe") != recipe:
        raise CohortError(f"{folder} was made with another seed or other settings. Choose an empty folder.")
    return True


def _listed_patient(out: Path, index: int, split: str) -> Patient:
    folder = _folder(out, index)
    visits = tuple(
        Visit(float(visit["day"]), folder / scan_name(visit["date"]), date.fromisoformat(visit["date"]))
        for visit in _record(folder)["visits"]
    )
    return Patient(folder.name, split, visits)


def _record(folder: Path) -> dict:
    try:
        return json.loads((folder / "truth" / _PATIENT_NAME).read_bytes())
    except (OSError, json.JSONDecodeError) as error:
        raise CohortError(f"{folder} is not a simulated patient. Choose an empty folder for the cohort.") from error


def _folder(out: Path, index: int) -> Path:
    return out / f"sub-{index + 1:04d}"
