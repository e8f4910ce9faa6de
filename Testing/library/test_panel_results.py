"""Looking at a forecast: compared, laid over the scans, measured, checked, and with what it carried along."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
from CRONOSLib.errors import MethodError  # noqa: E402
from CRONOSLib.evaluation.comparison import compare  # noqa: E402
from CRONOSLib.forecast import ForecastOptions  # noqa: E402
from CRONOSLib.forecast import forecast as forecast_series  # noqa: E402
from CRONOSLib.imaging.registration import Alignment  # noqa: E402
from CRONOSLib.scene.carried import add_carried, masks_of  # noqa: E402
from CRONOSLib.scene.nodes import add_volume, image_of  # noqa: E402
from CRONOSLib.scene.results import results_of  # noqa: E402
from CRONOSLib.scene.series import series_of_dates  # noqa: E402
from panel_driver import pick, run, shown_views, until  # noqa: E402


@pytest.fixture(autouse=True)
def one_worker(shared_worker) -> None:
    """All panels of this file share a worker."""


def test_the_colour_bar_of_the_change_tells_its_unit(filled) -> None:
    run(filled)
    change = results_of(filled._parameterNode.forecast).change
    assert legend_of(change).GetTitleText() == "Change, scan units"
    hounsfield = slicer.vtkCodedEntry()
    hounsfield.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    slicer.util.getNode("T1 2020-04-30").SetVoxelValueUnits(hounsfield)
    run(filled)
    assert legend_of(change).GetTitleText() == "Change, Hounsfield unit"


def test_the_colour_bar_stands_in_the_views_of_the_change_and_nowhere_else(filled) -> None:
    run(filled)
    change = results_of(filled._parameterNode.forecast).change
    filled.ui.comparePlanesButton.click()
    legend, layouts = legend_of(change), slicer.app.layoutManager()
    shown = {name for name in shown_views() if legend.GetVisibility(layouts.sliceWidget(name).mrmlSliceNode().GetID())}
    assert shown == {f"CRONOSChange{plane}" for plane in ("Axial", "Sagittal", "Coronal")}
    assert change.GetNumberOfDisplayNodes() == 2, "one of the volume, and no more than one of the colour bar"


def legend_of(change):
    return slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(change)


def test_the_spread_says_what_its_range_means(filled, winding_bundle) -> None:
    pick(filled.ui.methodCombo, "")
    filled.ui.bundlesFolderEdit.currentPath = str(winding_bundle.path.parent)
    run(filled)
    spread = results_of(filled._parameterNode.forecast).spread
    assert spread.GetDescription().startswith("Spread: SD of the members. Computed by CRONOS.")
    assert "Made by winding (cronos-continuous)" in filled.ui.resultLabel.text
    assert "Spread: SD of the members." in filled.ui.resultLabel.text


def test_three_planes_make_three_rows(filled) -> None:
    run(filled)
    filled.ui.comparePlanesButton.click()
    assert len(shown_views()) == 9
    node = slicer.app.layoutManager().sliceWidget("CRONOSForecastCoronal").mrmlSliceNode()
    assert node.GetOrientation() == "Coronal"


def test_the_change_lies_over_the_scans_and_goes_again(filled) -> None:
    run(filled)
    layouts = slicer.app.layoutManager()
    views = {name: layouts.sliceWidget(name).mrmlSliceCompositeNode() for name in layouts.sliceViewNames()}
    change = results_of(filled._parameterNode.forecast).change
    filled.ui.overlayCheckBox.click()
    filled.ui.opacitySlider.value = 30
    assert views["CRONOSLastAxial"].GetForegroundVolumeID() == change.GetID()
    assert views["CRONOSForecastAxial"].GetForegroundOpacity() == pytest.approx(0.3)
    assert views["CRONOSChangeAxial"].GetForegroundVolumeID() is None
    filled.ui.overlayCheckBox.click()
    assert all(view.GetForegroundVolumeID() is None for view in views.values())


def test_the_spread_lies_over_the_scans_in_place_of_the_change(filled, winding_bundle) -> None:
    pick(filled.ui.methodCombo, "")
    filled.ui.bundlesFolderEdit.currentPath = str(winding_bundle.path.parent)
    run(filled)
    results = results_of(filled._parameterNode.forecast)
    view = slicer.app.layoutManager().sliceWidget("CRONOSLastAxial").mrmlSliceCompositeNode()
    filled.ui.overlayCheckBox.click()
    assert view.GetForegroundVolumeID() == results.change.GetID()
    pick(filled.ui.overlayCombo, "spread")
    assert view.GetForegroundVolumeID() == results.spread.GetID()
    assert filled.ui.overlayCombo.findData("error") < 0, "it was not checked"
    filled.ui.overlayCheckBox.click()
    assert view.GetForegroundVolumeID() is None


def test_blinking_shows_both_in_turn_and_ends_clean(filled) -> None:
    run(filled)
    view = slicer.app.layoutManager().sliceWidget("CRONOSLastAxial").mrmlSliceCompositeNode()
    forecast = filled._parameterNode.forecast
    filled.ui.blinkButton.click()
    seen: set[float] = set()

    def look() -> bool:
        if view.GetForegroundVolumeID() == forecast.GetID():
            seen.add(view.GetForegroundOpacity())
        return seen == {0.0, 1.0}

    until(look, 10)
    filled.ui.blinkButton.click()
    assert view.GetForegroundVolumeID() is None


def test_the_table_measures_the_change_in_the_scans_own_units(filled) -> None:
    run(filled)
    filled.ui.thresholdSpin.value = 20
    until(lambda: not filled.panel.results.busy)
    change = slicer.util.arrayFromVolume(results_of(filled._parameterNode.forecast).change)
    changed = int(filled.ui.changesTable.item(3, 1).text())
    assert 0 < changed <= np.count_nonzero(np.abs(change) > 20)
    voxel_ml = 2.0 * 2.0 * 3.0 / 1000
    assert float(filled.ui.changesTable.item(4, 1).text()) == pytest.approx(changed * voxel_ml, abs=0.01)


def test_a_change_map_that_was_deleted_comes_back_with_the_same_forecast(filled) -> None:
    run(filled)
    forecast = filled._parameterNode.forecast
    slicer.mrmlScene.RemoveNode(results_of(forecast).change)
    run(filled)
    assert filled._parameterNode.forecast is forecast
    assert results_of(forecast).change is not None


def test_a_forecast_is_checked_against_the_scan_of_its_date(filled, head) -> None:
    truth = add_volume(slicer.mrmlScene, head(11), "T1 2020-06-29")
    pick(filled.ui.alignmentCombo, "off")
    run(filled)
    assert filled.ui.truthSelector.currentNode() is truth
    filled.ui.checkButton.click()
    until(lambda: filled.ui.checkTable.rowCount == 4)
    forecast = filled._parameterNode.forecast
    nrmse, lci_nrmse = (float(filled.ui.checkTable.item(0, column).text()) for column in (1, 2))
    assert 0 < nrmse < lci_nrmse, "a line foresees a lesion that grows"
    assert float(filled.ui.checkTable.item(3, 1).text()) == pytest.approx(1 - (nrmse / lci_nrmse) ** 2, abs=0.01)
    scans = [slicer.util.getNode(f"T1 2020-{day}") for day in ("01-01", "03-01", "04-30", "06-29")]
    series, true_scan = series_of_dates(scans).series.held_out(180.0)
    off = ForecastOptions(alignment=Alignment.OFF)
    measured = compare(forecast_series(series, 180.0, method="linear", options=off), true_scan)
    assert (nrmse, lci_nrmse) == pytest.approx((measured.forecast.nrmse, measured.lci.nrmse), abs=1e-3)
    similarities = [float(filled.ui.checkTable.item(1, column).text()) for column in (1, 2)]
    assert similarities == pytest.approx([measured.forecast.ssim.value, measured.lci.ssim.value], abs=1e-3)
    assert similarities[0] > similarities[1]
    error = slicer.util.getNode(f"{forecast.GetName()} error against T1 2020-06-29")
    assert slicer.util.arrayFromVolume(error).shape == slicer.util.arrayFromVolume(forecast).shape
    assert filled.ui.forecastButton.text == "Forecast"


def test_the_change_is_measured_inside_each_segment_or_a_box_too(filled) -> None:
    run(filled)
    last = slicer.util.getNode("T1 2020-04-30")
    mask = np.zeros(slicer.util.arrayFromVolume(last).shape, np.uint8)
    mask[6:10, 12:18, 14:20] = 1
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = segmentation.GetSegmentation().AddEmptySegment("lesion", "lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, last)
    filled.ui.segmentationSelector.setCurrentNode(segmentation)
    table = filled.ui.changesTable
    until(lambda: table.columnCount == 3)
    assert table.horizontalHeaderItem(2).text() == "lesion"
    change = slicer.util.arrayFromVolume(results_of(filled._parameterNode.forecast).change)
    assert float(table.item(0, 2).text()) == pytest.approx(change[mask > 0].mean(), rel=1e-2)
    assert float(table.item(5, 2).text()) == pytest.approx(mask.sum() * 12 / 1000, abs=0.05)
    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    box.SetCenter(*last.GetOrigin())
    box.SetSize(24, 24, 24)
    filled.ui.segmentationSelector.setCurrentNode(box)
    until(lambda: table.horizontalHeaderItem(2).text() == "box")
    assert 0 < float(table.item(5, 2).text()) < 24**3 / 1000


def test_what_changed_is_measured_anew_when_segments_are_drawn_or_a_box_is_moved(filled) -> None:
    run(filled)
    last = slicer.util.getNode("T1 2020-04-30")
    segmentation, mask = draw_lesion(last)
    filled.ui.segmentationSelector.setCurrentNode(segmentation)
    table, volume = filled.ui.changesTable, 5  # row
    until(lambda: table.columnCount == 3)
    mask[:, :10, :10] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "lesion", last)
    until(lambda: float(table.item(volume, 2).text()) == pytest.approx(mask.sum() * 12 / 1000, abs=0.05))
    until(lambda: not filled.panel.results.busy)  # measuring starts no measuring
    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    box.SetCenter(*last.GetOrigin())
    box.SetSize(24, 24, 24)
    filled.ui.segmentationSelector.setCurrentNode(box)
    until(lambda: table.horizontalHeaderItem(2).text() == "box")
    before = float(table.item(volume, 2).text())
    box.SetSize(48, 48, 48)
    until(lambda: float(table.item(volume, 2).text()) > before)
    until(lambda: not filled.panel.results.busy)


def draw_lesion(scan):
    """A segmentation of a visit's lesion, and its voxels."""
    voxels = slicer.util.arrayFromVolume(scan)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[3:13, 8:22, 9:23] = voxels[3:13, 8:22, 9:23] > 140
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = segmentation.GetSegmentation().AddEmptySegment("lesion", "lesion", (1.0, 0.0, 0.0))
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, scan)
    return segmentation, mask


