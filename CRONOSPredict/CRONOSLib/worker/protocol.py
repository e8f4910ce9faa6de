"""What the two processes say to each other: one message is one line of ASCII JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import TimeSource, TimeUnit
from CRONOSLib.worker.plain import from_plain, to_plain
from CRONOSLib.worker.volumes import VolumeFile


class ProtocolError(ValueError):
    """A line is no message: a bug of CRONOS, or not a line of CRONOS."""


@dataclass(frozen=True)
class ScanFile:
    """A scan with its voxels in a file; the other fields are those of `CRONOSLib.series.Scan`."""

    volume: VolumeFile
    time: float
    name: str
    source: TimeSource
    date: datetime | None = None
    patient: str | None = None
    modality: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class ForecastRequest:
    """Forecast a series, of which the scans lie in files.

    job:           number by which the replies name this request, ascending
    folder:        existing empty folder for the result
    unit, epoch, warnings: of the series
    bundle:        name or folder; None: the best that comes with CRONOS, unless `method` needs none
    keep_aligned:  send the aligned scans as well
    through_time:  times, `target_time` among them, of which the forecasts come as frames, with the scans themselves
    labels:        label maps of the last scan, to be carried along
    """

    job: int
    scans: tuple[ScanFile, ...]
    unit: TimeUnit
    target_time: float
    folder: Path
    epoch: datetime | None = None
    warnings: tuple[str, ...] = ()
    bundle: str | None = None
    method: str | None = None
    options: ForecastOptions = field(default_factory=ForecastOptions)
    mask: VolumeFile | None = None
    keep_aligned: bool = False
    through_time: tuple[float, ...] = ()
    labels: tuple[VolumeFile, ...] = ()


@dataclass(frozen=True)
class CheckRequest:
    """Measure a forecast against the scan that was really taken.

    job, folder:    as in `ForecastRequest`
    forecast, last: on one grid, in the last scan's units
    truth:          on any grid, in its own units
    """

    job: int
    forecast: VolumeFile
    last: VolumeFile
    truth: VolumeFile
    folder: Path
    alignment: Alignment = Alignment.RIGID
    intensity: IntensitySpec = field(default_factory=IntensitySpec)


@dataclass(frozen=True)
class CancelRequest:
    """Give up a job, whether it runs or waits."""

    job: int


@dataclass(frozen=True)
class InfoRequest:
    """Say what can be computed on."""


@dataclass(frozen=True)
class ShutdownRequest:
    """End at once."""


@dataclass(frozen=True)
class ReadyReply:
    """The process lives; `pid` is its own, not that of a launcher."""

    pid: int


@dataclass(frozen=True)
class ProgressReply:
    """How far a forecast is.

    fraction:     of all work, in [0, 1]
    seconds_left: None while there is nothing to guess from
    """

    job: int
    what: str
    fraction: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class FlowFiles:
    """The images of `CRONOSLib.forecasting.native_flow.Flow` in files, and its numbers."""

    taus: tuple[float, ...]
    times: tuple[float, ...]
    states: tuple[tuple[VolumeFile, ...], ...]
    speeds: tuple[tuple[VolumeFile, ...], ...]
    disagreement: VolumeFile | None
    bend: VolumeFile
    straightness: float
    solver: str
    nfe: int


@dataclass(frozen=True)
class FrameFile:
    """One moment of a patient; the fields are those of `CRONOSLib.timeline.Frame`."""

    time: float
    image: VolumeFile
    spread: VolumeFile | None
    real: bool


@dataclass(frozen=True)
class ResultReply:
    """A forecast on the last scan's grid and in its units; `report` is what report.json holds.

    bundle:  as bundle.json describes it; None when the method needs none
    spread:  None when there is one member only
    frames:  of the times that were asked for, and of the scans
    aligned: the scans on the last scan's grid, in its units, when asked for
    flow:    when the options ask for the trajectory
    carried: the label maps as the forecast moved them; none when the method does not deform
    """

    job: int
    image: VolumeFile
    change: VolumeFile
    spread: VolumeFile | None
    report: dict[str, Any]
    bundle: dict[str, Any] | None = None
    bundle_path: Path | None = None
    flow: FlowFiles | None = None
    frames: tuple[FrameFile, ...] = ()
    aligned: tuple[FrameFile, ...] = ()
    carried: tuple[VolumeFile, ...] = ()


@dataclass(frozen=True)
class CheckReply:
    """How near a forecast comes; `measured` is what `BesideCopying.to_json` of CRONOSLib.evaluation holds.

    error: forecast minus true scan, in the last scan's units
    """

    job: int
    error: VolumeFile
    measured: dict[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ErrorReply:
    """One sentence that says what is wrong and what to do.

    job:  None when no job was asked for
    kind: name of a class of CRONOSLib.errors; "bug" for anything else
    """

    job: int | None
    sentence: str
    kind: str


@dataclass(frozen=True)
class CancelledReply:
    """A job was given up."""

    job: int


@dataclass(frozen=True)
class LogReply:
    """A line for the log."""

    text: str


@dataclass(frozen=True)
class Device:
    """What can be computed on: "cpu" or "cuda:0", its name, and its memory in MB (10⁶ bytes)."""

    name: str
    title: str
    memory_mb: float | None = None


@dataclass(frozen=True)
class InfoReply:
    """Version of torch, None when it is not installed, and the devices that it can use, the best first."""

    torch: str | None
    devices: tuple[Device, ...] = ()


Request = ForecastRequest | CheckRequest | CancelRequest | InfoRequest | ShutdownRequest
Reply = ReadyReply | ProgressReply | ResultReply | CheckReply | ErrorReply | CancelledReply | LogReply | InfoReply

_MESSAGES: dict[str, type] = {
    "forecast": ForecastRequest,
    "check": CheckRequest,
    "cancel": CancelRequest,
    "info?": InfoRequest,
    "shutdown": ShutdownRequest,
    "ready": ReadyReply,
    "progress": ProgressReply,
    "result": ResultReply,
    "checked": CheckReply,
    "error": ErrorReply,
    "cancelled": CancelledReply,
    "log": LogReply,
    "info": InfoReply,
}
_NAMES = {message: name for name, message in _MESSAGES.items()}


def encode(message: Request | Reply) -> bytes:
    """The line of a message, with its end."""
    plain = {"message": _NAMES[type(message)], **to_plain(message)}
    return json.dumps(plain, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Any:
    """The message of a line. Raises ProtocolError when it is none."""
    try:
        plain = json.loads(line)
        name = plain.pop("message")
        return from_plain(_MESSAGES[name], plain)
    except KeyError as error:
        raise ProtocolError(f"There is no message {error}.") from None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ProtocolError(f"{line[:80]!r} is not understood ({error}).") from None
