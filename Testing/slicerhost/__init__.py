"""Opens the module files without the application: the real scene of slicer-core, and the parts it lacks.

The parts stand in for `slicer.ScriptedLoadableModule`, `slicer.i18n` and `slicer.parameterNodeWrapper`. They are
strict: what the real one refuses raises here. Panels need Qt, which `slicerhost.gui` brings.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import slicer
from CRONOSLib.scene.session import new_scene

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent


class ModuleParent:
    """What Slicer hands to a module to describe itself: qSlicerScriptedLoadableModule's writable properties."""

    __slots__ = (
        "acknowledgementText",
        "associatedNodeTypes",
        "categories",
        "contributors",
        "dependencies",
        "helpText",
        "hidden",
        "icon",
        "index",
        "path",
        "title",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, path: Path) -> None:
        self.path = str(path)


class BareApplication:
    """What a module may ask of `slicer.app` where there is no window: slots are kept, views are none."""

    def __init__(self) -> None:
        self.slots: dict[str, list] = {}

    def connect(self, signature: str, slot) -> bool:
        """Keep a slot of qSlicerApplication. Raises AttributeError for an unknown signal."""
        if signature != "startupCompleted()":
            raise AttributeError(f"qSlicerApplication has no signal {signature} that this host knows.")
        self.slots.setdefault(signature, []).append(slot)
        return True

    def layoutManager(self) -> None:
        """There is no main window."""

    def processEvents(self) -> None:
        """There is no Qt that could wait."""


def open_host() -> None:
    """Make the missing parts importable and start with an empty scene, as the application does."""
    parts = str(_HERE / "parts")
    if parts not in slicer.__path__:
        slicer.__path__.append(parts)
    if not hasattr(slicer, "app"):
        slicer.app = BareApplication()
    slicer.mrmlScene = new_scene()
    slicer.mrmlScene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    slicer.mrmlScene.colors = slicer.vtkMRMLColorLogic()  # the colour nodes go when it goes
    slicer.mrmlScene.colors.SetMRMLScene(slicer.mrmlScene)


def load_module(name: str) -> ModuleType:
    """Load a module file the way Slicer does: its folder goes on the path, its class describes itself."""
    folder = _ROOT / name
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    module = importlib.import_module(name)
    getattr(module, name)(ModuleParent(folder / f"{name}.py"))
    return module
