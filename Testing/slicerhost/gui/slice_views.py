"""Slice views without a window: the real slice logic of each view, drawn off screen."""

from __future__ import annotations

import slicer
import vtk
from PySide6 import QtCore, QtGui

from .drawing import SliceCanvas

_SIZE = (320, 800)
"""Pixels of every view, as three beside each other have them."""


class SliceWidget:
    """One slice view, with the invokable methods of qMRMLSliceWidget that the modules use."""

    def __init__(self, slice_node, application_logic) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLScene(slice_node.GetScene())
        self._logic.SetSliceNode(slice_node)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._application_logic = application_logic
        self._canvas: SliceCanvas | None = None

    def sliceLogic(self):
        """The view's vtkMRMLSliceLogic."""
        return self._logic

    def mrmlSliceNode(self):
        """The view's slice node."""
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        """The node that says which volumes the view shows."""
        return self._logic.GetSliceCompositeNode()

    def sliceController(self) -> SliceController:
        """The bar above the view."""
        return SliceController(self._logic)

    def _lay_out(self) -> None:
        self._logic.ResizeSliceNode(*_SIZE)

    def picture(self, width: int, height: int) -> QtGui.QImage:
        """What the view shows, in pixels."""
        node = self._logic.GetSliceNode()
        node.SetDimensions(width, height, 1)
        node.SetUVWDimensions(width, height, 1)
        offset = node.GetSliceOffset()
        self._logic.FitSliceToBackground(width, height)
        node.SetSliceOffset(offset)
        if self._canvas is None:
            self._canvas = SliceCanvas(self._logic, self._application_logic)
        return self._canvas.picture(width, height)


class SliceController:
    """What the modules use of qMRMLSliceControllerWidget."""

    def __init__(self, logic) -> None:
        self._logic = logic

    def fitSliceToBackground(self) -> None:
        """Show the whole background volume."""
        width, height, _ = self._logic.GetSliceNode().GetDimensions()
        self._logic.FitSliceToBackground(width, height)


class LayoutManager:
    """Views of the current layout, made by the real layout logic; what the modules use of qSlicerLayoutManager."""

    def __init__(self, scene) -> None:
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self._application_logic = slicer.vtkMRMLApplicationLogic()
        self._application_logic.SetSliceLogics(vtk.vtkCollection())
        if scene.GetFirstNodeByClass("vtkMRMLInteractionNode") is None:
            scene.AddNode(slicer.vtkMRMLInteractionNode())
        self._widgets: dict[str, SliceWidget] = {}
        self._laid_out: set[str] = set()
        self._map_views()
        self._lay_out()
        self._logic.GetLayoutNode().AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_layout)

    def layoutLogic(self):
        """The real vtkMRMLLayoutLogic."""
        return self._logic

    @property
    def layout(self) -> int:
        """Number of the current layout."""
        return self._logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        """Show another layout."""
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    def _on_layout(self, node, event) -> None:
        """The layout is another one; its new views get their size in Qt's next turn."""
        self._map_views()
        QtCore.QTimer.singleShot(0, self._lay_out)

    def _lay_out(self) -> None:
        """Give the views of the current layout their size."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode", self._logic.GetMRMLScene())
        shown = {node.GetName() for node in nodes if node.IsMappedInLayout()}
        for name in shown - self._laid_out:
            if name in self._widgets:
                self._widgets[name]._lay_out()
        self._laid_out |= shown

    def _map_views(self) -> None:
        """Tell each view whether it is shown."""
        shown = self._logic.GetViewNodes()
        nodes = [shown.GetItemAsObject(index) for index in range(shown.GetNumberOfItems())]
        for node in slicer.util.getNodesByClass("vtkMRMLAbstractViewNode", self._logic.GetMRMLScene()):
            node.SetMappedInLayout(node in nodes)

    def sliceViewNames(self) -> tuple[str, ...]:
        """Names of all slice views that any layout has shown so far, in no order to rely on."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode", self._logic.GetMRMLScene())
        return tuple(sorted(node.GetName() for node in nodes))

    def sliceWidget(self, name: str) -> SliceWidget | None:
        """The slice view of that name, or None when no layout had it."""
        if name not in self._widgets:
            node = self._logic.GetMRMLScene().GetSingletonNode(name, "vtkMRMLSliceNode")
            if node is None:
                return None
            self._widgets[name] = SliceWidget(node, self._application_logic)
            if name in self._laid_out:
                self._widgets[name]._lay_out()
        return self._widgets[name]
