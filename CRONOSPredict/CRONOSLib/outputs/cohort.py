"""A forecast for every patient of a manifest: resumable, spread over processes, one row per patient."""

from __future__ import annotations

import json
import logging
import multiprocessing
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import chosen_bundle
from CRONOSLib.cohorts.parallel import end_with_parent
from CRONOSLib.errors import CronosError, MissingPackageError, OutputError, SeriesError, WorkerError
from CRONOSLib.evaluation.comparison import compare
from CRONOSLib.forecast import ForecastOptions, forecast
from CRONOSLib.forecasting.kept import Kept
from CRONOSLib.forecasting.times import target_time
from CRONOSLib.imaging.manifests import ManifestRow, read_manifest
from CRONOSLib.imaging.sources import Source, read_series
from CRONOSLib.outputs.cohort_table import (
    DONE,
    TABLE,
    PatientRow,
    forget_failure,
    note_failure,
    row_of,
    write_table,
)
from CRONOSLib.outputs.folder import SceneWriter, write_results
from CRONOSLib.packages import require
from CRONOSLib.series import LongitudinalSeries, TimeUnit
from CRONOSLib.whole_file import write_shared_file

_log = logging.getLogger(__name__)

RECORD = "cohort.json"
"""Marks a folder as a cohort forecast and says with which settings."""

OnPatient = Callable[[PatientRow, float], None]
"""Told each patient's row when it is there, and the fraction done; it may raise to stop."""


@dataclass(frozen=True)
class CohortRequest:
    """What is to be forecast of every patient.

    manifest: table of scans as `read_manifest` reads it; its column `target` says what to forecast of each patient
    bundle:   name or folder of a trained model; None: the best that comes with CRONOS, unless `method` needs none
    unit:     of plain numbers in the columns `time` and `target`
    days:     target of patients without one: this many days after their last scan, or before it when negative
    hold_out: use only the scans before the target, by default the last scan, and compare with the one taken at it
    """

    manifest: Path
    bundle: str | Path | None = None
    method: str | None = None
    options: ForecastOptions = field(default_factory=ForecastOptions)
    unit: TimeUnit | None = None
    days: float | None = None
    hold_out: bool = False


def forecast_cohort(
    request: CohortRequest,
    out: Path,
    *,
    jobs: int = 1,
    force: bool = False,
    scene_writer: SceneWriter | None = None,
    on_patient: OnPatient | None = None,
) -> tuple[PatientRow, ...]:
    """Forecast the patients of a manifest that are not there yet, and write results.csv with one row for each.

    Every patient gets a folder as `write_results` leaves it, complete or not at all, so that a run that was cut off
    goes on when it is started again. What cannot be forecast becomes a row with the sentence that says why; the run
    goes on, and tries it again next time. Under torchrun or SLURM each process takes every n-th patient.

    out:  folder of the table and of the patients' folders
    jobs: processes on this machine; each holds the model once. GPUs are dealt out to them.
    force: forecast all anew

    Returns the rows of all patients. Raises SeriesError for a manifest that cannot be used, BundleError and MethodError
    for a model that cannot, OutputError when `out` holds something else or another run's forecasts or cannot be
    written, MissingPackageError, WorkerError when a process ends before its patients are done.
    """
    require("torch", purpose="Forecasting")
    from CRONOSLib.training.processes import Processes

    patients = _patients(request.manifest)
    _claim(out, request, chosen_bundle(request.bundle, request.method), force)
    processes = Processes.of_environment()
    rows = {subject: row_of(subject, out / name) for subject, name in patients.items()}
    mine = [subject for subject in processes.share(list(patients)) if force or rows[subject].outcome != DONE]
    tasks = [_Task(request, subject, out / patients[subject], force, scene_writer) for subject in mine]
    for number, (task, row) in enumerate(_done(tasks, jobs, processes.local), start=1):
        rows[task.subject] = row
        write_table(out / TABLE, list(rows.values()))
        if on_patient:
            on_patient(row, number / len(tasks))
    return _settled(out, patients)


@dataclass(frozen=True)
class _Task:
    """One patient, as another process can be told of it."""

    request: CohortRequest
    subject: str
    folder: Path
    force: bool
    scene_writer: SceneWriter | None


def _patients(manifest: Path) -> dict[str, str]:
    """Subjects of a manifest in its order, and the names of their folders."""
    subjects = dict.fromkeys(row.subject or "patient" for row in read_manifest(manifest))
    names = {subject: re.sub(r"[^\w.-]+", "_", subject).strip(".") or "_" for subject in subjects}
    if len({name.lower() for name in names.values()}) < len(names):
        raise SeriesError(f"Two subjects of '{manifest.name}' make the same folder name. Rename one of them.")
    return names


