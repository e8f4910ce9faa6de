"""The panel after Reload, and after a scene was saved and loaded."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
import slicerhost  # noqa: E402
from CRONOSLib.scene.mrb import write_scene  # noqa: E402
from CRONOSLib.scene.session import new_scene  # noqa: E402
from panel_driver import pick, run, until  # noqa: E402


@pytest.fixture
def own_imports() -> Iterator[None]:
    """What a reload imports anew is forgotten afterwards: other tests hold the classes of before."""

    def imported() -> dict:
        return {name: module for name, module in sys.modules.items() if name.startswith("CRONOS")}

    before = imported()
    yield
    for name in imported():
        del sys.modules[name]
    sys.modules.update(before)


def choices_of(panel) -> dict[str, object]:
    """Every choice of the panel, nodes by their names."""
    node = panel.getParameterNode()
    kept = {name: getattr(node, name) for name in get_type_hints(type(node))}
    return {name: value.GetName() if hasattr(value, "GetName") else value for name, value in kept.items()}


def test_reload_makes_a_panel_that_forecasts_again(filled, own_imports: None) -> None:
    pick(filled.ui.alignmentCombo, "off")
    library = sys.modules["CRONOSLib"]
    filled.onReload()
    reloaded = slicer.modules.CRONOSPredictWidget
    assert reloaded is not filled
    assert sys.modules["CRONOSLib"] is not library
    assert filled.getParameterNode() is None, "the old panel no longer listens"
    assert reloaded.ui.scansTable.rowCount == 3
    reloaded.ui.targetDistanceSpin.value = 90
    reloaded.ui.forecastButton.click()
    until(lambda: reloaded.ui.forecastButton.text == "Forecast", 300)  # with a worker of its own
    assert reloaded.getParameterNode().forecast.GetName() == "T1 2020-04-30 forecast 2020-07-29"
    reloaded.cleanup()


def test_a_saved_scene_brings_every_choice_back(filled, tmp_path: Path) -> None:
    import qt

    ui, scene = filled.ui, slicer.mrmlScene
    pick(ui.alignmentCombo, "off")
    ui.scansTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    ui.targetDistanceSpin.value = 33
    run(filled)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "lesions")
    segmentation.GetSegmentation().AddEmptySegment("lesion", "lesion")
    scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box").SetSize(20, 20, 20)
    ui.segmentationSelector.setCurrentNode(segmentation)
    ui.regionSelector.setCurrentNode(slicer.util.getNode("box"))
    ui.truthSelector.setCurrentNode(slicer.util.getNode("T1 2020-03-01"))
    ui.thresholdSpin.value, ui.framesSpin.value, ui.opacitySlider.value = 12.5, 5, 30
    pick(ui.quantityCombo, "changed")
    kept = choices_of(filled)
    assert (kept["segmentation"], kept["region"], kept["truth"]) == ("lesions", "box", "T1 2020-03-01")
    write_scene(scene, tmp_path / "patient.mrb")

    scene.Clear()
    until(lambda: ui.scansTable.rowCount == 0)
    assert choices_of(filled) != kept
    with zipfile.ZipFile(tmp_path / "patient.mrb") as archive:  # as the application opens it
        archive.extractall(tmp_path)
    scene.SetURL(str(next(tmp_path.glob("*/*.mrml"))))
    assert scene.Connect()
    until(lambda: ui.scansTable.rowCount == 3)
    assert choices_of(filled) == kept
    shown = [selector.currentNode() for selector in (ui.resultSelector, ui.segmentationSelector, ui.regionSelector)]
    assert [node.GetName() for node in shown] == [kept["forecast"], "lesions", "box"]
    assert (ui.targetDistanceSpin.value, ui.opacitySlider.value, ui.quantityCombo.currentData) == (33, 30, "changed")
    assert ui.thresholdSpin.value == 12.5
    assert ui.scansTable.item(0, 0).checkState() == qt.Qt.Unchecked
    run(filled)
    assert filled.getParameterNode().forecast.GetName() == kept["forecast"]


def test_a_scene_that_is_added_leaves_the_choices_as_they_are(filled, tmp_path: Path) -> None:
    """Selectors of nodes empty themselves when a scene was read."""
    other = new_scene()
    other.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.SetURL(str(tmp_path / "other.mrml"))
    assert other.Commit()
    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "chosen")
    filled.ui.segmentationSelector.setCurrentNode(chosen)
    slicer.mrmlScene.SetURL(str(tmp_path / "other.mrml"))
    assert slicer.mrmlScene.Import()
    assert slicer.util.getNode("other") is not None
    assert filled.getParameterNode().segmentation is chosen
    assert filled.ui.segmentationSelector.currentNode() is chosen
    filled.ui.segmentationSelector.setCurrentNode(None)
    assert filled.getParameterNode().segmentation is None


def test_a_scene_that_was_saved_in_a_layout_of_ours_opens_in_it(host) -> None:
    """A scene keeps the number of its layout only; a window whose layout nobody knows stays empty."""
    from CRONOSLib.scene.arrangements import ALL_PLANES, AXIAL, comparison, members, through_time

    def opened(layout) -> str:
        """The views of a window that opens a scene."""
        saved = slicer.vtkMRMLLayoutNode()
        saved.SetViewArrangement(layout.number)
        layouts.CopyContent(saved)
        return layouts.GetCurrentLayoutDescription()

    layouts = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    assert opened(comparison(AXIAL)) == ""
    register = slicerhost.load_module("CRONOSPredict").registerLayouts
    assert register in slicer.app.slots["startupCompleted()"]
    register()
    assert '"CRONOSForecastAxial"' in layouts.GetCurrentLayoutDescription()
    for layout, view in (
        (comparison(ALL_PLANES), "CRONOSChangeCoronal"),
        (through_time(), "CRONOSTimePlot"),
        (members(["2020-01-01", "2020-03-01"]), "CRONOSMember2"),
    ):
        assert f'"{view}"' in opened(layout)
