"""Forecasts of the panel in the worker process, and their way back into the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError, SeriesError, WorkerError
from CRONOSLib.evaluation.check import Check
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.scene.aligned import adding_aligned
from CRONOSLib.scene.carried import adding_carried, masks_of
from CRONOSLib.scene.nodes import image_of
from CRONOSLib.scene.panel.reading import SeriesReader
from CRONOSLib.scene.panel.slices import Slices, Work
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.results import ResultNodes, adding_results
from CRONOSLib.scene.threads import let_threads_run
from CRONOSLib.worker.client import Listener, WorkerClient
from CRONOSLib.worker.job import CheckJob, ForecastJob, ForecastResult
from CRONOSLib.worker.protocol import Device

_POLL_MS = 20


@dataclass(frozen=True)
class ForecastOrder:
    """A forecast that was asked for, before its scans are read.

    job:          with the scans' times, and no voxels yet
    scans:        IDs of their nodes, in the same order
    segmentation: ID of the segmentation that the method carries along; "" for none
    """

    job: ForecastJob
    scans: tuple[str, ...]
    segmentation: str = ""

    @classmethod
    def of(cls, state: PanelState) -> ForecastOrder:
        """The choices of the panel as they are now; there must be scans and a target."""
        assert state.scans is not None
        assert state.timeline is not None
        assert state.target_time is not None
        bundle = state.bundle
        job = ForecastJob(
            series=state.timeline,
            target_time=state.target_time,
            bundle=bundle.path if bundle else None,
            method=None if bundle else state.choices.method,
            options=state.options(),
            keep_aligned=state.choices.showAligned,
        )
        drawn = state.choices.segmentation
        carried = drawn is not None and drawn.IsA("vtkMRMLSegmentationNode") and state.entry and state.entry.deforms
        scans = tuple(row.node.GetID() for row in state.scans.rows() if row.used)
        return cls(job, scans, drawn.GetID() if carried else "")

    @property
    def last(self) -> str:
        """ID of the last scan's node."""
        return self.scans[-1]

    def nodes(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """The scans' nodes. Raises SeriesError when one has left the scene."""
        found = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in self.scans]
        if None in found:
            raise SeriesError(_("A scan left the scene before it was read. Start the forecast again."))
        return found


