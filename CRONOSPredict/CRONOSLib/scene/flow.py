"""The flow of a forecast as sequences over the flow step, which one browser moves together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_filled, filled_volume, nodes_of_class
from CRONOSLib.scene.results import RESULT_ATTRIBUTE
from CRONOSLib.scene.sequences import browse, new_sequence, set_item, values_of
from CRONOSLib.scene.steps import Steps
from CRONOSLib.series import LongitudinalSeries

if TYPE_CHECKING:
    import SimpleITK as sitk

    from CRONOSLib.forecasting.native_flow import Flow

FLOW = "flow"
"""Value of `RESULT_ATTRIBUTE` of a browser, and of the volumes that it moves."""

SCAN_ATTRIBUTE = "CRONOS.FlowOf"
"""Attribute of a volume that moves: date or time of the scan that the flow carries."""

_STATES, _SPEEDS = "CRONOS.FlowStates", "CRONOS.FlowSpeeds"
_DISAGREEMENT, _BEND, _LAST_SCAN = "CRONOS.FlowDisagreement", "CRONOS.FlowBend", "CRONOS.FlowLastScan"
_STRAIGHTNESS, _SOLVER, _NFE = "CRONOS.Straightness", "CRONOS.Solver", "CRONOS.NFE"


@dataclass(frozen=True)
class FlowNodes:
    """The flow of one forecast in a scene; volumes stand in world space.

    browser:      moves the flow step of all scans at once
    states:       X_τ of each context scan, oldest first, on the last scan's grid and in its units
    speeds:       |dX/dτ| of each, on the method's grid
    disagreement: standard deviation of the members; None with one scan
    bend:         the forecast minus the one that a single Euler step makes
    last:         the last scan
    """

    browser: slicer.vtkMRMLSequenceBrowserNode
    states: tuple[slicer.vtkMRMLScalarVolumeNode, ...]
    speeds: tuple[slicer.vtkMRMLScalarVolumeNode, ...]
    disagreement: slicer.vtkMRMLScalarVolumeNode | None
    bend: slicer.vtkMRMLScalarVolumeNode
    last: slicer.vtkMRMLScalarVolumeNode

    @property
    def taus(self) -> tuple[float, ...]:
        """The flow steps, from 0 to 1."""
        return values_of(self.browser.GetMasterSequenceNode())

    @property
    def straightness(self) -> float:
        """1: one Euler step is enough (`CRONOSLib.forecasting.native_flow.Transport.straightness`)."""
        return float(self.browser.GetAttribute(_STRAIGHTNESS))

    @property
    def solver(self) -> str:
        """How the flow was integrated."""
        return self.browser.GetAttribute(_SOLVER)

    @property
    def nfe(self) -> int:
        """Evaluations of the network."""
        return int(self.browser.GetAttribute(_NFE))

    def __iter__(self) -> Iterator[slicer.vtkMRMLNode]:
        moved = (*self.states, *self.speeds)
        yield self.browser  # first: a browser that misses a volume makes another one
        yield from [self.browser.GetSequenceNode(volume) for volume in moved]
        yield from (*moved, self.bend, *([self.disagreement] if self.disagreement else []))


def flow_of(browser: slicer.vtkMRMLSequenceBrowserNode | None) -> FlowNodes | None:
    """The flow that a browser moves, or None when it moves none or part of it is gone from the scene."""
    if browser is None or browser.GetAttribute(RESULT_ATTRIBUTE) != FLOW:
        return None
    states, speeds = _references(browser, _STATES), _references(browser, _SPEEDS)
    bend, last = browser.GetNodeReference(_BEND), browser.GetNodeReference(_LAST_SCAN)
    whole = states and len(states) == len(speeds) and browser.GetMasterSequenceNode() is not None
    if not whole or None in (*states, *speeds, bend, last):
        return None
    return FlowNodes(browser, states, speeds, browser.GetNodeReference(_DISAGREEMENT), bend, last)


def adding_flow(
    flow: Flow,
    series: LongitudinalSeries,
    target_time: float,
    last: slicer.vtkMRMLScalarVolumeNode,
    *,
    keep_earlier: bool = False,
) -> Steps[FlowNodes]:
    """New nodes of a flow under the patient, beside the forecast of its target; the browser shows the members.

    series:       that was forecast
    keep_earlier: leave the flows of this last scan that the scene has; else they are replaced
    """
    scene, target = last.GetScene(), series.describe_time(target_time)
    sequences = yield from _sequences(flow, series, target)
    if not keep_earlier:
        remove_flows(last)
    browser = scene.AddNode(_new_browser(scene.GenerateUniqueName(f"Flow {target}"), flow))
    made: list[slicer.vtkMRMLNode] = [browser]
    try:
        browser.SetNodeReferenceID(_LAST_SCAN, last.GetID())
        for index, sequence in enumerate(sequences):
            made += _browse(browser, sequence, _STATES if index < len(flow.states) else _SPEEDS)
            yield
        for role, kind, map_ in ((_DISAGREEMENT, "disagreement", flow.disagreement), (_BEND, "bend", flow.bend)):
            if map_ is not None:
                made.append(_add_map(scene, map_, f"{last.GetName()} flow {kind} {target}", kind))
                browser.SetNodeReferenceID(role, made[-1].GetID())
                yield
        hierarchy = SubjectHierarchy(scene)
        study = hierarchy.study(hierarchy.home_of(last), f"Forecast {target}", series.date_at(target_time))
        folder = hierarchy.folder(study, browser.GetName())
        for node in made:
            hierarchy.place(node, folder)
        found = flow_of(browser)
        assert found is not None
        _show(found)
        browser.SetSelectedItemNumber(len(flow.taus) - 1)
    except BaseException:  # the scene closes, the user cancels: nothing half-made stays
        _remove(scene, made)
        raise
    return found


def remove_flows(last: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Take all flows of a last scan out of its scene."""
    scene = last.GetScene()
    for browser in nodes_of_class(scene, "vtkMRMLSequenceBrowserNode"):
        flow = flow_of(browser)
        if flow is not None and flow.last is last:
            _remove(scene, list(flow))


