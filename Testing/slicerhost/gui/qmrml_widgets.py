"""The MRML widgets that the modules use, acting on the real scene."""

from __future__ import annotations

from typing import ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from .manners import dressed


class qMRMLWidget(dressed(QtWidgets.QWidget)):
    """A widget that hands its scene on."""

    sceneSignal = QtCore.Signal(object)
    python_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "sceneSignal"}

    def __init__(self, parent=None) -> None:
        QtWidgets.QWidget.__init__(self, parent)
        self._scene = None

    def mrmlScene(self):
        """The scene shown, or None."""
        return self._scene

    def setMRMLScene(self, scene) -> None:
        """Show another scene. As the `.ui` files connect it, every MRML widget inside follows."""
        self._scene = scene
        for child in self.findChildren(qMRMLNodeComboBox):
            child.setMRMLScene(scene)
        self.sceneSignal.emit(scene)


class qMRMLNodeComboBox(dressed(QtWidgets.QWidget)):
    """A list of the scene's nodes of some classes; hidden nodes are left out."""

    nodeSignal = QtCore.Signal(object)
    validSignal = QtCore.Signal(bool)
    activatedSignal = QtCore.Signal(object)
    python_signals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "nodeSignal",
        "currentNodeChanged(bool)": "validSignal",
        "nodeActivated(vtkMRMLNode*)": "activatedSignal",
    }
    currentNodeIDChanged = QtCore.Signal(str)

    def __init__(self, parent=None) -> None:
        QtWidgets.QWidget.__init__(self, parent)
        self._scene, self._tags, self._current, self._wanted = None, [], "", []
        self._values = {name: True for name in ("addEnabled", "removeEnabled", "editEnabled", "renameEnabled")}
        self._values |= {"noneEnabled": False, "noneDisplay": "None", "nodeTypes": [], "showHidden": False}
        self._combo = QtWidgets.QComboBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._combo.currentIndexChanged.connect(self._on_index)
        self._combo.activated.connect(lambda index: self.activatedSignal.emit(self.currentNode()))

    def mrmlScene(self):
        """The scene whose nodes are listed, or None."""
        return self._scene

    def setMRMLScene(self, scene) -> None:
        """List the nodes of another scene."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        followed = {}
        if scene:
            followed |= dict.fromkeys((scene.NodeAddedEvent, scene.NodeRemovedEvent), self._follow)
            followed |= dict.fromkeys((scene.EndImportEvent, scene.EndCloseEvent), self._list_anew)
        self._tags = [scene.AddObserver(event, slot) for event, slot in followed.items()]
        self._fill()

    def currentNode(self):
        """The chosen node, or None."""
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node) -> None:
        """Choose a node, by itself or its ID."""
        self._choose(node if isinstance(node, str) else node.GetID() if node else "")

    def _choose(self, identifier: str) -> None:
        index = max(self._combo.findData(identifier), 0 if self._values["noneEnabled"] else -1)
        self._combo.setCurrentIndex(index)

    currentNodeID = QtCore.Property(str, lambda self: self._current, lambda self, value: self._choose(value))

    def addAttribute(self, node_type: str, name: str, value: str) -> None:
        """List nodes of a class only when they have an attribute of this value."""
        self._wanted.append((node_type, name, value))
        if self._scene:
            self._fill()

    def nodeCount(self) -> int:
        """How many nodes are listed."""
        return sum(bool(self._combo.itemData(index)) for index in range(self._combo.count))

    def _follow(self, caller, event) -> None:
        if not self._scene.IsImporting():
            self._fill()

    def _list_anew(self, caller, event) -> None:
        """After a scene was read or closed: the list is emptied first, and then nothing is chosen any more."""
        self._combo.setCurrentIndex(0 if self._values["noneEnabled"] else -1)
        self._fill()

    def _fill(self) -> None:
        kinds = self._values["nodeTypes"] if self._scene else []
        nodes = {node.GetID(): node for kind in kinds for node in slicer.util.getNodesByClass(kind, self._scene)}
        shown = [node for node in nodes.values() if self._lists(node)]
        place = self._combo.currentIndex
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._values["noneEnabled"]:
            self._combo.addItem(self._values["noneDisplay"], "")
        for node in shown:
            self._combo.addItem(node.GetName(), node.GetID())
        there = self._combo.findData(self._current)
        neighbour = min(max(place, 0), self._combo.count - 1)  # Qt's choice when the chosen one goes
        self._combo.setCurrentIndex(neighbour if there < 0 else there)
        self._combo.blockSignals(False)
        self._on_index()

    def _lists(self, node) -> bool:
        hidden = node.GetHideFromEditors() and not self._values["showHidden"]
        wanted = all(node.GetAttribute(name) == value for kind, name, value in self._wanted if node.IsA(kind))
        return not hidden and wanted

    def _on_index(self, index: int = 0) -> None:
        chosen = self._combo.currentData or ""
        if chosen != self._current:
            self._current = chosen
            self.currentNodeIDChanged.emit(chosen)
            self.nodeSignal.emit(self.currentNode())
            self.validSignal.emit(bool(chosen))

    def _kept(name, kind, refill=False):
        def write(self, value) -> None:
            self._values[name] = value
            if refill and self._scene:
                self._fill()

        return QtCore.Property(kind, lambda self: self._values[name], write)

    nodeTypes = _kept("nodeTypes", "QStringList", True)
    noneEnabled = _kept("noneEnabled", bool, True)
    noneDisplay = _kept("noneDisplay", str, True)
    showHidden = _kept("showHidden", bool, True)
    addEnabled = _kept("addEnabled", bool)
    removeEnabled = _kept("removeEnabled", bool)
    editEnabled = _kept("editEnabled", bool)
    renameEnabled = _kept("renameEnabled", bool)
