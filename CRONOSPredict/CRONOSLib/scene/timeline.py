"""A patient through time as a sequence that Slicer's own toolbar browses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene import display
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.nodes import add_filled, nodes_of_class
from CRONOSLib.scene.results import RESULT_ATTRIBUTE, TARGET_ATTRIBUTE
from CRONOSLib.scene.sequences import browse, new_sequence, number_of, set_item, values_of
from CRONOSLib.scene.steps import Steps, finished
from CRONOSLib.series import LongitudinalSeries, TimeUnit

if TYPE_CHECKING:  # a scene is shown without torch, which a forecast needs
    import SimpleITK as sitk

    from CRONOSLib.timeline import Frame

REAL_ATTRIBUTE = "CRONOS.Real"
"""Node attribute of a frame: "1" when it is a scan that was taken, "0" when it is a forecast."""

_LAST_SCAN_ROLE, _SPREAD_ROLE = "CRONOS.LastScan", "CRONOS.Spread"
_FRAMES_PER_SECOND = 2.0


@dataclass(frozen=True)
class TimelineNodes:
    """A patient through time.

    browser:  what the toolbar shows and moves
    sequence: scans and forecasts on the last scan's grid and in its units, by time
    spread:   that of the forecasts, by time; None where there is one member only
    volume:   the frame that is shown, in world space
    last:     the last scan
    """

    browser: slicer.vtkMRMLSequenceBrowserNode
    sequence: slicer.vtkMRMLSequenceNode
    spread: slicer.vtkMRMLSequenceNode | None
    volume: slicer.vtkMRMLScalarVolumeNode
    last: slicer.vtkMRMLScalarVolumeNode


@dataclass(frozen=True)
class FrameNote:
    """What is said about a frame: its date, or its time with the unit, and whether it is a scan that was taken."""

    time: str
    real: bool


def timeline_of(last: slicer.vtkMRMLScalarVolumeNode | None) -> TimelineNodes | None:
    """The patient through time whose last scan this is, or None when none was made or part of it is gone."""
    if last is None:
        return None
    for browser in nodes_of_class(last.GetScene(), "vtkMRMLSequenceBrowserNode"):
        if browser.GetNodeReference(_LAST_SCAN_ROLE) is last and (sequence := browser.GetMasterSequenceNode()):
            volume = browser.GetProxyNode(sequence)
            if volume is not None:
                return TimelineNodes(browser, sequence, browser.GetNodeReference(_SPREAD_ROLE), volume, last)
    return None


def add_timeline(
    frames: Sequence[Frame], series: LongitudinalSeries, last: slicer.vtkMRMLScalarVolumeNode
) -> TimelineNodes:
    """Sequence and browser of a patient through time, in a folder under the patient; shows the last scan.

    An earlier one of the same last scan is replaced: its browser and the volume that is shown stay.

    frames: in any order; the last scan among them
    """
    return finished(timeline_steps(frames, series, last))


def timeline_steps(
    frames: Sequence[Frame], series: LongitudinalSeries, last: slicer.vtkMRMLScalarVolumeNode
) -> Steps[TimelineNodes]:
    """`add_timeline` one frame at a time; nothing of it is in the scene before the last step."""
    names = (f"{last.GetName()} {what}" for what in ("frames", "spreads"))
    sequence, spread = (new_sequence(name, "time", series.unit.value) for name in names)
    for frame in frames:
        label = series.describe_time(frame.time)
        _set_frame(sequence, frame.time, frame.image, label, frame.real)
        if frame.spread is not None:
            _set_frame(spread, frame.time, frame.spread, label, False)
        yield
    return _in_scene(sequence, spread, last, series.last.time)


def note_of(timeline: TimelineNodes) -> FrameNote:
    """What is said about the frame that is shown; nothing while the sequence is being replaced."""
    number = timeline.browser.GetSelectedItemNumber()
    known = timeline.sequence.GetScene() is not None and 0 <= number < timeline.sequence.GetNumberOfDataNodes()
    return _note(timeline.sequence.GetNthDataNode(number) if known else None)


def notes_of(timeline: TimelineNodes) -> tuple[FrameNote, ...]:
    """What is said about each frame, by time."""
    count = timeline.sequence.GetNumberOfDataNodes()
    return tuple(_note(timeline.sequence.GetNthDataNode(index)) for index in range(count))


def times_of(timeline: TimelineNodes) -> tuple[float, ...]:
    """Time of each frame, in the unit of the sequence's index."""
    return values_of(timeline.sequence)


