"""What is asked of the worker, and what comes back, with the images in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.evaluation.beside_copying import BesideCopying
from CRONOSLib.evaluation.check import Check
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.forecasting.native_flow import Flow
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.timeline import Frame
from CRONOSLib.worker.protocol import CheckReply, FlowFiles, FrameFile, ResultReply
from CRONOSLib.worker.volumes import VolumeFile, read_file


@dataclass(frozen=True)
class ForecastJob:
    """One forecast to make. Jobs that share image objects share their alignment, too: keep the series for a slider.

    target_time:  in the unit of the series
    bundle:       name or folder; None: the best that comes with CRONOS, unless `method` needs none
    mask:         of the last scan, any grid: what the alignment compares
    keep_aligned: bring back the aligned scans
    through_time: times, `target_time` among them, of which the frames come back, with those of the scans
    labels:       label maps of the last scan, any grid, that a method which deforms carries along
    """

    series: LongitudinalSeries
    target_time: float
    bundle: Path | str | None = None
    method: str | None = None
    options: ForecastOptions = field(default_factory=ForecastOptions)
    mask: sitk.Image | None = None
    keep_aligned: bool = False
    through_time: tuple[float, ...] = ()
    labels: tuple[sitk.Image, ...] = ()


@dataclass(frozen=True)
class CheckJob:
    """One forecast to measure; see `CRONOSLib.evaluation.check.check`."""

    forecast: sitk.Image
    last: sitk.Image
    truth: sitk.Image
    alignment: Alignment = Alignment.RIGID
    intensity: IntensitySpec = field(default_factory=IntensitySpec)


Job = ForecastJob | CheckJob


@dataclass(frozen=True)
class ForecastResult:
    """A forecast on the last scan's grid and in its units: those fields of `Forecast` that a scene shows.

    report:  what report.json holds: scans, alignments, costs, versions
    frames:  oldest first, as `ForecastJob.through_time` asked for
    aligned: the scans on the last scan's grid, in its units, when asked for
    carried: the label maps on the last scan's grid, as the forecast moved them
    """

    series: LongitudinalSeries
    target_time: float
    image: sitk.Image
    change: sitk.Image
    spread: sitk.Image | None
    method: str
    bundle: Bundle | None
    warnings: tuple[str, ...]
    report: Mapping[str, Any]
    flow: Flow | None = None
    frames: tuple[Frame, ...] = ()
    aligned: tuple[Frame, ...] = ()
    carried: tuple[sitk.Image, ...] = ()

    @property
    def spread_meaning(self) -> str:
        """What the spread is a range of, as `CRONOSLib.forecast.Forecast` has it; "" without a spread."""
        return self.report["spread"] or ""


Result = ForecastResult | Check


def load_result(job: Job, reply: ResultReply | CheckReply) -> Result:
    """The result of a job, its files read. Raises OSError or ValueError when they are gone or damaged."""
    if isinstance(reply, CheckReply):
        measured = BesideCopying.from_json(reply.measured)
        return Check(**vars(measured), error=read_file(reply.error), warnings=reply.warnings)
    assert isinstance(job, ForecastJob)
    return ForecastResult(
        series=job.series,
        target_time=job.target_time,
        image=read_file(reply.image),
        change=read_file(reply.change),
        spread=read_file(reply.spread) if reply.spread else None,
        method=reply.report["method"],
        bundle=Bundle.from_json(reply.bundle, reply.bundle_path) if reply.bundle else None,
        warnings=tuple(reply.report["warnings"]),
        report=reply.report,
        flow=_load_flow(reply.flow) if reply.flow else None,
        frames=tuple(sorted(map(_load_frame, reply.frames), key=lambda frame: frame.time)),
        aligned=tuple(map(_load_frame, reply.aligned)),
        carried=tuple(map(read_file, reply.carried)),
    )


def _load_frame(file: FrameFile) -> Frame:
    spread = read_file(file.spread) if file.spread else None
    return Frame(file.time, read_file(file.image), spread, file.real)


def _load_flow(files: FlowFiles) -> Flow:
    def read_all(scans: tuple[tuple[VolumeFile, ...], ...]) -> tuple[tuple[sitk.Image, ...], ...]:
        return tuple(tuple(read_file(file) for file in steps) for steps in scans)

    return Flow(
        taus=files.taus,
        times=files.times,
        states=read_all(files.states),
        speeds=read_all(files.speeds),
        disagreement=read_file(files.disagreement) if files.disagreement else None,
        bend=read_file(files.bend),
        straightness=files.straightness,
        solver=files.solver,
        nfe=files.nfe,
    )
