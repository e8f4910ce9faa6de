"""Looking at the flow in the panel: states over the flow step, members, speed, straightness; and the aligned scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
from CRONOSLib.scene.flow import flow_of  # noqa: E402
from CRONOSLib.scene.hierarchy import SubjectHierarchy  # noqa: E402
from CRONOSLib.scene.mrb import read_scene, write_scene  # noqa: E402
from panel_driver import pick, run, shown_views, until  # noqa: E402


@pytest.fixture
def flowing(filled, winding_bundle):
    """A panel with three visits and a model whose flow winds, and two steps to look at."""
    pick(filled.ui.methodCombo, "")
    filled.ui.bundlesFolderEdit.currentPath = str(winding_bundle.path.parent)
    pick(filled.ui.precisionCombo, "fp32")
    filled.ui.flowStepsSpin.value = 2
    return filled


def show_flow(panel):
    """Click, and wait for the flow."""
    panel.ui.flowButton.click()
    assert panel.ui.forecastButton.text == "Cancel", panel.ui.messageLabel.text
    until(lambda: panel.ui.forecastButton.text == "Forecast")
    found = flow_of(panel.getParameterNode().flow)
    assert found is not None, panel.ui.messageLabel.text
    return found


def voxels(node) -> np.ndarray:
    return slicer.util.arrayFromVolume(node)


def test_the_states_run_from_the_scans_to_the_forecast_over_one_slider(flowing) -> None:
    flow = show_flow(flowing)
    assert flow.taus == (0.0, 0.5, 1.0)
    assert flow.browser.GetMasterSequenceNode().GetIndexName() == "flow step"
    last = slicer.util.getNode("T1 2020-04-30")
    assert [state.GetName() for state in flow.states] == [
        f"T1 2020-{day} flow 2020-06-29" for day in ("01-01", "03-01", "04-30")
    ]
    assert flowing.ui.flowStepLabel.text == "τ = 1.00"
    arrived = voxels(flow.states[-1]).copy()
    flowing.ui.flowStepSlider.value = 0
    assert np.allclose(voxels(flow.states[-1]), voxels(last), atol=1e-3)
    assert not np.allclose(voxels(flow.states[0]), voxels(last), atol=1.0), "each scan starts from itself"
    flow.browser.SetSelectedItemNumber(1)  # as Slicer's own toolbar does
    assert (flowing.ui.flowStepSlider.value, flowing.ui.flowStepLabel.text) == (1, "τ = 0.50")

    flowing.ui.stepsSpin.value = 2
    run(flowing)
    assert np.allclose(voxels(flowing.getParameterNode().forecast), arrived, atol=1e-2)


def test_members_stand_side_by_side_and_move_together(flowing) -> None:
    flow = show_flow(flowing)
    assert shown_views() == ["CRONOSMember1", "CRONOSMember2", "CRONOSMember3"]
    widgets = [slicer.app.layoutManager().sliceWidget(name) for name in shown_views()]
    assert [widget.mrmlSliceNode().GetLayoutLabel() for widget in widgets] == ["2020-01-01", "2020-03-01", "2020-04-30"]
    composites = [widget.mrmlSliceCompositeNode() for widget in widgets]
    assert [view.GetBackgroundVolumeID() for view in composites] == [state.GetID() for state in flow.states]
    assert all(view.GetLinkedControl() for view in composites)
    flowing.ui.compareButton.click()
    flowing.ui.membersButton.click()
    assert len(shown_views()) == 3


def test_each_scan_wears_its_own_speed_and_the_maps_go_again(flowing) -> None:
    flow = show_flow(flowing)
    views = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode() for name in shown_views()]
    flowing.ui.flowOpacitySlider.value = 30
    pick(flowing.ui.flowOverlayCombo, "speed")
    assert [view.GetForegroundVolumeID() for view in views] == [speed.GetID() for speed in flow.speeds]
    assert [view.GetForegroundOpacity() for view in views] == pytest.approx([0.3] * 3)
    for name, node in (("disagreement", flow.disagreement), ("bend", flow.bend)):
        pick(flowing.ui.flowOverlayCombo, name)
        assert {view.GetForegroundVolumeID() for view in views} == {node.GetID()}
    pick(flowing.ui.flowOverlayCombo, "")
    assert {view.GetForegroundVolumeID() for view in views} == {None}


def test_disagreement_is_the_standard_deviation_of_the_members(flowing) -> None:
    flow = show_flow(flowing)
    flowing.ui.stepsSpin.value = 2
    run(flowing)
    spread = slicer.util.getNode("T1 2020-04-30 spread 2020-06-29")
    assert voxels(flow.disagreement).max() > 0
    assert np.allclose(voxels(flow.disagreement), voxels(spread), atol=1e-2)


def test_straightness_and_evaluations_are_told(flowing) -> None:
    pick(flowing.ui.flowSolverCombo, "heun")
    flow = show_flow(flowing)
    assert (flow.solver, flow.nfe) == ("heun", 4)
    assert 0 < flow.straightness < 1
    assert "heun, 2 steps, 4 evaluations" in flowing.ui.flowLabel.text
    assert f"Straightness {flow.straightness:.3f}" in flowing.ui.flowLabel.text
    assert abs(voxels(flow.bend)).max() > 0


def test_one_step_says_that_it_cannot_tell_straightness(flowing) -> None:
    flowing.ui.flowStepsSpin.value = 1
    show_flow(flowing)
    assert "Ask for more steps" in flowing.ui.flowLabel.text


def test_running_again_replaces_the_nodes_unless_they_are_to_be_kept(flowing) -> None:
    first = [node.GetID() for node in show_flow(flowing)]
    before = slicer.mrmlScene.GetNumberOfNodes()
    flow = show_flow(flowing)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert sum(slicer.mrmlScene.GetNodeByID(identifier) is not None for identifier in first) in (0, len(first))
    flowing.ui.keepCheckBox.click()
    again = show_flow(flowing)
    assert flow_of(flow.browser) is not None
    assert again.browser is not flow.browser
    assert flowing.ui.flowSelector.nodeCount() == 2


def test_the_flow_stands_under_the_patient(flowing) -> None:
    flow = show_flow(flowing)
    hierarchy = SubjectHierarchy(slicer.mrmlScene)
    parents = {hierarchy.parent_of(node) for node in flow}
    assert len(parents) == 1
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    (folder,) = parents
    assert tree.GetItemName(tree.GetItemParent(folder)) == "Forecast 2020-06-29"


def test_a_saved_scene_brings_the_flow_back(flowing, tmp_path: Path) -> None:
    flow = show_flow(flowing)
    write_scene(slicer.mrmlScene, tmp_path / "flow.mrb")
    scene = read_scene(tmp_path / "flow.mrb")
    found = flow_of(scene.GetFirstNodeByName(flow.browser.GetName()))
    assert found is not None
    assert (found.taus, found.nfe, found.straightness) == (flow.taus, flow.nfe, flow.straightness)


def test_a_method_without_a_flow_says_so(filled) -> None:
    assert not filled.ui.flowButton.enabled
    assert "integrates no flow" in filled.ui.flowButton.toolTip


def test_a_cancelled_flow_leaves_nothing(flowing) -> None:
    before = slicer.mrmlScene.GetNumberOfNodes()
    flowing.ui.flowButton.click()
    flowing.ui.forecastButton.click()
    until(lambda: flowing.ui.forecastButton.text == "Forecast" and flowing.ui.forecastButton.enabled)
    assert "cancelled" in flowing.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_scene_closed_while_a_flow_arrives_leaves_a_clean_panel(flowing) -> None:
    flowing.ui.flowButton.click()
    until(lambda: slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode"))
    slicer.mrmlScene.Clear()
    until(lambda: not flowing.panel.run.job.running)
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode"):
        assert slicer.mrmlScene.GetNumberOfNodesByClass(kind) == 0
    assert not flowing.ui.flowButton.enabled


def test_the_aligned_scans_are_shown_on_request_and_replaced(flowing) -> None:
    flowing.ui.alignedCheckBox.click()
    for _ in range(2):
        run(flowing)
        found = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "aligned" in node.GetName()]
        assert [node.GetName() for node in found] == ["T1 2020-01-01 aligned", "T1 2020-03-01 aligned"]
    assert voxels(found[0]).shape == voxels(slicer.util.getNode("T1 2020-04-30")).shape
    flowing.ui.keepCheckBox.click()
    run(flowing)
    assert len(slicer.util.getNodes("*aligned*")) == 4


def test_every_choice_comes_back_with_the_parameter_node(flowing) -> None:
    ui = flowing.ui
    pick(ui.flowSolverCombo, "midpoint")
    pick(ui.aggregationCombo, "mean")
    pick(ui.solverCombo, "rk4")
    ui.seedSpin.value, ui.stepsSpin.value, ui.flowStepsSpin.value, ui.flowOpacitySlider.value = 11, 3, 9, 20
    ui.alignedCheckBox.click()
    ui.keepCheckBox.click()
    flowing.setParameterNode(None)
    for combo in (ui.flowSolverCombo, ui.aggregationCombo, ui.solverCombo, ui.precisionCombo):
        combo.setCurrentIndex(0)
    flowing.enter()
    combos = (ui.flowSolverCombo, ui.aggregationCombo, ui.solverCombo, ui.precisionCombo)
    assert [combo.currentData for combo in combos] == ["midpoint", "mean", "rk4", "fp32"]
    assert (ui.seedSpin.value, ui.stepsSpin.value, ui.flowStepsSpin.value, ui.flowOpacitySlider.value) == (11, 3, 9, 20)
    assert ui.alignedCheckBox.checked
    assert ui.keepCheckBox.checked


def test_the_console_gives_the_same_flow_and_aligned_scans_without_a_panel(flowing, winding_bundle) -> None:
    flow = show_flow(flowing)
    taus, shown = flow.taus, [voxels(node).copy() for node in (*flow.states, *flow.speeds)]
    scans = [slicer.util.getNode(f"T1 2020-{day}") for day in ("01-01", "03-01", "04-30")]
    results = flowing.logic.forecast(
        scans,
        targetDate="2020-06-29",
        bundle=winding_bundle.path,
        steps=2,
        precision="fp32",
        keep_trajectory=True,
        showAligned=True,
    )
    assert results.flow is not None
    assert results.flow.taus == taus
    for node, other in zip((*results.flow.states, *results.flow.speeds), shown):
        assert np.allclose(voxels(node), other, atol=1e-3)
    assert [node.GetName() for node in results.aligned] == ["T1 2020-01-01 aligned", "T1 2020-03-01 aligned"]
