"""A forecast as nodes of a scene, in the subject hierarchy of its patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.dates import keep_date
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_volume
from CRONOSLib.series import LongitudinalSeries

if TYPE_CHECKING:  # a scene is shown without torch, which a forecast needs
    import SimpleITK as sitk

    from CRONOSLib.forecast import Forecast
    from CRONOSLib.worker.job import ForecastResult

RESULT_ATTRIBUTE = "CRONOS.Result"
"""Node attribute of results, never of real scans: `forecast`, `change` or `spread`."""

_CHANGE_ROLE, _SPREAD_ROLE, _LAST_SCAN_ROLE = "CRONOS.Change", "CRONOS.Spread", "CRONOS.LastScan"
"""Node references of a forecast, by which its other nodes are found in a scene that was saved."""

_TARGET_ATTRIBUTE = "CRONOS.Target"
_METHOD_ATTRIBUTE = "CRONOS.Method"
_BUNDLE_ATTRIBUTE = "CRONOS.Bundle"
_NOTICE = "Computed by CRONOS. For research use only, not for diagnosis."


@dataclass(frozen=True)
class ResultNodes:
    """The volume nodes of one forecast, in world space, on the grid of the last scan.

    forecast: the scan at the target time
    change:   forecast minus last scan, in the scan's own units
    spread:   standard deviation of the members, or None when there is one member only
    warnings: what the user should know about this forecast
    """

    forecast: slicer.vtkMRMLScalarVolumeNode
    change: slicer.vtkMRMLScalarVolumeNode
    spread: slicer.vtkMRMLScalarVolumeNode | None
    warnings: tuple[str, ...] = ()

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
) -> ResultNodes:
    """New volume nodes of a forecast, named after the last scan and the target.

    They stand in a study of their own, dated with the target, beside the studies of the last scan's patient. The
    forecast is shown with the window of the last scan.
    """
    target = forecast.series.describe_time(forecast.target_time)
    images = {"forecast": forecast.image, "change": forecast.change, "spread": forecast.spread}
    nodes = {
        kind: _add_result(scene, forecast, kind, image, f"{last_scan.GetName()} {kind} {target}")
        for kind, image in images.items()
        if image is not None
    }
    display.show_like(nodes["forecast"], last_scan)
    display.show_change(nodes["change"])
    if "spread" in nodes:
        display.show_spread(nodes["spread"])
    results = ResultNodes(nodes["forecast"], nodes["change"], nodes.get("spread"), tuple(forecast.warnings))
    _refer(results, last_scan)
    hierarchy = SubjectHierarchy(scene)
    date = forecast.series.date_at(forecast.target_time)
    study = hierarchy.study(hierarchy.home_of(last_scan), f"Forecast {target}", date)
    for node in nodes.values():
        hierarchy.place(node, study)
    return results


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


def _add_result(
    scene: slicer.vtkMRMLScene, forecast: Forecast | ForecastResult, kind: str, image: sitk.Image, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    node = add_volume(scene, image, name)
    node.SetDescription(_NOTICE)
    node.SetAttribute(RESULT_ATTRIBUTE, kind)
    node.SetAttribute(_TARGET_ATTRIBUTE, forecast.series.describe_time(forecast.target_time))
    node.SetAttribute(_METHOD_ATTRIBUTE, forecast.method)
    if forecast.bundle is not None:
        node.SetAttribute(_BUNDLE_ATTRIBUTE, forecast.bundle.name)
    return node
