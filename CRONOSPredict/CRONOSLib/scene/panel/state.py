"""What the sections of the panel share: the user's choices, the scans, the bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.dates import parse_when
from CRONOSLib.errors import CronosError, DateError
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.methods.registry import MethodEntry, Way, method_entry
from CRONOSLib.scene.panel.bundles import BundleList
from CRONOSLib.scene.panel.scan_list import ScanList
from CRONOSLib.scene.panel.target import default_target
from CRONOSLib.scene.results import ResultNodes, last_scan_of, results_of
from CRONOSLib.series import LongitudinalSeries


class PanelState:
    """The choices of one parameter node, and what follows from them.

    choices:  the module's wrapped parameter node; every choice of the user stands there, and only there
    timeline: the used scans without voxels, or None; `problem` then says why
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._bundles_of: Path | None = None
        self._bundles = BundleList()
        self.choices: Any = None
        self.scans: ScanList | None = None
        self.timeline: LongitudinalSeries | None = None
        self.problem = ""

    def show(self, choices) -> None:
        """Take up the choices of another parameter node, or of none."""
        self.choices = choices
        self.scans = None if choices is None else ScanList(choices.parameterNode)
        self._bundles_of = None

    def changed(self) -> None:
        """Something was chosen or came into the scene: everything shown follows."""
        if self.choices is None or self.scans is None:
            return
        try:
            self.timeline, self.problem = self.scans.timeline(), ""
        except CronosError as error:
            self.timeline, self.problem = None, str(error)
        self._on_change()

    @property
    def last_scan(self):
        """Node of the last scan that is used, or None while the scans make no series."""
        if self.timeline is None or self.scans is None:
            return None
        return [row.node for row in self.scans.rows() if row.used][-1]

    @property
    def shown(self) -> tuple[ResultNodes, slicer.vtkMRMLScalarVolumeNode] | None:
        """The chosen forecast and its last scan, as far as they are still in the scene."""
        forecast = self.choices.forecast if self.choices else None
        results, last_scan = results_of(forecast), last_scan_of(forecast)
        return None if results is None or last_scan is None else (results, last_scan)

    @property
    def bundles(self) -> BundleList:
        """The bundles of the chosen folder, read again when the folder changes."""
        folder = self.choices.bundlesFolder
        if folder != self._bundles_of:
            self._bundles, self._bundles_of = BundleList.of(folder), folder
        return self._bundles

    @property
    def bundle(self) -> Bundle | None:
        """The chosen bundle; None when the chosen method needs none, or the folder has none."""
        return self.bundles.named(self.choices.bundle) if self.needs_bundle else None

    @property
    def needs_bundle(self) -> bool:
        """Whether a trained model forecasts."""
        return not self.choices.method or method_entry(self.choices.method).needs_bundle

    @property
    def entry(self) -> MethodEntry | None:
        """Facts about the method that forecasts; None while there is no bundle for it."""
        if not self.needs_bundle:
            return method_entry(self.choices.method)
        return method_entry(self.bundle.method) if self.bundle else None

    @property
    def way(self) -> Way:
        """What can be chosen about how that method reaches its forecast."""
        return self.entry.way if self.entry else Way()

    @property
    def variants(self) -> tuple[str, ...]:
        """Presets of a method that forecasts without a trained model, the default first; () for trained models."""
        entry = self.entry
        if entry is None or self.needs_bundle:
            return ()
        return tuple(name for name in entry.presets if not entry.learns(name))

    @property
    def target_time(self) -> float | None:
        """The time to forecast, in the unit of the series; None without scans."""
        if self.timeline is None:
            return None
        chosen = self.time_of(self.choices.target)
        return default_target(self.timeline, self.bundle) if chosen is None else chosen

    def set_target_time(self, time: float) -> None:
        """Choose the time to forecast; it is kept as a date where the scans have dates."""
        if self.timeline is not None:
            self.choices.target = self.text_of(time)

    def time_of(self, text: str) -> float | None:
        """A time that was kept, in the unit of the series.

        None when none was chosen yet, or it was for scans with another kind of time, or there are no scans.
        """
        if self.timeline is None:
            return None
        try:
            when = parse_when(text, self.timeline.unit)
            return when if isinstance(when, float) else self.timeline.time_at(when)
        except CronosError:
            return None

    def text_of(self, time: float) -> str:
        """A time as the parameter node keeps it; there must be scans."""
        assert self.timeline is not None
        date = self.timeline.date_at(time)
        return repr(float(time)) if date is None else date.isoformat()

    def options(self) -> ForecastOptions:
        """How to forecast, from the advanced choices; what is empty, 0 or of another method is the method's own."""
        chosen, way = self.choices, self.way
        return ForecastOptions(
            alignment=Alignment(chosen.alignment) if chosen.alignment else None,
            solver=chosen.solver if chosen.solver in way.solvers else None,
            steps=chosen.steps or None if way.solvers else None,
            samples=chosen.samples or None if way.samples else None,
            aggregate=chosen.aggregation if chosen.aggregation in way.aggregations else None,
            device=chosen.device or "auto",
            precision=chosen.precision or "auto",
            seed=chosen.seed,
            preset=chosen.variant if chosen.variant in self.variants else None,
        )


def typed_problem(state: PanelState, node, text: str) -> str:
    """Keep a typed date with a scan; one sentence when it cannot be read, else ""."""
    try:
        state.scans.set_when(node, text)  # type: ignore[union-attr]
    except DateError as error:
        return str(error)
    return ""
