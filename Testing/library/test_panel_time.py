"""Section "Through time" of the panel: playing dates as a sequence, the plot, and live forecasts."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
from CRONOSLib.scene.course import Quantity, course_of  # noqa: E402
from CRONOSLib.scene.nodes import add_volume  # noqa: E402
from CRONOSLib.scene.plot import chart_of  # noqa: E402
from CRONOSLib.scene.results import last_scan_of  # noqa: E402
from CRONOSLib.scene.timeline import notes_of, timeline_of, times_of  # noqa: E402
from panel_driver import pick, run, until  # noqa: E402

pytestmark = pytest.mark.usefixtures("shared_worker")


@pytest.fixture
def filled(panel, head, choose):
    """Three visits 60 days apart, the method that draws a line, scans that need no alignment, three forecasts."""
    for index in range(3):
        day = (datetime(2020, 1, 1) + timedelta(days=60 * index)).date()
        add_volume(slicer.mrmlScene, head(5 + 2 * index), f"T1 {day}")
        choose(panel, f"T1 {day}")
    pick(panel.ui.methodCombo, "linear")
    pick(panel.ui.alignmentCombo, "off")
    panel.ui.framesSpin.value = 4
    return panel


def made():
    return timeline_of(slicer.mrmlScene.GetFirstNodeByName("T1 2020-04-30"))


def play(panel):
    """Press Play, and wait until the plot is there."""
    panel.ui.playButton.click()
    assert panel.ui.playButton.text == "Cancel", panel.ui.playButton.toolTip
    until(lambda: not panel.panel.time.playing)
    until(lambda: not panel.panel.time.course.busy)
    return made()


def test_the_dates_go_from_the_first_scan_to_the_horizon(filled) -> None:
    ui = filled.ui
    assert ui.timeCollapsibleButton.collapsed
    assert ui.timeFirstDateEdit.date.toString("yyyy-MM-dd") == "2020-01-01"
    assert ui.timeLastDateEdit.date.toString("yyyy-MM-dd") == "2020-08-28"
    assert play(filled).sequence.GetNumberOfDataNodes() == 3 + 3, "the scan of the first date is there already"


def test_play_shows_scans_and_forecasts_above_the_plot(filled) -> None:
    timeline = play(filled)
    assert times_of(timeline) == (0, 60, 80, 120, 160, 240)
    assert [note.real for note in notes_of(timeline)] == [True, True, False, True, False, False]
    layouts = slicer.app.layoutManager()
    view = layouts.sliceWidget("CRONOSTimeAxial")
    assert view.mrmlSliceNode().IsMappedInLayout()
    assert view.mrmlSliceCompositeNode().GetBackgroundVolumeID() == timeline.volume.GetID()
    plot = slicer.mrmlScene.GetSingletonNode("CRONOSTimePlot", "vtkMRMLPlotViewNode")
    assert plot.GetPlotChartNode() is chart_of(timeline)
    assert timeline.browser.GetPlaybackActive()


def test_the_panel_tells_which_frame_the_toolbar_shows(filled) -> None:
    timeline = play(filled)
    timeline.browser.SetSelectedItemNumber(5)
    assert "2020-08-28, forecast" in filled.ui.timeLabel.text
    timeline.browser.SetSelectedItemNumber(0)
    assert "2020-01-01, scan" in filled.ui.timeLabel.text


def test_the_user_chooses_dates_and_they_come_back(filled) -> None:
    import qt

    filled.ui.timeFirstDateEdit.date = qt.QDate(2020, 6, 1)
    filled.ui.timeLastDateEdit.date = qt.QDate(2020, 6, 10)
    assert [note.time for note in notes_of(play(filled)) if not note.real] == [
        "2020-06-01",
        "2020-06-04",
        "2020-06-07",
        "2020-06-10",
    ]
    filled.setParameterNode(None)
    filled.enter()
    assert filled.ui.timeFirstDateEdit.date.toString("yyyy-MM-dd") == "2020-06-01"
    assert filled.ui.framesSpin.value == 4
    filled.ui.timeWholeButton.click()
    assert filled.ui.timeFirstDateEdit.date.toString("yyyy-MM-dd") == "2020-01-01"


def test_dates_that_cannot_be_played_are_said_on_the_button(filled) -> None:
    import qt

    filled.ui.timeFirstDateEdit.date = qt.QDate(2019, 6, 1)
    assert not filled.ui.playButton.enabled
    assert "before the first scan" in filled.ui.playButton.toolTip
    filled.ui.timeFirstDateEdit.date = qt.QDate(2022, 6, 1)
    assert "behind the last one" in filled.ui.playButton.toolTip
    assert not filled.ui.timeShowButton.enabled


def test_playing_again_makes_no_more_nodes(filled) -> None:
    play(filled)
    count = slicer.mrmlScene.GetNumberOfNodes()
    filled.ui.framesSpin.value = 6
    assert play(filled).sequence.GetNumberOfDataNodes() == 8
    assert slicer.mrmlScene.GetNumberOfNodes() == count


def test_the_plot_follows_what_is_measured(filled) -> None:
    timeline = play(filled)
    chart = chart_of(timeline)
    assert "intensity" in chart.GetYAxisTitle()
    pick(filled.ui.quantityCombo, "changed")
    filled._parameterNode.threshold = 20.0
    until(lambda: not filled.panel.time.course.busy)
    assert "ml" in chart.GetYAxisTitle()
    real = chart.GetNthPlotSeriesNode(3)
    column = real.GetTableNode().GetTable().GetColumnByName(real.GetYColumnName())
    expected = [point.value for point in course_of(timeline, Quantity.CHANGED, None, 20.0) if point.real]
    assert [column.GetValue(row) for row in range(column.GetNumberOfTuples())] == pytest.approx(expected)
    assert expected[0] > expected[1] > expected[2] == 0


def test_a_segment_is_measured_where_it_lies(filled) -> None:
    timeline, last = play(filled), slicer.util.getNode("T1 2020-04-30")
    mask = np.zeros(slicer.util.arrayFromVolume(last).shape, np.uint8)
    mask[6:10, 12:18, 14:20] = 1
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = segmentation.GetSegmentation().AddEmptySegment("lesion", "lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, last)
    filled.ui.regionSelector.setCurrentNode(segmentation)
    until(lambda: not filled.panel.time.course.busy)
    series = chart_of(timeline).GetNthPlotSeriesNode(2)
    column = series.GetTableNode().GetTable().GetColumnByName(series.GetYColumnName())
    final = slicer.util.arrayFromVolume(timeline.sequence.GetNthDataNode(5))
    assert column.GetValue(2) == pytest.approx(final[mask > 0].mean(), rel=1e-5)


def test_the_volume_of_a_segment_is_followed_through_scans_and_forecasts(filled) -> None:
    timeline, last = play(filled), slicer.util.getNode("T1 2020-04-30")
    voxels = slicer.util.arrayFromVolume(last)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[3:13, 8:22, 9:23] = voxels[3:13, 8:22, 9:23] > 140
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = segmentation.GetSegmentation().AddEmptySegment("lesion", "lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, last)
    points = list(course_of(timeline, Quantity.VOLUME, segmentation))
    real, made = ([point.value for point in points if point.real is taken] for taken in (True, False))
    assert real == sorted(real), "the lesion grew"
    assert real[0] < real[-1] < made[-1], "and goes on to grow"
    assert real[-1] == pytest.approx(mask.sum() * 12 / 1000), "as it was drawn"
    pick(filled.ui.quantityCombo, "volume")
    until(lambda: "no segment" in filled.ui.timeLabel.text)


def test_a_region_without_a_voxel_is_said_in_the_panel(filled) -> None:
    play(filled)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "far away")
    roi.SetCenter(1000, 0, 0)
    filled.ui.regionSelector.setCurrentNode(roi)
    until(lambda: "far away" in filled.ui.timeLabel.text)


@pytest.mark.parametrize("turns", [0, 3])
def test_cancelling_leaves_nothing_half_made(filled, turns: int) -> None:
    filled.ui.framesSpin.value = 100
    count = slicer.mrmlScene.GetNumberOfNodes()
    filled.ui.playButton.click()
    for _turn in range(turns):
        until(lambda: True)
    filled.ui.playButton.click()
    until(lambda: not filled.panel.time.playing)
    assert "cancelled" in filled.ui.timeLabel.text
    assert filled.ui.playButton.text == "Play"
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert made() is None


def test_a_scene_closed_in_the_middle_leaves_a_clean_panel(filled) -> None:
    filled.ui.playButton.click()
    slicer.mrmlScene.Clear()
    until(lambda: not filled.panel.run.job.running)
    assert not filled.panel.time.playing
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    assert not filled.ui.playButton.enabled


def test_a_last_scan_deleted_in_the_middle_is_said_in_one_sentence(filled) -> None:
    filled.ui.playButton.click()
    until(lambda: filled.ui.timeProgressBar.value > 0)
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("T1 2020-04-30"))
    until(lambda: not filled.panel.time.playing)
    assert "left the scene" in filled.ui.timeLabel.text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0


def test_a_sequence_that_is_deleted_can_be_made_again(filled) -> None:
    for node in (play(filled).browser, made().sequence):
        slicer.mrmlScene.RemoveNode(node)
    until(lambda: not filled.ui.timeShowButton.enabled)
    assert play(filled) is not None


def test_a_live_forecast_follows_the_slider_in_the_same_nodes(filled) -> None:
    filled.ui.liveCheckBox.click()
    filled.ui.targetSlider.value = 150
    until(lambda: filled._parameterNode.forecast is not None)
    forecast = filled._parameterNode.forecast
    assert "2020-05-30" in forecast.GetName()
    until(lambda: not filled.panel.results.busy)
    count = slicer.mrmlScene.GetNumberOfNodes()
    for position in (160, 170, 180, 200):
        filled.ui.targetSlider.value = position
    until(lambda: "2020-07-19" in forecast.GetName())
    assert filled._parameterNode.forecast is forecast
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert filled.ui.forecastButton.text == "Forecast"
    run(filled)
    ordered = filled._parameterNode.forecast
    assert ordered is not forecast
    assert np.array_equal(slicer.util.arrayFromVolume(forecast), slicer.util.arrayFromVolume(ordered))


def test_without_live_the_slider_forecasts_nothing(filled) -> None:
    filled.ui.targetSlider.value = 150
    assert not filled.panel.run.job.running
    assert filled._parameterNode.forecast is None


def test_a_forecast_that_was_kept_is_not_touched_by_a_live_one(filled) -> None:
    run(filled)
    kept = filled._parameterNode.forecast
    before = slicer.util.arrayFromVolume(kept).copy()
    filled.ui.liveCheckBox.click()
    filled.ui.targetSlider.value = 150
    until(lambda: filled._parameterNode.forecast is not kept)
    assert last_scan_of(filled._parameterNode.forecast) is last_scan_of(kept)
    assert np.array_equal(slicer.util.arrayFromVolume(kept), before)
