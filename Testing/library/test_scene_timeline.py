"""A patient through time as nodes: sequence, browser, plot, and what a saved scene keeps of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
import vtk  # noqa: E402
from CRONOSLib.errors import ImageError, SeriesError  # noqa: E402
from CRONOSLib.imaging.registration import Alignment  # noqa: E402
from CRONOSLib.scene.course import Quantity, course_of  # noqa: E402
from CRONOSLib.scene.mrb import read_scene, write_scene  # noqa: E402
from CRONOSLib.scene.nodes import add_volume, image_of, nodes_of_class  # noqa: E402
from CRONOSLib.scene.plot import PlotWords, chart_of, plot_course  # noqa: E402
from CRONOSLib.scene.regions import parts_of  # noqa: E402
from CRONOSLib.scene.series import series_of_dates  # noqa: E402
from CRONOSLib.scene.timeline import REAL_ATTRIBUTE, add_timeline, notes_of, timeline_of, times_of  # noqa: E402
from CRONOSLib.timeline import Frame  # noqa: E402
from slicerhost import load_module, open_host  # noqa: E402

WORDS = PlotWords("Days", "Mean intensity", "Scans", "Forecast", "Low", "High", "Date")
DAYS = (0, 60, 120)


@pytest.fixture
def scans(head):
    """Three visits whose lesion grows, in an empty scene with Slicer's logic of sequences."""
    open_host()
    slicer.mrmlScene.sequences = slicer.vtkSlicerSequencesLogic()
    slicer.mrmlScene.sequences.SetMRMLScene(slicer.mrmlScene)
    nodes = []
    for index, day in enumerate(DAYS):
        name = f"T1 {(datetime(2020, 1, 1) + timedelta(days=day)).date()}"
        nodes.append(add_volume(slicer.mrmlScene, head(5 + 2 * index), name))
        nodes[-1].GetDisplayNode().AutoWindowLevelOff()
        nodes[-1].GetDisplayNode().SetWindowLevel(207, 90)
    return nodes


def played(scans, *days: float):
    dates = [datetime(2020, 1, 1) + timedelta(days=day) for day in days]
    logic = load_module("CRONOSPredict").CRONOSPredictLogic()
    return logic.forecastThroughTime(scans, targetDates=dates, method="linear", alignment=Alignment.OFF)


def test_scans_and_forecasts_stand_in_one_sequence_by_day(scans) -> None:
    made = played(scans, 90, 180, 240)
    assert times_of(made) == (0, 60, 90, 120, 180, 240)
    assert [note.real for note in notes_of(made)] == [True, True, False, True, False, False]
    assert notes_of(made)[-1].time == "2020-08-28"
    sequence = made.sequence
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("time", "day")
    assert sequence.GetIndexType() == slicer.vtkMRMLSequenceNode.NumericIndex


def test_the_browser_moves_the_volume_through_time(scans) -> None:
    made = played(scans, 90, 240)
    alone = load_module("CRONOSPredict").CRONOSPredictLogic()
    forecast = alone.forecast(scans, targetDate="2020-08-28", method="linear", alignment=Alignment.OFF).forecast
    made.browser.SetSelectedItemNumber(made.sequence.GetNumberOfDataNodes() - 1)
    assert made.browser.GetProxyNode(made.sequence) is made.volume
    assert np.array_equal(slicer.util.arrayFromVolume(made.volume), slicer.util.arrayFromVolume(forecast))
    assert made.volume.GetAttribute(REAL_ATTRIBUTE) == "0"
    made.browser.SetSelectedItemNumber(0)
    assert made.volume.GetAttribute(REAL_ATTRIBUTE) == "1"
    assert made.volume.GetDisplayNode().GetWindow() == scans[-1].GetDisplayNode().GetWindow()


def test_every_frame_lies_on_the_last_scan_in_the_world(scans) -> None:
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    for row, mm in enumerate((4.0, -6.0, 3.0)):
        matrix.SetElement(row, 3, mm)
    shift.SetMatrixTransformToParent(matrix)
    for scan in scans:
        scan.SetAndObserveTransformNodeID(shift.GetID())
    untouched = [(scan.GetMTime(), scan.GetImageData().GetMTime()) for scan in scans]
    made = played(scans, 240)
    last = image_of(scans[-1])
    for index in range(made.sequence.GetNumberOfDataNodes()):
        frame = image_of(made.sequence.GetNthDataNode(index))
        assert frame.GetSize() == last.GetSize()
        assert frame.GetOrigin() == pytest.approx(last.GetOrigin())
        assert frame.GetDirection() == pytest.approx(last.GetDirection())
    real = made.sequence.GetDataNodeAtValue("120")
    assert np.array_equal(slicer.util.arrayFromVolume(real), sitk.GetArrayFromImage(last))
    assert untouched == [(scan.GetMTime(), scan.GetImageData().GetMTime()) for scan in scans]