class PanelJob:
    """One forecast at a time; everything is called back from Qt's own loop.

    on_progress: what is being done, fraction done, seconds left or None
    on_done:     the new nodes, or None when there are none; and what the user should read
    on_devices:  what can be computed on
    """

    def __init__(
        self,
        on_progress: Callable[[str, float, float | None], None],
        on_done: Callable[[ResultNodes | None, str], None],
        on_devices: Callable[[tuple[Device, ...]], None],
    ) -> None:
        self._on_progress, self._on_done, self._on_devices = on_progress, on_done, on_devices
        self._client: WorkerClient | None = None
        self._waits_for_devices = False
        self._slices, self._aside = Slices(), Slices()  # what the user waits for, and what not
        self._open = 0
        self._unread: list[Listener] = []
        self._reader = SeriesReader()
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def running(self) -> bool:
        """Whether something that the user waits for is under way; a live forecast is not."""
        return self._slices.busy or self._open > 0

    @property
    def worker_pid(self) -> int | None:
        """Process that forecasts; None when none is ready."""
        return self._client.pid if self._client else None

    def warm_up(self) -> None:
        """Start the worker while the user still makes choices, and ask for its devices; once is enough."""
        if self._client is None:
            try:
                self._worker().ask_info(self._take_info)
            except CronosError as error:  # the user is told when a forecast needs it
                logging.warning(error)
                return
            self._waits_for_devices = True
            self._timer.start()

    def start(self, state: PanelState) -> None:
        """Forecast with the choices of the panel as they are now."""
        order = ForecastOrder.of(state)
        self.order(order, self.listener(partial(self._take, order, state.choices.keepIntermediate)))

    def listener(self, take: Callable[[Any], None]) -> Listener:
        """Tells the panel of progress, errors and the cancel of a job; its result goes to `take`."""
        return Listener(self._on_progress, take, self._fail, self._cancelled)

    def add(self, work: Work) -> None:
        """Work on the scene in pieces; until it ends, something is under way."""
        self._slices.add(work)
        self._timer.start()

    def order(self, order: ForecastOrder, listener: Listener, *, live: bool = False) -> None:
        """Read the scans of an order; then the worker takes over.

        live: the user does not wait for it, and the next one takes its place
        """
        self._unread.append(listener)
        (self._aside if live else self._slices).add(self._reading(order, listener, live))
        self._timer.start()

    def check(
        self,
        forecast: slicer.vtkMRMLScalarVolumeNode,
        truth: slicer.vtkMRMLScalarVolumeNode,
        last_scan: slicer.vtkMRMLScalarVolumeNode,
        alignment: Alignment,
        intensity: IntensitySpec,
        take: Callable[[Check], str],
    ) -> None:
        """Measure a forecast against the true scan in the worker.

        take: gets what was measured, and returns what to tell the user
        """
        self.add(self._checking((forecast, last_scan, truth), alignment, intensity, take))

    def done(self, nodes: ResultNodes | None, said: str) -> None:
        """Tell the panel that a job ended, with the nodes of a forecast or without, and what the user should read."""
        self._on_done(nodes, said)

    def cancel(self) -> None:
        """Give up what runs; answered within a second."""
        busy, unread = self._slices.busy, self._unread
        self._slices.clear()
        self._aside.clear()
        self._unread = []
        for listener in unread:
            listener.cancelled()
        if busy and not unread:
            self._cancelled()
        if self._client is not None:
            self._client.cancel()

    def close(self) -> None:
        """End the worker."""
        self._timer.stop()
        self._slices.clear()
        self._aside.clear()
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _worker(self) -> WorkerClient:
        if self._client is None:
            self._client = WorkerClient(on_log=logging.debug)
        return self._client

    def _reading(self, order: ForecastOrder, listener: Listener, live: bool) -> Work:
        try:
            while self._reader.step(nodes := order.nodes()):
                yield
            worker = self._worker()
        except CronosError as error:
            self._unread.remove(listener)
            return partial(listener.error, error)
        self._unread.remove(listener)
        series = self._reader.series(order.job.series, nodes)
        segmentation = slicer.mrmlScene.GetNodeByID(order.segmentation) if order.segmentation else None
        labels = () if segmentation is None else masks_of(segmentation, series.last.image)
        job = replace(order.job, series=series, labels=labels)
        worker.submit(job, listener if live else self._waited_for(listener))
        return None

    def _waited_for(self, listener: Listener) -> Listener:
        """The same listener, counted until it has heard the end."""
        self._open += 1

        def last_news(tell: Callable[..., None]) -> Callable[..., None]:
            def told(*news: object) -> None:
                self._open -= 1
                tell(*news)

            return told

        ends = {name: last_news(getattr(listener, name)) for name in ("result", "error", "cancelled")}
        return replace(listener, **ends)

    def _checking(
        self,
        nodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
        alignment: Alignment,
        intensity: IntensitySpec,
        take: Callable[[Check], str],
    ) -> Work:
        images = []
        try:
            for node in nodes:
                images.append(image_of(node))
                yield
            worker = self._worker()
        except CronosError as error:
            return partial(self._fail, error)

        def finish(result: Check) -> None:
            self.done(None, "\n".join(text for text in (take(result), *result.warnings) if text))

        made, last, true = images
        job = CheckJob(made, last, true, alignment, intensity)
        worker.submit(job, self._waited_for(self.listener(finish)))
        return None

    def _poll(self) -> None:
        self._slices.step()
        self._aside.step()
        if self._client is not None:
            let_threads_run()
            self._client.poll()
        busy = self._client is not None and self._client.busy
        if not (self._slices.busy or self._aside.busy or busy or self._waits_for_devices):
            self._timer.stop()

    def _take_info(self, info) -> None:
        self._waits_for_devices = False
        self._on_devices(info.devices)

    def _take(self, order: ForecastOrder, keep_earlier: bool, result: ForecastResult) -> None:
        self.add(self._adding(order, keep_earlier, result))

    def _adding(self, order: ForecastOrder, keep_earlier: bool, result: ForecastResult) -> Work:
        """Bring a result into the scene."""
        last_scan = slicer.mrmlScene.GetNodeByID(order.last)
        if last_scan is None:
            gone = _("The last scan left the scene, so its forecast was dropped. Add the scan again.")
            return partial(self.done, None, gone)
        yield from adding_aligned(result.aligned, result.series, last_scan, keep_earlier=keep_earlier)
        nodes = yield from adding_results(slicer.mrmlScene, result, last_scan)
        segmentation = slicer.mrmlScene.GetNodeByID(order.segmentation) if order.segmentation else None
        if result.carried and segmentation is not None:
            yield from adding_carried(result.carried, segmentation, nodes.forecast)
        return partial(self.done, nodes, "\n".join(nodes.warnings))

    def _fail(self, error: CronosError) -> None:
        if isinstance(error, WorkerError) and self._client is not None:
            logging.error(self._client.log)
        self.done(None, str(error))

    def _cancelled(self) -> None:
        self.done(None, _("The forecast was cancelled."))
