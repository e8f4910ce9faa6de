"""A forecast as nodes of a scene, in the subject hierarchy of its patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.dates import keep_date
from CRONOSLib.scene.facts import how
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_filled, add_volume, filled_volume, nodes_of_class
from CRONOSLib.scene.steps import Steps, finished
from CRONOSLib.series import LongitudinalSeries

if TYPE_CHECKING:  # a scene is shown without torch, which a forecast needs
    from CRONOSLib.forecast import Forecast
    from CRONOSLib.scene.flow import FlowNodes
    from CRONOSLib.worker.job import ForecastResult

RESULT_ATTRIBUTE = "CRONOS.Result"
"""Node attribute of results, never of real scans: "forecast", "change", "spread", or what else was made of one."""

_CHANGE_ROLE, _SPREAD_ROLE, _LAST_SCAN_ROLE = "CRONOS.Change", "CRONOS.Spread", "CRONOS.LastScan"
"""Node references of a forecast, by which its other nodes are found in a scene that was saved."""

TARGET_ATTRIBUTE = "CRONOS.Target"
"""Node attribute of results: the date of the forecast, or its time and unit."""

_METHOD_ATTRIBUTE = "CRONOS.Method"
_BUNDLE_ATTRIBUTE = "CRONOS.Bundle"
_SCANS_ATTRIBUTE = "CRONOS.Scans"
_LIVE_ATTRIBUTE = "CRONOS.Live"
NOTICE = "Computed by CRONOS. For research use only, not for diagnosis."
"""End of the description of every result."""


@dataclass(frozen=True)
class ResultNodes:
    """The volume nodes of one forecast, in world space, on the grid of the last scan.

    forecast: the scan at the target time
    change:   forecast minus last scan, in the scan's own units
    spread:   how sure it is, as `CRONOSLib.forecast.Forecast` says; None when there is one member only
    warnings: what the user should know about this forecast
    flow:     how it was reached, when the console asked for the trajectory
    aligned:  the earlier scans as they were aligned, when the console asked for them
    carried:  the segmentation of the last scan as the forecast moved it, when the console asked for it
    """

    forecast: slicer.vtkMRMLScalarVolumeNode
    change: slicer.vtkMRMLScalarVolumeNode
    spread: slicer.vtkMRMLScalarVolumeNode | None
    warnings: tuple[str, ...] = ()
    flow: FlowNodes | None = None
    aligned: tuple[slicer.vtkMRMLScalarVolumeNode, ...] = ()
    carried: slicer.vtkMRMLSegmentationNode | None = None

    def __iter__(self) -> Iterator[slicer.vtkMRMLScalarVolumeNode]:
        return (node for node in (self.forecast, self.change, self.spread) if node is not None)


def add_scans(scene: slicer.vtkMRMLScene, series: LongitudinalSeries) -> tuple[slicer.vtkMRMLScalarVolumeNode, ...]:
    """New volume nodes of the scans, oldest first, under one new patient with one dated study for each."""
    hierarchy = SubjectHierarchy(scene)
    patient = hierarchy.add_patient(series.last.patient or "Patient")
    nodes = []
    for scan in series:
        node = add_volume(scene, scan.image, scan.name)
        display.show_scan(node)
        if scan.date is not None:
            keep_date(node, scan.date, scan.source)
        hierarchy.place(node, hierarchy.study(patient, series.describe_time(scan.time), scan.date))
        nodes.append(node)
    return tuple(nodes)


def add_results(
    scene: slicer.vtkMRMLScene,
    forecast: Forecast | ForecastResult,
    last_scan: slicer.vtkMRMLScalarVolumeNode,
    *,
    live: bool = False,
) -> ResultNodes:
    """`adding_results`, all at once."""
    return finished(adding_results(scene, forecast, last_scan, live=live))


def adding_results(
    scene: slicer.vtkMRMLScene,
    forecast: Forecast | ForecastResult,
    last_scan: slicer.vtkMRMLScalarVolumeNode,
    *,
    live: bool = False,
) -> Steps[ResultNodes]:
    """Volume nodes of a forecast, named after the last scan and the target.

    They stand in a study of their own, dated with the target, beside the studies of the last scan's patient. The
    forecast is shown with the window of the last scan. A forecast of the same scans, method and date gets new voxels
    in the nodes that it has: nothing piles up. The scene sees nothing of it before the last step.

    live: it takes the place of this scan's other live forecast, whatever its date, and leaves all others alone
    """
    target = forecast.series.describe_time(forecast.target_time)
    identity = _identity(forecast, live)
    filled, strongest = yield from _filled(forecast)
    earlier = _earlier(scene, last_scan, identity, live)
    nodes = {}
    said = {"forecast": f"{_how(forecast)} ", "spread": f"Spread: {forecast.spread_meaning}. "}
    for kind in ("forecast", "change", "spread"):
        if kind in filled:
            name = f"{last_scan.GetName()} {'live ' if live else ''}{kind} {target}"
            nodes[kind] = _result(scene, earlier.get(kind), filled[kind], name, identity | {RESULT_ATTRIBUTE: kind})
            nodes[kind].SetDescription(f"{said.get(kind, '')}{NOTICE}")
            nodes[kind].SetVoxelValueUnits(last_scan.GetVoxelValueUnits())
        elif kind in earlier:
            SubjectHierarchy(scene).remove(earlier[kind])
    if "forecast" not in earlier:
        display.show_like(nodes["forecast"], last_scan)
    display.show_change(nodes["change"], strongest["change"])
    if "spread" in nodes:
        display.show_spread(nodes["spread"], strongest["spread"])
    results = ResultNodes(nodes["forecast"], nodes["change"], nodes.get("spread"), tuple(forecast.warnings))
    _refer(results, last_scan)
    hierarchy = SubjectHierarchy(scene)
    date = forecast.series.date_at(forecast.target_time)
    study = hierarchy.study(hierarchy.home_of(last_scan), "Live forecast" if live else f"Forecast {target}", date)
    for node in nodes.values():
        hierarchy.place(node, study)
    return results


def _how(forecast: Forecast | ForecastResult) -> str:
    """How it was reached; what comes from the worker brings its report along."""
    reached = getattr(forecast, "report", None)
    if reached is None:
        from CRONOSLib.report import how_reached

        reached = how_reached(forecast)  # type: ignore[arg-type]
    return how(reached, forecast.bundle.name if forecast.bundle else None)


def _filled(
    forecast: Forecast | ForecastResult,
) -> Steps[tuple[dict[str, slicer.vtkMRMLScalarVolumeNode], dict[str, float]]]:
    """Volumes of a forecast by their kind, in no scene yet, and the strongest value of each map; one at a time."""
    images = {"forecast": forecast.image, "change": forecast.change, "spread": forecast.spread}
    filled: dict[str, slicer.vtkMRMLScalarVolumeNode] = {}
    strongest: dict[str, float] = {}
    for kind, image in images.items():
        if image is not None:
            filled[kind] = filled_volume(image)
            yield
            if kind != "forecast":
                strongest[kind] = display.strongest_of(filled[kind])
                yield
    return filled, strongest


def results_of(forecast: slicer.vtkMRMLScalarVolumeNode | None) -> ResultNodes | None:
    """The nodes of a forecast, or None when it is no forecast or its map of change is gone from the scene."""
    if forecast is None:
        return None
    change = forecast.GetNodeReference(_CHANGE_ROLE)
    return None if change is None else ResultNodes(forecast, change, forecast.GetNodeReference(_SPREAD_ROLE))


def last_scan_of(forecast: slicer.vtkMRMLScalarVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The scan that a forecast is compared with, or None when it is gone from the scene."""
    return forecast.GetNodeReference(_LAST_SCAN_ROLE) if forecast else None


