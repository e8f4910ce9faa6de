"""The host that opens panels without Slicer is as strict as Slicer, and every name that panels use exists there."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
from slicerhost.gui.real_names import QT_NAMES, SLICER_NAMES, WIDGETS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
UI_FILES = sorted(ROOT.glob("CRONOS*/Resources/UI/*.ui"))
CODE_FILES = [*ROOT.glob("CRONOS*/CRONOS*.py"), *(ROOT / "CRONOSPredict/CRONOSLib/scene").rglob("*.py")]


@pytest.fixture
def qt(host):
    import qt

    return qt


def test_a_property_is_an_attribute_and_an_unknown_one_raises(qt) -> None:
    edit = qt.QLineEdit()
    edit.text = "2020-01-02"
    assert edit.text == "2020-01-02"
    with pytest.raises(AttributeError, match="no property of QLineEdit"):
        edit.txt = "2020"
    with pytest.raises(AttributeError):
        edit.setText = print


def test_a_signal_is_named_by_its_signature_and_an_unknown_one_raises(qt) -> None:
    heard: list = []
    button = qt.QPushButton("Forecast")
    button.connect("clicked()", lambda: heard.append("clicked"))
    button.click()
    assert heard == ["clicked"]
    with pytest.raises(AttributeError, match="no signal pressedTwice"):
        button.connect("pressedTwice()", heard.append)


def test_a_name_that_slicer_is_not_known_to_have_raises(qt) -> None:
    with pytest.raises(AttributeError):
        _ = qt.QQuickWidget


def test_a_list_of_nodes_follows_the_scene(host) -> None:
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.setMRMLScene(slicer.mrmlScene)
    heard: list = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    box.setCurrentNode(node)
    assert box.currentNode() is node
    slicer.mrmlScene.RemoveNode(node)
    assert box.currentNode() is None
    assert [found and found.GetName() for found in heard] == ["T1", None]
    box.setMRMLScene(None)


def test_when_the_chosen_node_goes_its_neighbour_is_chosen(host) -> None:
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.setMRMLScene(slicer.mrmlScene)
    nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("T1", "T2", "T3")]
    box.setCurrentNode(nodes[1])
    for removed, chosen in ((1, nodes[2]), (2, nodes[0]), (0, None)):
        slicer.mrmlScene.RemoveNode(nodes[removed])
        assert box.currentNode() is chosen
    box.setMRMLScene(None)


def test_a_selector_lists_what_its_parameter_takes_and_an_abstract_class_raises(panel) -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    assert list(panel.ui.regionSelector.nodeTypes) == ["vtkMRMLSegmentationNode", "vtkMRMLMarkupsROINode"]

    class Choices:
        region: slicer.vtkMRMLDisplayableNode

    Choices.__annotations__ = {"region": slicer.vtkMRMLDisplayableNode}
    choices = parameterNodeWrapper(Choices)(slicer.vtkMRMLScriptedModuleNode())
    with pytest.raises(TypeError, match="abstract"):
        choices.connectGui(SimpleNamespace(regionSelector=panel.ui.regionSelector))


@pytest.mark.parametrize("path", CODE_FILES, ids=lambda path: path.stem)
def test_every_qt_ctk_and_slicer_name_exists_in_slicer(path: Path) -> None:
    unknown = [f"{package}.{name}" for package, name in _names_used(path) if not _exists(package, name)]
    assert not unknown


def test_every_member_of_slicer_util_and_of_a_qt_class_exists(qt) -> None:
    owners = {"slicer": {"util": slicer.util}, "qt": {name: getattr(qt, name) for name in QT_NAMES}}
    unknown = [
        f"{package}.{owner}.{name}"
        for path in CODE_FILES
        for package, owner, name in _members_used(path)
        if owner in owners[package] and not hasattr(owners[package][owner], name)
    ]
    assert not unknown


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_a_ui_file_uses_real_widgets_and_their_real_properties(host, path: Path) -> None:
    for widget in ElementTree.parse(path).iter("widget"):
        known = _properties(widget.get("class"))
        for used in widget.findall("property"):
            assert used.get("stdset") == "0" or used.get("name") in known, (widget.get("name"), used.get("name"))


def test_the_hosts_widgets_have_what_the_real_ones_have_and_no_more(host) -> None:
    import ctk

    for name, real in WIDGETS.items():
        widget_class = getattr(ctk, name, None) or getattr(slicer, name)
        described = widget_class.staticMetaObject
        first = described.propertyOffset()
        own = {described.property(index).name() for index in range(first, described.propertyCount())}
        assert own <= real.properties
        assert set(widget_class.python_signals) <= real.signals


def _names_used(path: Path) -> Iterator[tuple[str, str]]:
    for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        base = found.value if isinstance(found, ast.Attribute) else None
        if isinstance(base, ast.Name) and base.id in {"qt", "ctk", "slicer"}:
            yield base.id, found.attr


def _members_used(path: Path) -> Iterator[tuple[str, str, str]]:
    for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        owner = found.value if isinstance(found, ast.Attribute) else None
        if (
            isinstance(owner, ast.Attribute)
            and isinstance(owner.value, ast.Name)
            and owner.value.id in {"qt", "slicer"}
        ):
            yield owner.value.id, owner.attr, found.attr


def _exists(package: str, name: str) -> bool:
    if package == "qt":
        return name in QT_NAMES
    if package == "ctk":
        return name in WIDGETS
    return name in SLICER_NAMES | set(WIDGETS) or (name.startswith(("vtk", "MRML")) and hasattr(slicer, name))


def _properties(widget_class: str) -> set[str] | frozenset[str]:
    from PySide6 import QtWidgets

    real = WIDGETS.get(widget_class)
    if real is not None:
        return real.properties | _properties(real.base)
    described = getattr(QtWidgets, widget_class).staticMetaObject
    names = {described.property(index).name() for index in range(described.propertyCount())}
    return names | {"buddy"} if widget_class == "QLabel" else names  # Designer sets a buddy like a property


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_a_path_is_browsed_for_as_what_it_is(path: Path) -> None:
    """The button beside a ctkPathLineEdit that takes files and folders lets nobody choose a folder."""
    filters = [
        found.findtext("set")
        for widget in ElementTree.parse(path).iter("widget")
        for found in widget.findall("property")
        if widget.get("class") == "ctkPathLineEdit" and found.get("name") == "filters"
    ]
    assert filters
    assert set(filters) <= {"ctkPathLineEdit::Dirs", "ctkPathLineEdit::Files"}


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_every_control_and_every_section_has_a_tool_tip(path: Path) -> None:
    silent = [
        widget.get("name")
        for widget in ElementTree.parse(path).iter("widget")
        if widget.get("class") not in {"QLabel", "qMRMLWidget", "QProgressBar", "QWidget"}
        and not any(found.get("name") == "toolTip" for found in widget.findall("property"))
    ]
    assert not silent


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_the_tabulator_visits_every_control_from_top_to_bottom(path: Path) -> None:
    root = ElementTree.parse(path)
    passed_by = {"QLabel", "qMRMLWidget", "QProgressBar", "ctkCollapsibleButton", "QWidget"}
    controls = [widget.get("name") for widget in root.iter("widget") if widget.get("class") not in passed_by]
    assert [stop.text for stop in root.iter("tabstop")] == controls


def test_the_panel_of_cronos_train_lists_the_bundles_of_a_folder(host, tiny_bundle) -> None:
    from slicerhost import load_module

    panel = host.open_panel(load_module("CRONOSTrain"))
    panel.ui.bundlesFolderEdit.currentPath = str(tiny_bundle.path.parent)
    assert "A tiny CRONOS" in panel.ui.bundlesBrowser.plainText
    host.close_panel(panel)
