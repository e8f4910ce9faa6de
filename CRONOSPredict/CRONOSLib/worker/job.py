"""What is asked of the worker, and what comes back, with the images in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.series import LongitudinalSeries
from CRONOSLib.timeline import Frame
from CRONOSLib.worker.protocol import FlowFiles, FrameFile, ResultReply
from CRONOSLib.worker.volumes import read_file


@dataclass(frozen=True)
class ForecastJob:
    """One forecast to make. Jobs that share image objects share their alignment, too: keep the series for a slider.

    target_time:  in the unit of the series
    bundle:       name or folder; None: the best that comes with CRONOS, unless `method` needs none
    mask:         of the last scan, any grid: what the alignment compares
    keep_aligned: bring back the scans as the method saw them
    through_time: times, `target_time` among them, of which the frames come back, with those of the scans
    """

    series: LongitudinalSeries
    target_time: float
    bundle: Path | str | None = None
    method: str | None = None
    options: ForecastOptions = field(default_factory=ForecastOptions)
    mask: sitk.Image | None = None
    keep_aligned: bool = False
    through_time: tuple[float, ...] = ()


@dataclass(frozen=True)
class Flow:
    """Intermediate states on the bundle's grid; see `FlowFiles` for shapes and units."""

    grid: Grid
    members: np.ndarray | None
    trajectory: np.ndarray | None
    aligned: np.ndarray | None


@dataclass(frozen=True)
class ForecastResult:
    """A forecast on the last scan's grid and in its units: those fields of `Forecast` that a scene shows.

    report: what report.json holds: scans, alignments, costs, versions
    frames: oldest first, as `ForecastJob.through_time` asked for
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


def load_result(job: ForecastJob, reply: ResultReply) -> ForecastResult:
    """The result of a job, its files read. Raises OSError or ValueError when they are gone or damaged."""
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
    )


def _load_frame(file: FrameFile) -> Frame:
    spread = read_file(file.spread) if file.spread else None
    return Frame(file.time, read_file(file.image), spread, file.real)


def _load_flow(files: FlowFiles) -> Flow:
    paths = (files.members, files.trajectory, files.aligned)
    return Flow(files.grid, *(np.load(path, allow_pickle=False) if path else None for path in paths))
