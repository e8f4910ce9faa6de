"""Forecasts of the panel in the worker process, and their way back into the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError, WorkerError
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.results import ResultNodes, add_results
from CRONOSLib.scene.series import NodeSeries
from CRONOSLib.worker.client import Listener, WorkerClient
from CRONOSLib.worker.job import ForecastJob, ForecastResult
from CRONOSLib.worker.protocol import Device

_POLL_MS = 20


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
        self._sent: tuple[object, NodeSeries] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def running(self) -> bool:
        """Whether a forecast is under way."""
        return self._client is not None and self._client.busy

    @property
    def worker_pid(self) -> int | None:
        """Process that forecasts; None when none is ready."""
        return self._client.pid if self._client else None

    def warm_up(self) -> None:
        """Start the worker while the user still makes choices, and ask for its devices; once is enough."""
        if self._client is None:
            self._waits_for_devices = True
            self._worker().ask_info(self._take_info)
            self._timer.start()

    def start(self, state: PanelState) -> None:
        """Forecast with the choices of the panel. Raises the errors of `ScanList.series`."""
        scans = self._series(state)
        target = state.target_time
        assert target is not None
        bundle = state.bundle
        job = ForecastJob(
            series=scans.series,
            target_time=target,
            bundle=bundle.path if bundle else None,
            method=None if bundle else state.choices.method,
            options=state.options(),
        )
        last = scans.last_node.GetID()
        listener = Listener(self._on_progress, lambda result: self._take(result, last), self._fail, self._cancelled)
        self._worker().submit(job, listener)
        self._timer.start()

    def cancel(self) -> None:
        """Give up the forecast; answered within a second."""
        if self._client is not None:
            self._client.cancel()

    def close(self) -> None:
        """End the worker."""
        self._timer.stop()
        client, self._client, self._sent = self._client, None, None
        if client is not None:
            client.close()

    def _worker(self) -> WorkerClient:
        if self._client is None:
            self._client = WorkerClient(on_log=logging.debug)
        return self._client

    def _series(self, state: PanelState) -> NodeSeries:
        """The scans' voxels; the same objects while nothing changes, so that the worker keeps its alignment."""
        assert state.scans is not None
        rows = [row for row in state.scans.rows() if row.used]
        stamp = [(row.node.GetID(), row.when, row.problem, _stamp(row.node)) for row in rows]
        if self._sent is None or self._sent[0] != stamp:
            self._sent = (stamp, state.scans.series())
        return self._sent[1]

    def _poll(self) -> None:
        if self._client is not None:
            self._client.poll()
        if self._client is None or not (self._client.busy or self._waits_for_devices):
            self._timer.stop()

    def _take_info(self, info) -> None:
        self._waits_for_devices = False
        self._on_devices(info.devices)

    def _take(self, result: ForecastResult, last_id: str) -> None:
        last_scan = slicer.mrmlScene.GetNodeByID(last_id)
        if last_scan is None:
            self._on_done(None, _("The last scan left the scene, so its forecast was dropped. Add the scan again."))
            return
        nodes = add_results(slicer.mrmlScene, result, last_scan)
        self._on_done(nodes, "\n".join(nodes.warnings))

    def _fail(self, error: CronosError) -> None:
        if isinstance(error, WorkerError) and self._client is not None:
            logging.error(self._client.log)
        self._on_done(None, str(error))

    def _cancelled(self) -> None:
        self._on_done(None, _("The forecast was cancelled."))


def _stamp(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, ...]:
    """Changes when the voxels or the place of a volume do."""
    transform = node.GetParentTransformNode()
    moved = transform.GetTransformToWorldMTime() if transform is not None else 0
    return node.GetImageData().GetMTime(), node.GetMTime(), moved