def _claim(out: Path, request: CohortRequest, bundle: Bundle | None, force: bool) -> None:
    """Write cohort.json, or make sure that the folder belongs to forecasts of the same settings."""
    settings = {
        **asdict(request),
        "options": asdict(replace(request.options, device="auto")),
        "manifest": request.manifest.name,
        "bundle": bundle.name if bundle else None,
        "weights_sha256": bundle.weights_sha256 if bundle else None,
    }
    text = json.dumps(settings, indent=2, default=_plain) + "\n"
    record = out / RECORD
    if record.is_file():
        if record.read_text("utf-8") != text and not force:
            raise OutputError(
                f"'{out}' holds forecasts with other settings. Give another folder, or replace them (--force)."
            )
    elif out.exists() and not (out.is_dir() and all(path.name.startswith(".") for path in out.iterdir())):
        raise OutputError(f"Folder '{out}' holds other files and is left alone. Choose a new or empty folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_shared_file(record, text)
    except OSError as error:
        raise OutputError(f"'{out}' cannot be written ({error.strerror}). Choose another folder.") from error


def _plain(value: object) -> str:
    return str(getattr(value, "value", value))


def _done(tasks: Sequence[_Task], jobs: int, local: int) -> Iterator[tuple[_Task, PatientRow]]:
    """Every task when it is done: in this process, or in several."""
    if jobs == 1:
        kept = Kept()
        for task in tasks:
            yield task, _forecast_patient(task, kept, local)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in mid-work
    numbers = context.Queue()
    for job in range(jobs):
        numbers.put(local * jobs + job)
    with ProcessPoolExecutor(jobs, context, _start_job, (numbers, jobs)) as pool:
        waiting = {pool.submit(_forecast_in_job, task): task for task in tasks}
        try:
            while waiting:
                finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "A process ended before its patients were forecast, perhaps for want of memory. "
                "Give the same command again, with fewer --jobs."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_job: tuple[Kept, int] | None = None
"""Of a process of the pool: what it keeps between patients, and its number on this machine."""


def _start_job(numbers: multiprocessing.Queue, jobs: int) -> None:
    global _job
    import torch

    end_with_parent()
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    _job = Kept(), numbers.get()


def _forecast_in_job(task: _Task) -> PatientRow:
    assert _job is not None
    return _forecast_patient(task, *_job)


def _forecast_patient(task: _Task, kept: Kept, number: int) -> PatientRow:
    """One patient's folder, or the sentence that says why there is none."""
    folder = task.folder
    _sweep(folder)
    forget_failure(folder)
    try:
        _forecast_into(task, kept, number)
    except (OutputError, MissingPackageError):
        raise  # the next patient would meet it, too
    except CronosError as error:
        note_failure(folder, str(error))
    except Exception as error:  # a bug, but a night's work does not end at one patient
        _log.exception("Patient '%s' could not be forecast.", task.subject)
        note_failure(folder, f"An unexpected error ({type(error).__name__}: {error}). Please report it.")
    return row_of(task.subject, folder)


def _forecast_into(task: _Task, kept: Kept, number: int) -> None:
    request = task.request
    own = [row for row in read_manifest(request.manifest) if (row.subject or "patient") == task.subject]
    named = own[0].subject
    series = read_series([Source(request.manifest)], unit=request.unit, patient=named)
    when, truth = _target(series, own, request), None
    if request.hold_out:
        series, truth = series.held_out(when)
    result = forecast(
        series,
        when,
        bundle=chosen_bundle(request.bundle, request.method),
        method=request.method,
        options=replace(request.options, device=_device(request.options.device, number)),
        kept=kept,
    )
    comparison = compare(result, truth) if truth else None
    write_results(result, task.folder, comparison=comparison, scene_writer=task.scene_writer, force=task.force)


def _target(series: LongitudinalSeries, rows: Sequence[ManifestRow], request: CohortRequest) -> float:
    """In the unit of the series."""
    typed = sorted({row.target for row in rows if row.target})
    if len(typed) > 1:
        raise SeriesError(f"The manifest gives {len(typed)} targets ({', '.join(typed)}). Give one for each patient.")
    if typed:
        return target_time(series, typed[0], request.unit)
    if request.days is not None:
        return series.last.time + TimeUnit.DAY.convert(request.days, series.unit)
    if request.hold_out:
        return series.last.time
    raise SeriesError("Nothing says when to forecast. Fill the column 'target', or give --days.")


def _device(name: str, number: int) -> str:
    """With several GPUs, "auto" deals them out to the processes of a machine."""
    import torch

    count = torch.cuda.device_count() if name == "auto" else 0
    return f"cuda:{number % count}" if count > 1 else name


def _sweep(folder: Path) -> None:
    """Remove what a killed run left beside a patient's folder."""
    left = re.compile(re.escape(f".{folder.name}-") + r"[0-9a-f]{8}(-old)?")
    for path in folder.parent.iterdir():
        if left.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _settled(out: Path, patients: dict[str, str]) -> tuple[PatientRow, ...]:
    """The table as all files say, written until nothing changed meanwhile: other processes write it, too."""
    written: list[PatientRow] | None = None
    while (rows := [row_of(subject, out / name) for subject, name in patients.items()]) != written:
        write_table(out / TABLE, rows)
        written = rows
    return tuple(rows)