def _refer(results: ResultNodes, last_scan: slicer.vtkMRMLScalarVolumeNode) -> None:
    spread = results.spread.GetID() if results.spread else None
    results.forecast.SetNodeReferenceID(_CHANGE_ROLE, results.change.GetID())
    results.forecast.SetNodeReferenceID(_SPREAD_ROLE, spread)
    results.forecast.SetNodeReferenceID(_LAST_SCAN_ROLE, last_scan.GetID())


def _identity(forecast: Forecast | ForecastResult, live: bool) -> dict[str, str]:
    """Attributes that tell one forecast from another."""
    series = forecast.series
    return {
        _SCANS_ATTRIBUTE: ", ".join(series.describe_time(scan.time) for scan in series),
        _METHOD_ATTRIBUTE: forecast.method,
        _BUNDLE_ATTRIBUTE: forecast.bundle.name if forecast.bundle else "",
        TARGET_ATTRIBUTE: series.describe_time(forecast.target_time),
        _LIVE_ATTRIBUTE: "1" if live else "",
    }


def _earlier(
    scene: slicer.vtkMRMLScene, last_scan: slicer.vtkMRMLScalarVolumeNode, identity: dict[str, str], live: bool
) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """The nodes whose place a forecast takes, by their kind, as far as the user left them in the scene."""
    decisive = (RESULT_ATTRIBUTE, _LIVE_ATTRIBUTE) if live else (RESULT_ATTRIBUTE, *identity)
    wanted = {**identity, RESULT_ATTRIBUTE: "forecast"}
    for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        same = all((node.GetAttribute(name) or "") == wanted[name] for name in decisive)
        if same and last_scan_of(node) is last_scan:
            parts = (node, *(node.GetNodeReference(role) for role in (_CHANGE_ROLE, _SPREAD_ROLE)))
            return {found.GetAttribute(RESULT_ATTRIBUTE): found for found in parts if found is not None}
    return {}


def _result(
    scene: slicer.vtkMRMLScene,
    node: slicer.vtkMRMLScalarVolumeNode | None,
    filled: slicer.vtkMRMLScalarVolumeNode,
    name: str,
    attributes: dict[str, str],
) -> slicer.vtkMRMLScalarVolumeNode:
    """The node with the voxels of a filled one, or the filled one itself."""
    if node is None:
        node = add_filled(scene, filled, name)
    else:
        node.SetAndObserveImageData(filled.GetImageData())
        node.CopyOrientation(filled)
        if node.GetAttribute(TARGET_ATTRIBUTE) != attributes[TARGET_ATTRIBUTE]:
            node.SetName(name)
    for attribute, value in attributes.items():
        node.SetAttribute(attribute, value or None)
    return node
