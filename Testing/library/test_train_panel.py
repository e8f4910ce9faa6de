"""The panel of CRONOS Train, driven as a mouse would, with real trainings in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
import SimpleITK as sitk  # noqa: E402
import slicerhost  # noqa: E402
from CRONOSLib.bundles.store import list_bundles  # noqa: E402
from CRONOSLib.training.detached import what_it_takes  # noqa: E402
from CRONOSLib.training.order import TrainingOrder  # noqa: E402
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus  # noqa: E402
from CRONOSLib.training.settings import TrainSettings  # noqa: E402
from panel_driver import pick, until  # noqa: E402
from small_training import SMALL  # noqa: E402

STEPS = 300
PATIENCE = 250.0  # s, for processes that import torch on a machine with other work


@pytest.fixture(autouse=True)
def own_places(host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the application and installed bundles of this test alone."""
    from PySide6.QtCore import QSettings

    monkeypatch.setenv("CRONOS_BUNDLES", str(tmp_path / "bundles"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # of other processes
    QSettings.setPath(QSettings.IniFormat, QSettings.UserScope, str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def no_estimate(host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with torch for every choice would make these tests long; one test below asks it."""
    monkeypatch.setattr("CRONOSLib.scene.training.method_section.what_it_takes", lambda order: {"problem": "—"})


@pytest.fixture
def open_panel(host) -> Callable:
    """Opener of the panel; what it opened is closed in the end."""
    opened = []

    def opener():
        opened.append(host.open_panel(slicerhost.load_module("CRONOSTrain")))
        return opened[-1]

    yield opener
    for panel in opened:
        if panel.panel.state.choices is not None:
            host.close_panel(panel)


@pytest.fixture
def panel(open_panel):
    return open_panel()


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"settings": SMALL}))
    return path


def choose(panel, folder: Path) -> None:
    panel.ui.cohortFolderEdit.currentPath = str(folder)
    until(lambda: not panel.panel.cohort.busy)


def text_of(panel) -> str:
    return panel.ui.messageLabel.text


def chart(panel, name: str):
    return panel.getParameterNode().parameterNode.GetNodeReference(f"CRONOS.{name}")


def series_of(of) -> set[str]:
    """IDs of the series of a chart."""
    return {of.GetNthPlotSeriesNodeID(index) for index in range(of.GetNumberOfPlotSeriesNodes())}


def column(series, name: str) -> list[float]:
    values = series.GetTableNode().GetTable().GetColumnByName(name)
    return [values.GetValue(row) for row in range(values.GetNumberOfTuples())]


# --- the patients -------------------------------------------------------------------------------------------------


def test_a_folder_of_patients_says_what_was_found_and_what_was_left_out(panel, dated_patients: Path) -> None:
    assert "Choose the folder" in panel.ui.startButton.toolTip
    choose(panel, dated_patients)
    assert panel.ui.cohortLabel.text.startswith("4 patients with 12 scans. From scan to scan 30 to 90 days, usually 60")
    table = panel.ui.problemsTable
    told = {table.item(row, 2).text(): table.item(row, 1).text() for row in range(table.rowCount)}
    assert "one scan only" in told["sub-4"]
    assert "no date" in told["sub-0 undated_T1w.nrrd"]
    assert panel.ui.startButton.enabled, panel.ui.startButton.toolTip


def test_patients_with_one_scan_are_kept_for_synthetic_change(panel, dated_patients: Path) -> None:
    choose(panel, dated_patients)
    panel.ui.syntheticSpin.value = 30
    until(lambda: not panel.panel.cohort.busy)
    assert "5 patients with 13 scans" in panel.ui.cohortLabel.text
    assert "1 of them have one scan" in panel.ui.cohortLabel.text
    assert len(panel.panel.state.order().patients.patients) == 5


def test_the_layout_of_a_folder_can_be_chosen(panel, dated_patients: Path) -> None:
    choose(panel, dated_patients)
    pick(panel.ui.layoutCombo, "lumiere")
    until(lambda: not panel.panel.cohort.busy)
    assert "not laid out like LUMIERE" in panel.ui.startButton.toolTip
    pick(panel.ui.layoutCombo, "folders")
    until(lambda: not panel.panel.cohort.busy)
    assert panel.panel.state.order().layout == "folders"
    assert panel.ui.startButton.enabled


def test_the_gaps_between_scans_are_drawn_as_a_histogram(panel, dated_patients: Path) -> None:
    choose(panel, dated_patients)
    view = slicer.mrmlScene.GetSingletonNode("CRONOSTrainGaps", "vtkMRMLPlotViewNode")
    assert view.IsMappedInLayout()
    bars = view.GetPlotChartNode().GetNthPlotSeriesNode(0)
    assert sum(column(bars, "Gaps")) == 8
    assert min(column(bars, "Days between scans")) > 30


@pytest.mark.parametrize("content", [[], ["sub-1/2020-01-06.txt"], ["sub-1/2020-01-06_T1w.nrrd"]])
def test_a_folder_that_cannot_be_learnt_from_says_why(panel, tmp_path: Path, head, content: list[str]) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in content:
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith("nrrd"):
            sitk.WriteImage(head(4), str(folder / name))
        else:
            (folder / name).write_text("no image")
    choose(panel, folder)
    assert not panel.ui.startButton.enabled
    assert panel.ui.cohortLabel.text == panel.ui.startButton.toolTip
    expected = (
        "0 of the patients can be used" if any(name.endswith("nrrd") for name in content) else "no way that is known"
    )
    assert expected in panel.ui.cohortLabel.text


def test_a_prepared_cohort_is_known_by_its_folder_and_by_its_manifest(panel, growing_cohort: Path) -> None:
    choose(panel, growing_cohort / "manifest.tsv")
    assert "6 to learn from, 2 to choose on, 2 to measure on" in panel.ui.cohortLabel.text
    assert panel.panel.state.order().cohort == growing_cohort
    assert not panel.ui.layoutCombo.enabled
    assert panel.ui.outputFolderEdit.currentPath == str(growing_cohort.parent / "growing-heads-cronos-continuous")


# --- the choices --------------------------------------------------------------------------------------------------


def test_every_choice_reaches_the_run(panel, dated_patients: Path, tmp_path: Path) -> None:
    choose(panel, dated_patients)
    ui = panel.ui
    pick(ui.methodCombo, "cronos-discrete")
    pick(ui.presetCombo, "paper")
    pick(ui.gridCombo, "size")
    pick(ui.deviceCombo, "cpu")
    pick(ui.precisionCombo, "32-true")
    ui.sizeXSpin.value, ui.sizeYSpin.value, ui.sizeZSpin.value = 24, 32, 16
    ui.stepsSpin.value, ui.batchSpin.value, ui.accumulateSpin.value, ui.seedSpin.value = 50, 0, 4, 7
    ui.learningRateSpin.value, ui.validateEverySpin.value, ui.noiseSpin.value = 1e-4, 25, 5
    ui.flipCheckBox.click()
    ui.devicesSpin.value = 2
    ui.outputFolderEdit.currentPath = str(tmp_path / "here")
    order = panel.panel.state.order()
    settings = TrainSettings.from_json(dict(order.settings))
    assert (order.method, order.out) == ("cronos-discrete", tmp_path / "here")
    assert (order.device, order.devices) == ("cpu", 2)
    assert settings.preprocessing.grid.stretch_to == (24, 32, 16)
    assert (settings.preset, settings.steps, settings.batch_size, settings.accumulate) == ("paper", 50, 0, 4)
    assert (settings.seed, settings.learning_rate, settings.validate_every) == (7, 1e-4, 25)
    assert (settings.precision, settings.augmentation.flip, settings.augmentation.noise) == ("32-true", False, 0.05)
    assert settings.align_cohort
    ui.devicesSpin.value = 3
    assert "3 processes cannot share the 4 batches" in ui.startButton.toolTip


def test_choices_survive_another_module_and_a_closed_scene_starts_anew(panel, dated_patients: Path, host) -> None:
    choose(panel, dated_patients)
    panel.ui.stepsSpin.value = 77
    panel.exit()
    panel.enter()
    until(lambda: not panel.panel.cohort.busy)
    assert panel.ui.stepsSpin.value == 77
    assert panel.ui.startButton.enabled
    slicer.mrmlScene.Clear()
    assert panel.ui.stepsSpin.value == 1600
    assert not panel.ui.startButton.enabled


def test_reloading_the_module_leaves_no_observer_and_loads_the_library_anew(panel, monkeypatch) -> None:
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "CRONOSLib"}
    monkeypatch.setattr(ScriptedLoadableModuleWidget, "onReload", lambda self: None, raising=False)
    try:
        panel.onReload()
        assert not any(name.split(".")[0] == "CRONOSLib" for name in sys.modules)
    finally:
        sys.modules.update(kept)
    panel.cleanup()
    assert panel.Observations == []


def test_what_a_run_takes_is_said_before_it_starts(panel, growing_cohort: Path, config_file: Path, monkeypatch) -> None:
    monkeypatch.setattr("CRONOSLib.scene.training.method_section.what_it_takes", what_it_takes)
    panel.ui.configFileEdit.currentPath = str(config_file)
    panel.ui.stepsSpin.value = 40
    choose(panel, growing_cohort)
    until(lambda: not panel.panel.method.busy, PATIENCE)
    said = panel.ui.estimateLabel.text
    assert "16 × 16 × 8 voxels" in said
    assert "batches of 2" in said
    assert "for 40 steps on" in said


# --- the run ------------------------------------------------------------------------------------------------------

HOST = """
import os, sys, time
sys.path[:0] = sys.argv[1].split(os.pathsep)
import slicerhost
from slicerhost.gui import application
slicerhost.open_host()
application.start()
import slicer
panel = application.open_panel(slicerhost.load_module("CRONOSTrain"))
ui = panel.ui
ui.configFileEdit.currentPath, ui.stepsSpin.value, ui.validateEverySpin.value = sys.argv[3], int(sys.argv[5]), 100
ui.cohortFolderEdit.currentPath = sys.argv[2]
while panel.panel.cohort.busy:
    slicer.app.processEvents()
ui.outputFolderEdit.currentPath = sys.argv[4]
panel.panel.method.forget()
ui.startButton.click()
print("torch" in sys.modules, ui.messageLabel.text, flush=True)
while True:
    slicer.app.processEvents()
    time.sleep(0.05)
"""


@pytest.mark.timeout(700)  # three starts of a process with torch, on a machine with other work
def test_a_run_outlives_its_window_and_is_found_stopped_resumed_and_used(
    open_panel, host, growing_cohort: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(str(root / name) for name in ("Testing", "CRONOSPredict", "CRONOSTrain"))
    words = [sys.executable, "-c", HOST, paths, str(growing_cohort), str(config_file), str(out), str(STEPS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout.readline().strip() == "False Starting", "torch has no place in the window's process"
        window.send_signal(signal.SIGKILL)

    panel = open_panel()
    assert panel.ui.outputFolderEdit.currentPath == str(out), "the run of the killed window is found"
    until(lambda: panel.ui.progressBar.text.startswith("Training · step"), PATIENCE)
    assert panel.ui.stopButton.enabled
    assert not panel.ui.startButton.enabled
    panel.ui.stopButton.click()
    assert "Stopping" in text_of(panel)
    until(lambda: panel.ui.startButton.text == "Resume", PATIENCE)
    assert "Stopped at step" in text_of(panel)
    assert not RunFolder(out).runs

    panel.ui.startButton.click()
    assert panel.ui.stopButton.enabled
    until(lambda: panel.ui.useButton.enabled, PATIENCE)
    assert "Done: skill" in text_of(panel)
    assert "Press New" in panel.ui.startButton.toolTip
    assert RunFolder(out).status().step == STEPS
    assert "Stopped at step" in panel.ui.logText.plainText
    panel.ui.useButton.click()
    predict = host.open_panel(slicerhost.load_module("CRONOSPredict"))
    (own,) = [bundle for bundle in list_bundles() if bundle.path.parent == tmp_path / "bundles"]
    assert predict.ui.bundleCombo.currentData == own.name == "cronos-continuous-growing-heads"
    host.close_panel(predict)


@pytest.fixture
def window(host):
    """A main window."""
    from PySide6.QtWidgets import QMainWindow
    from slicerhost.gui.manners import dressed

    window = dressed(QMainWindow)()
    window.setObjectName("qSlicerMainWindow")
    window.show()
    yield window
    window.setObjectName("")
    window.deleteLater()


def test_closing_the_window_asks_whether_a_run_goes_on(
    window, open_panel, growing_cohort, tmp_path, monkeypatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    TrainingOrder(growing_cohort, folder.path).write()
    folder.say(RunStatus(RunState.PREPARING, 3, 10))
    asked: list[str] = []
    answers = iter([True, False])
    monkeypatch.setattr("slicer.util.confirmYesNoDisplay", lambda text: asked.append(text) or next(answers))
    panel = open_panel()
    window.close()
    assert not asked, "nothing runs yet"
    panel.ui.outputFolderEdit.currentPath = str(folder.path)
    window.show()
    window.close()
    assert "Keep it running" in asked[0]
    assert not folder.stop_file.exists()
    window.show()
    window.close()
    assert folder.stop_file.exists()
    panel.cleanup()
    window.show()
    window.close()
    assert len(asked) == 2, "a module that is gone asks nothing"


def test_the_end_of_a_run_stands_in_the_status_bar_and_in_the_panel(window, panel, growing_cohort, tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    TrainingOrder(growing_cohort, folder.path).write()
    folder.say(RunStatus(RunState.PREPARING, 3, 10))
    panel.ui.outputFolderEdit.currentPath = str(folder.path)
    assert panel.ui.stopButton.enabled
    folder.say(RunStatus(RunState.FAILED, 3, 10, message="The loss is no number. Lower the learning rate."))
    until(lambda: "The loss is no number" in window.statusBar().currentMessage())
    assert text_of(panel) == "The loss is no number. Lower the learning rate."
    assert "Failed" in panel.ui.stateLabel.text


def test_curves_show_the_loss_and_the_skill_above_copying(panel, finished_training: Path) -> None:
    panel.ui.outputFolderEdit.currentPath = str(finished_training)
    panel.ui.curvesButton.click()
    for name in ("CRONOSTrainLoss", "CRONOSTrainSkill"):
        view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLPlotViewNode")
        assert view.IsMappedInLayout()
        assert view.GetPlotChartNode() is chart(panel, name)
    copying, skill = (chart(panel, "CRONOSTrainSkill").GetNthPlotSeriesNode(index) for index in (0, 1))
    assert column(copying, "Step") == [0, 20]
    assert column(copying, "Copying the last scan") == [0, 0]
    assert column(skill, "Step") == [10, 20]
    status = RunFolder(finished_training).status()
    assert max(column(skill, "Validation skill")) == pytest.approx(status.best_skill, rel=1e-4)
    loss, mean = (chart(panel, "CRONOSTrainLoss").GetNthPlotSeriesNode(index) for index in (0, 1))
    assert column(loss, "Step") == [10, 20]
    assert column(mean, "Running mean") == pytest.approx(2 * [sum(column(loss, "Loss")) / 2])


def test_new_points_come_to_a_plot_view_as_series_of_their_own(panel) -> None:
    from CRONOSLib.scene.training.charts import Curves, draw_curves

    owner = panel.getParameterNode().parameterNode
    draw_curves(owner, Curves((10.0,), (0.5,), (10.0,), (0.1,)), 20)
    losses = chart(panel, "CRONOSTrainLoss")
    seen, came = series_of(losses), set()

    def look(caller, event) -> None:  # as the view does, which fits its axes to what is added
        shown = series_of(losses)
        came.update(shown - seen)
        seen.clear()
        seen.update(shown)

    losses.AddObserver("ModifiedEvent", look)
    draw_curves(owner, Curves((10.0, 20.0), (0.5, 0.25), (10.0, 20.0), (0.1, 0.2)), 20)
    assert came == series_of(losses)


def test_no_line_has_less_than_two_points_which_slicer_reports_as_an_error(panel) -> None:
    from CRONOSLib.scene.training.charts import Curves, draw_curves

    owner = panel.getParameterNode().parameterNode
    draw_curves(owner, Curves(), 20)
    assert not series_of(chart(panel, "CRONOSTrainLoss"))
    assert len(series_of(chart(panel, "CRONOSTrainSkill"))) == 1  # copying
    draw_curves(owner, Curves((10.0,), (0.5,), (10.0,), (0.1,)), 20)
    _copying, skill = (chart(panel, "CRONOSTrainSkill").GetNthPlotSeriesNode(index) for index in (0, 1))
    assert column(skill, "Step") == [10, 10]
    assert column(skill, "Validation skill") == pytest.approx([0.1, 0.1])


def test_a_finished_run_is_found_in_the_next_session(open_panel, finished_training: Path) -> None:
    from CRONOSLib.scene.training.remembered import remember_run

    remember_run(finished_training)
    panel = open_panel()
    assert "Done: skill" in text_of(panel)
    assert panel.ui.useButton.enabled
    until(lambda: not panel.panel.cohort.busy)
    panel.ui.newFolderButton.click()
    assert panel.ui.startButton.text == "Start"
    assert panel.ui.startButton.enabled, panel.ui.startButton.toolTip
    assert not panel.ui.useButton.enabled