def test_a_second_sequence_takes_the_place_of_the_first(scans) -> None:
    first = played(scans, 90, 240)
    plot_course(first, list(course_of(first, Quantity.MEAN)), WORDS)
    count = slicer.mrmlScene.GetNumberOfNodes()
    second = played(scans, 200, 300, 400)
    plot_course(second, list(course_of(second, Quantity.MEAN)), WORDS)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert (second.browser, second.volume) == (first.browser, first.volume)
    assert times_of(timeline_of(scans[-1])) == (0, 60, 120, 200, 300, 400)


def test_everything_stands_under_the_patient(scans) -> None:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "Doe")
    for scan in scans:
        tree.CreateItem(patient, scan)
    made = played(scans, 240)
    chart = plot_course(made, list(course_of(made, Quantity.MEAN)), WORDS)
    for node in (made.browser, made.sequence, made.volume, chart):
        assert tree.GetItemAncestorAtLevel(tree.GetItemByDataNode(node), "Patient") == patient


def test_what_the_user_put_under_a_sequence_stays_when_that_is_replaced(scans) -> None:
    timeline = played(scans, 150)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    folder = tree.GetItemParent(tree.GetItemByDataNode(timeline.sequence))
    tree.CreateItem(tree.GetItemByDataNode(timeline.sequence), drawn)
    played(scans, 170)
    assert tree.GetItemParent(tree.GetItemByDataNode(drawn)) == folder


def test_a_saved_scene_keeps_sequence_browser_and_plot(scans, tmp_path: Path) -> None:
    made = played(scans, 90, 240)
    plot_course(made, list(course_of(made, Quantity.MEAN)), WORDS)
    write_scene(slicer.mrmlScene, tmp_path / "through time.mrb")
    scene = read_scene(tmp_path / "through time.mrb")
    (last,) = (
        node for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode") if node.GetName() == scans[-1].GetName()
    )
    found = timeline_of(last)
    assert (times_of(found), notes_of(found)) == (times_of(made), notes_of(made))
    for index in range(len(times_of(made))):
        saved, kept = (nodes.sequence.GetNthDataNode(index) for nodes in (found, made))
        assert np.array_equal(slicer.util.arrayFromVolume(saved), slicer.util.arrayFromVolume(kept))
    assert chart_of(found).GetNumberOfPlotSeriesNodes() == 4


def test_the_mean_over_time_is_that_of_each_frame(scans) -> None:
    made = played(scans, 90, 240)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "lesion")
    right, anterior, superior = made.volume.GetOrigin()
    roi.SetCenter(right - 2.0 * 16, anterior - 2.0 * 14, superior + 3.0 * 8)
    roi.SetSize(8.0, 8.0, 9.0)
    points = list(course_of(made, Quantity.MEAN, roi))
    assert [point.real for point in points] == [True, True, False, True, False]
    frame = slicer.util.arrayFromVolume(made.sequence.GetNthDataNode(4))
    assert points[4].value == pytest.approx(frame[7:10, 12:17, 14:19].mean(), rel=1e-5)


def test_the_band_is_as_wide_as_the_spread(scans) -> None:
    series = series_of_dates(scans).series
    last = sitk.Cast(series.last.image, sitk.sitkFloat32)
    frames = [Frame(120.0, last, real=True), Frame(240.0, last, last * 0 + 3)]
    made = add_timeline(frames, series, scans[-1])
    real, forecast = course_of(made, Quantity.MEAN)
    assert (real.low, real.high) == (real.value, real.value)
    assert (forecast.value - forecast.low, forecast.high - forecast.value) == pytest.approx((3, 3))
    real, forecast = course_of(made, Quantity.CHANGED, threshold=2)
    body = np.count_nonzero(slicer.util.arrayFromVolume(scans[-1]) > 50)
    assert (forecast.low, forecast.value) == (0, 0)
    assert forecast.high == pytest.approx(0.012 * body, rel=0.1)
    assert real.high == 0


def test_segments_of_the_same_name_are_both_measured(host, scans) -> None:
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    drawn.CreateDefaultDisplayNodes()
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(scans[-1])
    for number in range(2):
        mask = np.zeros(slicer.util.arrayFromVolume(scans[-1]).shape, np.uint8)
        mask[number] = 1
        made = drawn.GetSegmentation().AddEmptySegment(f"part-{number}", f"part {number}")
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, drawn, made, scans[-1])
        drawn.GetSegmentation().GetSegment(made).SetName("lesion")
    parts = parts_of(drawn, scans[-1])
    assert list(parts) == ["lesion", "lesion (part-1)"]
    assert [int(part.any(axis=(1, 2)).argmax()) for part in parts.values()] == [0, 1]


def test_a_region_without_a_voxel_is_said(scans) -> None:
    made = played(scans, 240)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "far away")
    roi.SetCenter(1000, 0, 0)
    roi.SetSize(5, 5, 5)
    with pytest.raises(ImageError, match="far away"):
        list(course_of(made, Quantity.MEAN, roi))


def test_dates_at_which_scans_were_taken_are_nothing_to_forecast(scans) -> None:
    with pytest.raises(SeriesError, match="other date"):
        played(scans, 60, 120)
    assert timeline_of(scans[-1]) is None