def _references(browser: slicer.vtkMRMLSequenceBrowserNode, role: str) -> tuple:
    return tuple(browser.GetNthNodeReference(role, index) for index in range(browser.GetNumberOfNodeReferences(role)))


def _sequences(flow: Flow, series: LongitudinalSeries, target: str) -> Steps[list[slicer.vtkMRMLSequenceNode]]:
    """Sequences of the states of each scan, then of its speeds, in no scene yet; one image at a time."""
    scans = [scan for scan in series if scan.time in flow.times]
    sequences: list[slicer.vtkMRMLSequenceNode] = []
    for what, images in (("flow", flow.states), ("flow speed", flow.speeds)):
        for scan, steps in zip(scans, images):
            attributes = {RESULT_ATTRIBUTE: FLOW, SCAN_ATTRIBUTE: series.describe_time(scan.time)}
            name = f"{scan.name} {what} {target} steps"
            sequences.append(new_sequence(name, "flow step"))
            for tau, image in zip(flow.taus, steps):
                set_item(sequences[-1], tau, image, f"{name} {tau:.3g}", attributes)
                yield
    return sequences


def _new_browser(name: str, flow: Flow) -> slicer.vtkMRMLSequenceBrowserNode:
    """A browser that is not in the scene yet: lists look at attributes when a node comes."""
    browser = slicer.vtkMRMLSequenceBrowserNode()
    browser.SetName(name)
    browser.SetAttribute(RESULT_ATTRIBUTE, FLOW)
    browser.SetAttribute(_STRAIGHTNESS, repr(flow.straightness))
    browser.SetAttribute(_SOLVER, flow.solver)
    browser.SetAttribute(_NFE, str(flow.nfe))
    browser.SetIndexDisplayFormat("%.2f")
    browser.SetPlaybackRateFps(2.0)
    return browser


def _browse(
    browser: slicer.vtkMRMLSequenceBrowserNode, sequence: slicer.vtkMRMLSequenceNode, role: str
) -> tuple[slicer.vtkMRMLSequenceNode, slicer.vtkMRMLScalarVolumeNode]:
    """Add a sequence to the scene and its browser, and the volume that shows its step."""
    scene = browser.GetScene()
    modifying = browser.StartModify()  # else the logic of sequences makes a volume of its own
    scene.AddNode(sequence)
    name = scene.GenerateUniqueName(sequence.GetName().removesuffix(" steps"))
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    volume.CopyContent(sequence.GetNthDataNode(sequence.GetNumberOfDataNodes() - 1))
    browse(browser, sequence, volume)
    browser.AddNodeReferenceID(role, volume.GetID())
    browser.EndModify(modifying)
    return sequence, volume


def _add_map(scene: slicer.vtkMRMLScene, image: sitk.Image, name: str, kind: str) -> slicer.vtkMRMLScalarVolumeNode:
    node = add_filled(scene, filled_volume(image), name)
    node.SetAttribute(RESULT_ATTRIBUTE, kind)
    (display.show_spread if kind == "disagreement" else display.show_change)(node)
    return node


def _show(flow: FlowNodes) -> None:
    for state in flow.states:
        display.show_like(state, flow.last)
    fastest = max(_strongest(flow.browser.GetSequenceNode(speed)) for speed in flow.speeds) or 1.0
    for speed in flow.speeds:
        display.show_spread(speed, fastest)


def _strongest(sequence: slicer.vtkMRMLSequenceNode) -> float:
    count = sequence.GetNumberOfDataNodes()
    return max(
        float(np.percentile(slicer.util.arrayFromVolume(sequence.GetNthDataNode(n)), 99.5)) for n in range(count)
    )


def _remove(scene: slicer.vtkMRMLScene, nodes: Sequence[slicer.vtkMRMLNode]) -> None:
    for identifier in [node.GetID() for node in nodes]:
        node = scene.GetNodeByID(identifier)
        if node is not None:
            SubjectHierarchy(scene).remove(node)