def test_carried_segments_keep_name_and_colour_and_take_the_place_of_earlier_ones(filled) -> None:
    run(filled)
    forecast, last = filled._parameterNode.forecast, slicer.util.getNode("T1 2020-04-30")
    segmentation, mask = draw_lesion(last)
    (drawn,) = masks_of(segmentation, image_of(last))
    assert np.array_equal(sitk.GetArrayFromImage(drawn), mask)
    for shift in (1, 2):
        moved = np.roll(mask, shift, axis=2)
        image = sitk.GetImageFromArray(moved)
        image.CopyInformation(drawn)
        carried = add_carried([image], segmentation, forecast)
        assert carried.GetName() == "drawn forecast 2020-06-29"
        segment = carried.GetSegmentation().GetSegment("lesion")
        assert (segment.GetName(), segment.GetColor()) == ("lesion", (1.0, 0.0, 0.0))
        assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(carried, "lesion", forecast), moved)
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


def test_a_method_that_deforms_carries_the_chosen_segments_along(filled) -> None:
    segmentation, mask = draw_lesion(slicer.util.getNode("T1 2020-04-30"))
    pick(filled.ui.methodCombo, "geodesic-regression")
    pick(filled.ui.alignmentCombo, "off")
    filled._parameterNode.segmentation = segmentation
    run(filled)
    carried = slicer.util.getNode("drawn forecast 2020-06-29")
    moved = slicer.util.arrayFromSegmentBinaryLabelmap(carried, "lesion", filled._parameterNode.forecast)
    assert (moved[mask > 0] > 0).mean() > 0.8
    assert "% of the voxels fold" in filled.ui.resultLabel.text


def test_a_method_that_does_not_deform_says_that_it_carries_nothing(filled) -> None:
    scans = [slicer.util.getNode(f"T1 2020-{day}") for day in ("01-01", "03-01", "04-30")]
    with pytest.raises(MethodError, match="cannot carry labels"):
        filled.logic.forecast(
            scans,
            targetDate="2020-06-29",
            method="linear",
            segmentation=draw_lesion(scans[-1])[0],
            alignment=Alignment.OFF,
        )
