"""Choosing what and when to forecast, running it in the worker, and looking at the result."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
from CRONOSLib.bundles.store import list_bundles  # noqa: E402
from CRONOSLib.forecasting.devices import PRECISIONS  # noqa: E402
from CRONOSLib.methods.registry import method_entry, method_names  # noqa: E402
from CRONOSLib.scene.nodes import add_volume  # noqa: E402
from CRONOSLib.scene.results import last_scan_of, results_of  # noqa: E402
from CRONOSLib.worker.client import WorkerClient  # noqa: E402
from panel_driver import pick, run, shown_views, until  # noqa: E402
from slicerhost import load_module  # noqa: E402


@pytest.fixture(autouse=True)
def one_worker(shared_worker) -> None:
    """All panels of this file share a worker."""


def test_a_target_is_proposed_and_described(filled) -> None:
    assert filled.ui.targetDateEdit.date.toString("yyyy-MM-dd") == "2020-06-29"
    assert filled.ui.targetDistanceSpin.value == 60
    assert "Extrapolation: 60 days after the last scan (2020-04-30)" in filled.ui.targetLabel.text


def test_calendar_distance_and_slider_are_one_choice(filled) -> None:
    import qt

    filled.ui.targetDateEdit.date = qt.QDate(2020, 5, 10)
    assert (filled.ui.targetDistanceSpin.value, filled.ui.targetSlider.value) == (10, 130)
    filled.ui.targetDistanceSpin.value = -90
    assert filled.ui.targetDateEdit.date.toString("yyyy-MM-dd") == "2020-01-31"
    assert "Interpolation: between the scans of 2020-01-01 and 2020-03-01" in filled.ui.targetLabel.text
    filled.ui.targetSlider.value = 125
    assert filled._parameterNode.target == "2020-05-05T00:00:00"


def test_a_trained_model_is_listed_with_its_skill_and_warns_beyond_its_horizons(filled, tiny_bundle) -> None:
    pick(filled.ui.methodCombo, "")
    filled.ui.bundlesFolderEdit.currentPath = str(tiny_bundle.path.parent)
    assert filled.ui.bundleCombo.currentText == "tiny · skill 0.200"
    assert "Skill against copying the last scan: 0.200" in filled.ui.bundleLabel.text
    filled.ui.targetDistanceSpin.value = 150
    assert "Extrapolation" in filled.ui.targetLabel.text
    filled.ui.targetDistanceSpin.value = 250
    assert "Do not rely on this forecast" in filled.ui.targetLabel.text
    assert filled.ui.forecastButton.enabled


def test_a_folder_without_models_says_so_and_forecasts_nothing(filled, tmp_path: Path) -> None:
    pick(filled.ui.methodCombo, "")
    filled.ui.bundlesFolderEdit.currentPath = str(tmp_path)
    assert "no trained model" in filled.ui.bundleLabel.text
    assert not filled.ui.forecastButton.enabled
    assert "no trained model" in filled.ui.forecastButton.toolTip
    filled.ui.bundlesFolderEdit.currentPath = str(tmp_path / "absent")
    assert "no folder" in filled.ui.bundleLabel.text


def test_what_the_user_chose_comes_back_with_the_parameter_node(filled) -> None:
    filled.ui.stepsSpin.value = 7
    pick(filled.ui.alignmentCombo, "affine")
    filled.ui.targetDistanceSpin.value = 33
    chosen = filled._parameterNode
    filled.setParameterNode(None)
    filled.enter()
    assert (filled._parameterNode.steps, filled._parameterNode.alignment) == (7, "affine")
    assert (filled.ui.stepsSpin.value, filled.ui.alignmentCombo.currentData) == (7, "affine")
    assert filled.ui.targetDistanceSpin.value == 33
    assert chosen.target == filled._parameterNode.target


def test_what_a_method_leaves_to_choose_is_what_its_class_takes() -> None:
    from CRONOSLib.flow.aggregation import AGGREGATIONS
    from CRONOSLib.flow.diffusion.sampler import SAMPLERS
    from CRONOSLib.flow.solvers import SOLVERS
    from CRONOSLib.methods.cronos import Cronos
    from CRONOSLib.methods.diffusion import Diffusion
    from CRONOSLib.methods.vae import Vae

    choices = {Cronos: (set(SOLVERS), set(AGGREGATIONS), False), Diffusion: (set(SAMPLERS), set(), True)}
    choices[Vae] = (set(), set(), True)
    for name in method_names():
        entry = method_entry(name)
        method = getattr(import_module(f"CRONOSLib.methods.{entry.module}"), entry.method)
        base = next((base for base in choices if issubclass(method, base)), None)
        way = (set(entry.way.solvers), set(entry.way.aggregations), entry.way.samples)
        assert way == (choices[base] if base else (set(), set(), False)), name


def test_the_panel_offers_what_the_method_leaves_to_choose_and_nothing_else(filled, tiny_bundle) -> None:
    def offered(combo) -> set[str]:
        return {combo.itemData(index) for index in range(combo.count)} - {""}

    pick(filled.ui.methodCombo, "")
    filled.ui.bundlesFolderEdit.currentPath = str(tiny_bundle.path.parent)
    assert offered(filled.ui.precisionCombo) == set(PRECISIONS)
    assert "heun" in offered(filled.ui.solverCombo)
    assert not filled.ui.samplesSpin.enabled
    pick(filled.ui.solverCombo, "heun")
    state = filled.panel.run._state
    assert (state.options().solver, state.options().preset) == ("heun", None)
    pick(filled.ui.methodCombo, "noder")
    assert offered(filled.ui.variantCombo) == {"paper", "release"}
    pick(filled.ui.variantCombo, "paper")
    assert (state.options().solver, state.options().preset) == (None, "paper")
    pick(filled.ui.methodCombo, "")
    assert (state.options().solver, state.options().preset) == ("heun", None), "it comes back with the model"


def test_views_of_a_new_layout_show_the_whole_scan_where_most_changes(filled) -> None:
    """The window gives them their size, higher than wide, only after the layout was asked for."""
    run(filled)
    views = [slicer.app.layoutManager().sliceWidget(f"CRONOS{column}Axial") for column in ("Last", "Forecast")]
    until(lambda: views[0].mrmlSliceNode().GetDimensions()[1] > views[0].mrmlSliceNode().GetDimensions()[0])
    bounds = np.zeros(6)
    results_of(filled.getParameterNode().forecast).forecast.GetRASBounds(bounds)
    for view in views:
        until(lambda view=view: view.mrmlSliceNode().GetFieldOfView()[0] >= bounds[1] - bounds[0])
        assert view.mrmlSliceNode().GetFieldOfView()[1] >= bounds[3] - bounds[2]
    offsets = {view.mrmlSliceNode().GetSliceOffset() for view in views}
    assert offsets != {bounds[4:].mean()}
    assert len(offsets) == 1


def test_a_forecast_ends_as_nodes_compared_with_the_last_scan(filled) -> None:
    run(filled)
    forecast = filled._parameterNode.forecast
    last = slicer.util.getNode("T1 2020-04-30")
    assert forecast.GetName() == "T1 2020-04-30 forecast 2020-06-29"
    assert last_scan_of(forecast) is last
    layouts = slicer.app.layoutManager()
    names = ("CRONOSLastAxial", "CRONOSForecastAxial", "CRONOSChangeAxial")
    shown = [layouts.sliceWidget(name).mrmlSliceCompositeNode() for name in names]
    assert set(shown_views()) == set(names)
    assert [view.GetBackgroundVolumeID() for view in shown] == [
        node.GetID() for node in (last, forecast, results_of(forecast).change)
    ]
    assert all(view.GetLinkedControl() for view in shown)
    displays = [node.GetDisplayNode() for node in (last, forecast)]
    assert displays[0].GetWindow() == displays[1].GetWindow()
    assert displays[0].GetLevel() == displays[1].GetLevel()


def test_the_worker_forecasts_what_the_console_forecasts(filled) -> None:
    run(filled)
    shown = slicer.util.arrayFromVolume(filled._parameterNode.forecast)
    scans = [slicer.util.getNode(f"T1 2020-{day}") for day in ("01-01", "03-01", "04-30")]
    results = filled.logic.forecast(scans, targetDate="2020-06-29", method="linear")
    assert np.allclose(shown, slicer.util.arrayFromVolume(results.forecast), atol=1e-3)


def test_cancelling_ends_the_forecast_and_leaves_no_node(filled) -> None:
    pick(filled.ui.alignmentCombo, "affine")
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    filled.ui.forecastButton.click()
    filled.ui.forecastButton.click()
    until(lambda: filled.ui.forecastButton.text == "Forecast" and filled.ui.forecastButton.enabled)
    assert "cancelled" in filled.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before


def test_a_scene_closed_in_the_middle_leaves_a_clean_panel(filled) -> None:
    filled.ui.forecastButton.click()
    slicer.mrmlScene.Clear()
    until(lambda: not filled.panel.run.job.running)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert filled.ui.scansTable.rowCount == 0
    assert not filled.ui.forecastButton.enabled


def test_a_last_scan_deleted_in_the_middle_is_said_in_one_sentence(filled) -> None:
    filled.ui.forecastButton.click()
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("T1 2020-04-30"))
    until(lambda: not filled.panel.run.job.running)
    assert "left the scene" in filled.ui.messageLabel.text
    assert filled._parameterNode.forecast is None


def test_a_worker_that_is_killed_is_said_in_one_sentence_and_the_next_forecast_runs(filled) -> None:
    import os
    import signal

    pick(filled.ui.alignmentCombo, "affine")
    filled.ui.forecastButton.click()
    until(lambda: filled.ui.progressBar.value > 0)
    os.kill(filled.panel.run.job.worker_pid, signal.SIGKILL)
    until(lambda: filled.ui.forecastButton.text == "Forecast")
    assert "was killed" in filled.ui.messageLabel.text
    pick(filled.ui.alignmentCombo, "off")
    run(filled)
    assert filled._parameterNode.forecast is not None


def test_a_disk_without_room_for_the_worker_is_said_in_one_sentence(
    panel, head, choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CRONOSLib.scene.panel.job.WorkerClient", WorkerClient)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    for name in ("T1 2020-01-01", "T1 2020-03-01"):
        add_volume(slicer.mrmlScene, head(8), name)
        choose(panel, name)
    pick(panel.ui.methodCombo, "linear")
    panel.ui.forecastButton.click()
    until(lambda: panel.ui.forecastButton.text == "Forecast")
    assert "Temporary files cannot be written" in panel.ui.messageLabel.text
    assert panel.ui.forecastButton.enabled


def test_an_error_of_the_library_stands_in_the_panel(filled, head) -> None:
    slicer.util.arrayFromVolume(slicer.util.getNode("T1 2020-03-01"))[:] = 0
    slicer.util.arrayFromVolumeModified(slicer.util.getNode("T1 2020-03-01"))
    filled.ui.forecastButton.click()
    until(lambda: filled.ui.forecastButton.text == "Forecast")
    assert "T1 2020-03-01" in filled.ui.messageLabel.text
    assert filled._parameterNode.forecast is None


@pytest.mark.skipif(not list_bundles(on_broken=lambda error: None), reason="no bundle comes with this copy")
def test_the_modules_own_self_test_passes_with_a_window(panel) -> None:
    load_module("CRONOSPredict").CRONOSPredictTest().runTest()
    assert panel.getParameterNode().forecast is not None


def test_typing_a_distance_is_not_disturbed_by_what_follows_from_it(filled) -> None:
    from PySide6 import QtTest

    spin = filled.ui.targetDistanceSpin
    spin.selectAll()
    QtTest.QTest.keyClicks(spin, "125")
    assert spin.value == 125
    assert filled.ui.targetDateEdit.date.toString("yyyy-MM-dd") == "2020-09-02"


def test_a_typed_target_date_arrives_as_it_was_typed(filled) -> None:
    from PySide6 import QtCore, QtTest, QtWidgets

    edit = filled.ui.targetDateEdit
    edit.setSelectedSection(QtWidgets.QDateTimeEdit.Section.YearSection)
    QtTest.QTest.keyClicks(edit, "20211203")
    QtTest.QTest.keyClick(edit, QtCore.Qt.Key.Key_Tab)
    assert filled._parameterNode.target == "2021-12-03T00:00:00"


def test_a_target_before_the_first_scan_is_refused_in_one_sentence(filled) -> None:
    import qt

    filled.ui.targetDateEdit.date = qt.QDate(2019, 1, 1)
    assert "before the first scan" in filled.ui.targetLabel.text
    assert not filled.ui.forecastButton.enabled


def test_what_is_missing_is_asked_for_before_anything_runs(filled, monkeypatch) -> None:
    from CRONOSLib.scene.panel import installing

    assert installing.FORECASTING.requirements.is_file()
    monkeypatch.setattr(installing, "missing_packages", lambda needs: ["torch"])
    filled.ui.forecastButton.click()
    assert "PyTorch extension" in filled.ui.messageLabel.text
    assert filled.ui.forecastButton.text == "Forecast"
