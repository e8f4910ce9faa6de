"""Starts the host with a panel: `qt`, `ctk`, `slicer.app`, and one panel per module."""

from __future__ import annotations

import ctypes
import os
import sys
from types import ModuleType, SimpleNamespace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtWidgets

from slicerhost import BareApplication

from . import ctk_widgets, qmrml_widgets
from .manners import dressed, turn_properties_into_attributes
from .qt_module import make_qt_module, register_widget
from .slice_views import LayoutManager

_CTK = (ctk_widgets.ctkCollapsibleButton, ctk_widgets.ctkPathLineEdit)
_QMRML = (qmrml_widgets.qMRMLWidget, qmrml_widgets.qMRMLNodeComboBox)


_KNOWN_NOISE = ("propagateSizeHints", "of the set-type property filters", "vtkMRMLScene*", "QObject::connect:  (")
"""What Qt says about the off-screen platform, and about enumerations and slots that only the real widgets have."""


class ModuleManager(dressed(QtCore.QObject)):
    """The part of qSlicerModuleManager that a panel listens to."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name: str):
        """What is known of a module whose panel was opened, or None."""
        return getattr(slicer.modules, name.lower(), None)


class Application(BareApplication):
    """What the modules use of qSlicerApplication."""

    applicationName = "Slicer"

    def __init__(self) -> None:
        super().__init__()
        self._qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        self._manager = ModuleManager()
        self._layouts: LayoutManager | None = None

    def layoutManager(self) -> LayoutManager | None:
        """Views of the main window; None without one."""
        return self._layouts

    def moduleManager(self) -> ModuleManager:
        """Tells when modules are unloaded."""
        return self._manager

    def processEvents(self) -> None:
        """Let Qt do what is waiting."""
        self._qt.processEvents()

    def topLevelWidgets(self) -> list:
        """Windows, of which the main one is called qSlicerMainWindow."""
        return self._qt.topLevelWidgets()

    def testingEnabled(self) -> bool:
        """Dialogs answer by themselves."""
        return True

    def _open_views(self, scene) -> None:
        self._layouts = LayoutManager(scene)


def start() -> Application:
    """The one application of this process; a new main window's views each time."""
    if not isinstance(getattr(slicer, "app", None), Application):
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QCoreApplication.setOrganizationName("SlicerHost")  # whose settings are not those of a real Slicer
        _keep_constants_alive()
        QtCore.qInstallMessageHandler(_say)
        turn_properties_into_attributes()
        slicer.app = Application()
        slicer.modules = SimpleNamespace()
        sys.modules["qt"], sys.modules["ctk"] = make_qt_module(), ModuleType("ctk")
        for widget in _CTK:
            setattr(sys.modules["ctk"], widget.__name__, widget)
        for widget in _QMRML:
            setattr(slicer, widget.__name__, widget)
        slicer.qSlicerScriptedLoadableModuleWidget = PanelParent
        for widget in (*_CTK, *_QMRML):
            register_widget(widget)
    _open_logics(slicer.mrmlScene)
    slicer.app._open_views(slicer.mrmlScene)
    return slicer.app


def _open_logics(scene) -> None:
    """Logics of Slicer's own modules that `slicer.util` asks for."""
    for name, logic in (
        ("volumes", slicer.vtkSlicerVolumesLogic()),
        ("segmentations", slicer.vtkSlicerSegmentationsModuleLogic()),
    ):
        logic.SetMRMLScene(scene)
        setattr(slicer.modules, name, SimpleNamespace(logic=lambda logic=logic: logic))
    sequences = slicer.vtkSlicerSequencesLogic()
    sequences.SetMRMLScene(scene)
    slicer.modules.sequences = SequencesModule(sequences)


class SequencesModule:
    """What the modules use of qSlicerSequencesModule; the toolbar is remembered, and not drawn."""

    def __init__(self, logic) -> None:
        self._logic = logic
        self._browser = None

    def logic(self):
        """vtkSlicerSequencesLogic: lets the shown volumes follow the browsers."""
        return self._logic

    def showSequenceBrowser(self, browser) -> bool:
        """Show a browser in the toolbar."""
        self._browser = browser
        return True


def _say(kind, context, message: str) -> None:
    if not any(noise in message for noise in _KNOWN_NOISE):
        print(message, file=sys.stderr)


def _keep_constants_alive() -> None:
    """PySide6 6.12 takes None, True and False for immortal, which they are from Python 3.12 on only."""
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


class PanelParent(qmrml_widgets.qMRMLWidget):
    """What holds a module's panel in the main window, as qSlicerScriptedLoadableModuleWidget does."""

    def __init__(self) -> None:
        super().__init__()
        self._entered, self._panel = False, None
        QtWidgets.QVBoxLayout(self)

    def self(self):
        """The panel's Python object."""
        return self._panel

    isEntered = QtCore.Property(bool, lambda self: self._entered)

    def reload(self) -> None:
        """Make the panel anew, of the module as it was imported again; it stays entered, and `enter` is not called."""
        name = self._panel.moduleName
        self._panel = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._panel)
        self._panel.setup()


def open_panel(module: ModuleType):
    """The panel of a module file, set up and entered as when the user opens the module."""
    parent = PanelParent()
    setattr(
        slicer.modules,
        module.__name__.lower(),
        SimpleNamespace(path=module.__file__, widgetRepresentation=lambda: parent),
    )
    panel = getattr(module, f"{module.__name__}Widget")(parent)
    setattr(slicer.modules, f"{module.__name__}Widget", panel)
    parent._panel = panel
    parent.setMRMLScene(slicer.mrmlScene)
    panel.setup()
    parent._entered = True
    panel.enter()
    parent.show()
    return panel


def close_panel(panel) -> None:
    """Unload the panel's module, as the application does at its end."""
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(panel.moduleName)
    panel.parent.hide()
    panel.parent.deleteLater()
    slicer.app.processEvents()