def _note(frame: slicer.vtkMRMLNode | None) -> FrameNote:
    if frame is None:
        return FrameNote("", False)
    return FrameNote(frame.GetAttribute(TARGET_ATTRIBUTE) or "", frame.GetAttribute(REAL_ATTRIBUTE) == "1")


def _set_frame(sequence: slicer.vtkMRMLSequenceNode, time: float, image: sitk.Image, label: str, real: bool) -> None:
    attributes = {RESULT_ATTRIBUTE: "frame", REAL_ATTRIBUTE: "1" if real else "0", TARGET_ATTRIBUTE: label}
    set_item(sequence, time, image, f"{label} {'scan' if real else 'forecast'}", attributes)


def _in_scene(
    sequence: slicer.vtkMRMLSequenceNode,
    spread: slicer.vtkMRMLSequenceNode,
    last: slicer.vtkMRMLScalarVolumeNode,
    last_time: float,
) -> TimelineNodes:
    scene = last.GetScene()
    earlier = timeline_of(last)
    shown = number_of(sequence, last_time)
    if earlier is None:
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{last.GetName()} timeline")
        volume = _new_volume(sequence.GetNthDataNode(shown), last, f"{last.GetName()} through time")
    else:
        browser, volume = earlier.browser, earlier.volume
    modifying = browser.StartModify()  # else the logic of sequences makes a volume of its own
    if earlier is not None:
        browser.RemoveSynchronizedSequenceNode(earlier.sequence.GetID())
        for node in (earlier.sequence, earlier.spread):
            if node is not None:
                SubjectHierarchy(scene).remove(node)
    scene.AddNode(sequence)
    browse(browser, sequence, volume)
    browser.SetPlaybackRateFps(_FRAMES_PER_SECOND)
    browser.SetIndexDisplayFormat("%.0f" if sequence.GetIndexUnit() == TimeUnit.DAY.value else "%.4g")
    browser.SetNodeReferenceID(_LAST_SCAN_ROLE, last.GetID())
    has_spread = spread.GetNumberOfDataNodes() > 0
    browser.SetNodeReferenceID(_SPREAD_ROLE, scene.AddNode(spread).GetID() if has_spread else None)
    browser.EndModify(modifying)
    browser.SetSelectedItemNumber(shown)
    nodes = TimelineNodes(browser, sequence, spread if has_spread else None, volume, last)
    place_in_folder(nodes, *(node for node in (browser, sequence, nodes.spread, volume) if node is not None))
    return nodes


def place_in_folder(timeline: TimelineNodes, *nodes: slicer.vtkMRMLNode) -> None:
    """Put nodes where the patient through time stands in the subject hierarchy."""
    hierarchy = SubjectHierarchy(timeline.last.GetScene())
    study = hierarchy.study(hierarchy.home_of(timeline.last), "Through time", None)
    for node in nodes:
        hierarchy.place(node, study)


def _new_volume(
    frame: slicer.vtkMRMLScalarVolumeNode, last: slicer.vtkMRMLScalarVolumeNode, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.CopyContent(frame)
    volume.SetAttribute(RESULT_ATTRIBUTE, "frame")
    volume = add_filled(last.GetScene(), volume, name)
    display.show_like(volume, last)
    return volume
