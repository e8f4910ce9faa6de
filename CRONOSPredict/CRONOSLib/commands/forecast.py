"""`cronos forecast`: dated scans in, a folder with the forecast out."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from CRONOSLib.commands.console import out as stdout
from CRONOSLib.commands.console import progress, say_warning
from CRONOSLib.commands.summary import summary
from CRONOSLib.errors import SeriesError
from CRONOSLib.imaging.registration import Alignment

if TYPE_CHECKING:
    from CRONOSLib.bundles.bundle import Bundle
    from CRONOSLib.evaluation.comparison import Comparison
    from CRONOSLib.forecast import Forecast, ForecastOptions
    from CRONOSLib.imaging.sources import Source
    from CRONOSLib.outputs.folder import SceneWriter
    from CRONOSLib.series import LongitudinalSeries, Scan, TimeUnit


@dataclass(frozen=True)
class Request:
    """What the user asked to forecast.

    scans:    WHEN=PATH or PATH, as typed; a path may be a folder, a manifest or a 4D file
    target:   as typed
    truth:    the true scan, to compare with
    unit, frame_times, modality, patient: as `read_series` takes them
    hold_out: use only the scans before the target, and compare with the one at it
    mask:     of the last scan: what the alignment compares
    labels:   of the last scan, to carry to the target
    """

    scans: tuple[str, ...]
    target: str
    truth: Path | None = None
    unit: TimeUnit | None = None
    frame_times: list[float] | None = None
    modality: str | None = None
    patient: str | None = None
    hold_out: bool = False
    mask: Path | None = None
    labels: Path | None = None


def forecast(
    series: Annotated[list[Path] | None, typer.Argument(help="Folder, manifest (.csv, .tsv) or 4D file.")] = None,
    scan: Annotated[list[str] | None, typer.Option(help="DATE=PATH, or TIME=PATH with --unit. Repeat.")] = None,
    target: Annotated[str | None, typer.Option(help="Date to forecast, or a time with --unit.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Trained model: a name of `cronos bundles`, or a folder.")] = None,
    method: Annotated[str | None, typer.Option(help="A name of `cronos methods`.")] = None,
    preset: Annotated[str | None, typer.Option(help="Settings of a method without bundle: `cronos methods`.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Segmentation of the last scan, to carry to the target.")] = None,
    compare: Annotated[Path | None, typer.Option(help="The true scan at the target, to measure against.")] = None,
    hold_out: Annotated[
        bool, typer.Option("--hold-out", help="Use only scans before the target, and compare with the one at it.")
    ] = False,
    align: Annotated[Alignment | None, typer.Option(help="How earlier scans are brought onto the last one.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask of the last scan: what the alignment compares.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of times: ms, s, day, week or year.")] = None,
    frame_times: Annotated[str | None, typer.Option(help="Times of a 4D file's frames: 0,40,80.")] = None,
    modality: Annotated[str | None, typer.Option(help="Kind of scan to take from a folder, such as T1w.")] = None,
    patient: Annotated[str | None, typer.Option(help="Patient to take from a folder or manifest.")] = None,
    solver: Annotated[str | None, typer.Option(help="euler, heun, rk4, dopri5, … or dpm++, ddim, ancestral.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the solver.")] = None,
    samples: Annotated[int | None, typer.Option(help="Samples that a diffusion method draws.")] = None,
    aggregate: Annotated[str | None, typer.Option(help="last, mean or learned.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    rescale_time: Annotated[bool, typer.Option("--rescale-time", help="Let the mean gap be the bundle's.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier result in --out.")] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="Table of many patients (subject, date, path, target): forecast each.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="With --manifest: target, days after each last scan.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="With --manifest: processes on this machine.")] = 1,
    sample: Annotated[bool, typer.Option("--sample", help="Forecast the sample patient.")] = False,
) -> None:
    """Forecast a patient's next 3D scan from the earlier ones, or those of all patients of a table (--manifest).

    Research use only.
    """
    from CRONOSLib.bundles.store import chosen_bundle
    from CRONOSLib.commands.forecast_cohort import forecast_manifest, refuse_together
    from CRONOSLib.dates import parse_unit
    from CRONOSLib.forecast import ForecastOptions
    from CRONOSLib.outputs.cohort import CohortRequest
    from CRONOSLib.outputs.folder import check_folder

    _silence_itk()
    time_unit = parse_unit(unit) if unit else None
    options = ForecastOptions(
        alignment=align,
        solver=solver,
        steps=steps,
        samples=samples,
        aggregate=aggregate,
        device=device,
        precision=precision,
        seed=seed,
        rescale_time=rescale_time,
        preset=preset,
    )
    if manifest is not None:
        single: dict[str, object] = {
            "series": series,
            "scan": scan,
            "target": target,
            "compare": compare,
            "mask": mask,
            "labels": labels,
            "frame_times": frame_times,
            "modality": modality,
            "patient": patient,
            "sample": sample,
        }
        refuse_together("with --manifest", single)
        whole = CohortRequest(manifest, bundle, method, options, time_unit, days, hold_out)
        forecast_manifest(whole, out, jobs=jobs, force=force, scene_writer=_scene_writer())
        return
    refuse_together("without --manifest", {"days": days, "jobs": jobs > 1})
    request = replace(
        _sample() if sample else _request(series, scan, target, compare),
        unit=time_unit,
        frame_times=_numbers(frame_times) if frame_times else None,
        modality=modality,
        patient=patient,
        hold_out=hold_out,
        mask=mask,
        labels=labels,
    )
    if out is None:
        raise SeriesError("Nothing says where the results go. Give a folder with --out.")
    check_folder(out, force=force)
    result, comparison = _forecast(request, chosen_bundle(bundle, method), method, options, out, force)
    for warning in result.warnings:
        say_warning(warning)
    stdout.print(summary(result, out, comparison))


def _forecast(
    request: Request, bundle: Bundle | None, method: str | None, options: ForecastOptions, out: Path, force: bool
) -> tuple[Forecast, Comparison | None]:
    """Read, forecast, compare and write."""
    from CRONOSLib.evaluation.comparison import compare
    from CRONOSLib.forecast import forecast
    from CRONOSLib.imaging.volumes import read_mask
    from CRONOSLib.outputs.folder import write_results

    scans, when, truth = _read(request)
    mask, labels = (read_mask(path) if path else None for path in (request.mask, request.labels))
    with progress() as tell:
        result = forecast(
            scans,
            when,
            bundle=bundle,
            method=method,
            options=options,
            mask=mask,
            labels=() if labels is None else (labels,),
            on_progress=tell,
        )
        tell("Comparing and writing", 1.0)
        comparison = compare(result, truth) if truth else None
        write_results(result, out, comparison=comparison, scene_writer=_scene_writer(), force=force)
    return result, comparison


def _request(series: list[Path] | None, scan: list[str] | None, target: str | None, compare: Path | None) -> Request:
    scans = (*(str(path) for path in series or ()), *(scan or ()))
    if not scans:
        raise SeriesError("There is no scan to forecast from. Give --scan DATE=PATH for each scan, or a folder.")
    if target is None:
        raise SeriesError("Nothing says when to forecast. Give a date with --target, for example 2024-03-01.")
    return Request(scans, target, compare)


def _sample() -> Request:
    """The sample patient, and the true scan that it comes with."""
    from CRONOSLib.dates import date_in_name
    from CRONOSLib.imaging.names import names_a_mask
    from CRONOSLib.resources import sample_folder

    folder = sample_folder()
    for path in sorted((folder / "truth").glob("*.nrrd")):
        date = date_in_name(path.name)
        if date is not None and not names_a_mask(path):
            return Request((str(folder),), date.date().isoformat(), path)
    raise SeriesError("The sample patient has no true scan. Install CRONOS again, or give your own scans.")


def _read(request: Request) -> tuple[LongitudinalSeries, float, Scan | None]:
    """The scans to forecast from, the target in their unit, and the true scan where one is to be compared with."""
    from CRONOSLib.forecasting.times import target_time
    from CRONOSLib.imaging.sources import read_series

    series = read_series(
        [_source(text) for text in request.scans],
        unit=request.unit,
        frame_times=request.frame_times,
        modality=request.modality,
        patient=request.patient,
    )
    when = target_time(series, request.target, request.unit)
    series.horizon(when)
    if request.hold_out:
        earlier, held_out = series.held_out(when)
        return earlier, when, held_out
    return series, when, _truth(request.truth, when) if request.truth else None


def _source(text: str) -> Source:
    """WHEN=PATH; without `=`, or when a file has such a name, the time is read from the scan."""
    from CRONOSLib.imaging.sources import Source

    when, separator, path = text.partition("=")
    if not separator or Path(text).exists():
        return Source(Path(text))
    return Source(Path(path), when)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SeriesError(f"'{text}' is not a list of times. Write numbers with commas, for example 0,40,80.") from None


def _truth(path: Path, target_time: float) -> Scan:
    from CRONOSLib.imaging.sources import read_scan
    from CRONOSLib.series import Scan, TimeSource

    return Scan(read_scan(path), target_time, path.name, TimeSource.TYPED, path=path)


def _scene_writer() -> SceneWriter | None:
    """None without slicer-core; the report then says so."""
    if importlib.util.find_spec("slicer") is None:
        return None
    from CRONOSLib.scene.mrb import write_forecast_scene

    return write_forecast_scene


def _silence_itk() -> None:
    """Damaged files make ITK write pages to stderr; the reader says it in one sentence."""
    import SimpleITK as sitk

    sitk.ProcessObject.GlobalWarningDisplayOff()
