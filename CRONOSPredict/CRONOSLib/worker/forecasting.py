"""One request through the library: files in, files out, and another way when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import SimpleITK as sitk

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import chosen_bundle
from CRONOSLib.errors import OutOfMemoryError
from CRONOSLib.forecast import Forecast, ForecastOptions, OnProgress, forecast
from CRONOSLib.forecasting import devices
from CRONOSLib.forecasting.kept import Kept
from CRONOSLib.forecasting.native_flow import Flow
from CRONOSLib.packages import require
from CRONOSLib.report import report, scan_digest
from CRONOSLib.series import LongitudinalSeries, Scan
from CRONOSLib.timeline import Frame, aligned_frames, frames_of, share_of_progress
from CRONOSLib.worker.protocol import FlowFiles, ForecastRequest, FrameFile, ResultReply, ScanFile
from CRONOSLib.worker.volumes import VolumeFile, read_file, write_file

T = TypeVar("T")


class Forecaster:
    """Forecasts one request after the other; scans, alignments and weights stay in memory for the next."""

    def __init__(self) -> None:
        self._kept = Kept()
        self._images: dict[Path, sitk.Image] = {}
        self._digests: dict[int, dict[str, str]] = {}

    def forecast(self, request: ForecastRequest, on_progress: OnProgress, check: Callable[[], None]) -> ResultReply:
        """Forecast, and write the result into the folder of the request.

        on_progress: told what is being done and the fraction done; it may raise to stop
        check:       asked before every layer of a network, many times a second; it may raise to stop

        Raises the errors of `CRONOSLib.forecast.forecast`; OSError when the result cannot be written.
        """
        require("torch", purpose="Forecasting")
        self._forget_all_but(request)
        series = self._series(request)
        mask = self._image(request.mask) if request.mask else None
        labels = tuple(map(read_file, request.labels))
        bundle = chosen_bundle(request.bundle, request.method)

        def make(options: ForecastOptions, time: float, tell: OnProgress) -> Forecast:
            return forecast(
                series,
                time,
                bundle=bundle,
                method=request.method,
                options=options,
                mask=mask,
                labels=labels if time == request.target_time else (),
                on_progress=tell,
                kept=self._kept,
            )

        def make_all(options: ForecastOptions) -> tuple[Forecast, tuple[FrameFile, ...]]:
            count = max(len(request.through_time), 1)
            first = make(options, request.target_time, share_of_progress(on_progress, 0, count))
            if not request.through_time:
                return first, ()
            frames = frames_of(series, first, request.through_time, partial(make, options), on_progress)
            return first, tuple(_frame_file(request, "frame", number, frame) for number, frame in enumerate(frames))

        with _asked_at_every_layer(check):
            (result, frames), note = self._with_less_memory(request.options, make_all)
        return replace(self._written(request, result, bundle, [note] if note else []), frames=frames)

    def _with_less_memory(self, options: ForecastOptions, make: Callable[[ForecastOptions], T]) -> tuple[T, str | None]:
        """The forecast of the first way that fits into memory, and what to tell the user about that way."""
        sentence = ""
        for way, note in _ways(options):
            try:
                return make(way), note
            except OutOfMemoryError as error:
                sentence = str(error)  # not the error itself: its traceback holds the tensors
            self._kept.clear()
            devices.empty_memory()
        raise OutOfMemoryError(sentence)

    def _series(self, request: ForecastRequest) -> LongitudinalSeries:
        return LongitudinalSeries(
            tuple(self._scan(scan) for scan in request.scans), request.unit, request.epoch, request.warnings
        )

    def _scan(self, file: ScanFile) -> Scan:
        others = {name: value for name, value in vars(file).items() if name != "volume"}
        return Scan(image=self._image(file.volume), **others)

    def _image(self, file: VolumeFile) -> sitk.Image:
        """The image of a file, which never changes once it is written: the same object as for the last request."""
        if file.path not in self._images:
            self._images[file.path] = read_file(file)
        return self._images[file.path]

    def _forget_all_but(self, request: ForecastRequest) -> None:
        volumes = [scan.volume for scan in request.scans] + ([request.mask] if request.mask else [])
        needed = {volume.path for volume in volumes}
        for path in set(self._images) - needed:
            self._digests.pop(id(self._images.pop(path)), None)

    def _digest(self, scan: Scan) -> dict[str, str]:
        if id(scan.image) not in self._digests:
            self._digests[id(scan.image)] = scan_digest(scan)
        return self._digests[id(scan.image)]

    def _written(
        self, request: ForecastRequest, result: Forecast, bundle: Bundle | None, notes: list[str]
    ) -> ResultReply:
        def written(image: sitk.Image, name: str) -> VolumeFile:
            return write_file(image, request.folder / f"{name}.npy")

        aligned = aligned_frames(result) if request.keep_aligned else ()
        return ResultReply(
            job=request.job,
            image=written(result.image, "forecast"),
            change=written(result.change, "change"),
            spread=written(result.spread, "spread") if result.spread is not None else None,
            report=report(result, warnings=notes, digest=self._digest),
            bundle=bundle.to_json() if bundle else None,
            bundle_path=bundle.path if bundle else None,
            flow=_flow_files(result.flow, written) if result.flow else None,
            aligned=tuple(_frame_file(request, "aligned", index, frame) for index, frame in enumerate(aligned)),
            carried=tuple(written(image, f"carried-{n}") for n, image in enumerate(result.carried)),
        )


def _ways(options: ForecastOptions) -> Iterator[tuple[ForecastOptions, str | None]]:
    """Ways to forecast, each in less memory than the one before, and what to tell the user about them."""
    yield options, None
    device = devices.choose_device(options.device)
    if not devices.computes_in_bf16(options.precision, device) and devices.computes_in_bf16("auto", device):
        yield replace(options, precision="bf16"), "Memory ran out at full precision, so the forecast is in bf16."
    if device.type != "cpu":
        yield replace(options, device="cpu"), "The memory of the GPU ran out, so the forecast was made on the CPU."


@contextmanager
def _asked_at_every_layer(check: Callable[[], None]) -> Iterator[None]:
    """One evaluation of a large network takes seconds: too long for somebody who wants to cancel."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    handle = register_module_forward_pre_hook(lambda module, inputs: check())
    try:
        yield
    finally:
        handle.remove()


def _frame_file(request: ForecastRequest, name: str, number: int, frame: Frame) -> FrameFile:
    """A frame on disk, and no longer in memory: there may be many."""

    def written(image: sitk.Image, name: str) -> VolumeFile:
        return write_file(image, request.folder / f"{name}-{number}.npy")

    spread = written(frame.spread, f"{name}-spread") if frame.spread is not None else None
    return FrameFile(frame.time, written(frame.image, name), spread, frame.real)


def _flow_files(flow: Flow, written: Callable[[sitk.Image, str], VolumeFile]) -> FlowFiles:
    def all_written(scans: tuple[tuple[sitk.Image, ...], ...], name: str) -> tuple[tuple[VolumeFile, ...], ...]:
        return tuple(
            tuple(written(image, f"{name}-{scan}-{step}") for step, image in enumerate(steps))
            for scan, steps in enumerate(scans)
        )

    return FlowFiles(
        taus=flow.taus,
        times=flow.times,
        states=all_written(flow.states, "state"),
        speeds=all_written(flow.speeds, "speed"),
        disagreement=written(flow.disagreement, "disagreement") if flow.disagreement is not None else None,
        bend=written(flow.bend, "bend"),
        straightness=flow.straightness,
        solver=flow.solver,
        nfe=flow.nfe,
    )
