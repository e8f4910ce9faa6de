"""Base classes of a scripted module, without Qt: module, logic and test work, the widget says that it cannot."""

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
    """Base of a panel; it needs the application's Qt."""

    def __init__(self, parent=None) -> None:
        raise RuntimeError(f"{type(self).__name__} needs the application's Qt, which this host does not have.")


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
