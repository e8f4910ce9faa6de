"""Base classes of a scripted module: module, panel, logic and test."""

import os
import unittest

import slicer


class ScriptedLoadableModule:
    """Base of the class that describes a module."""

    def __init__(self, parent) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""


class ScriptedLoadableModuleWidget:
    """Base of a panel; it needs the host's Qt (`slicerhost.gui`)."""

    def __init__(self, parent=None) -> None:
        super().__init__()
        if parent is None:
            raise RuntimeError("This host opens a panel in a parent widget only.")
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the module's folder of resources."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Reload and Test would stand here in developer mode."""

    def cleanup(self) -> None:
        """For the panel to override."""

    def onReload(self) -> None:
        """Reload the module's file and its panel."""
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Base of a logic: one parameter node for each module and scene."""

    def __init__(self, parent=None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        """The module's parameter node of the current scene, new when there is none."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        return node or slicer.mrmlScene.AddNode(self.createParameterNode())

    def createParameterNode(self):
        """A parameter node that is not in the scene yet."""
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a self test."""

    def delayDisplay(self, message: str, requestedDelay=None, msec=None) -> None:
        """Messages need a window; here they are checked to be text only."""
        if not isinstance(message, str):
            raise TypeError(f"A message must be str, not {type(message).__name__}.")

    def runTest(self) -> None:
        """Every self test of CRONOS names its tests itself."""
        raise NotImplementedError
