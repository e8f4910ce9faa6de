"""3D Slicer module: shows the trained models that CRONOS Predict can use."""

from __future__ import annotations

import sys
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# CRONOSLib is imported where it is used: Slicer imports every module at startup, and must not wait for SimpleITK.


class CRONOSTrain(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CRONOS Train")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = ["CRONOSPredict"]  # its folder holds CRONOSLib
        self.parent.contributors = ["CRONOS contributors"]
        self.parent.helpText = _(
            "Lists trained models (bundles): their name, what they were trained on, and their measured skill. Training "
            "runs from a shell: cronos train. For research use only, not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "CRONOS forecasts by flow matching between the scans of a patient and the target (arXiv 2512.16577). "
            "PyTorch, torchdiffeq and SimpleITK do the computing."
        )


@parameterNodeWrapper
class CRONOSTrainParameterNode:
    """The user's choices, saved with the scene.

    bundlesFolder - folder whose bundles are listed; "." lists those that come with CRONOS
    """

    bundlesFolder: Path


class CRONOSTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: the bundles of a folder."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/CRONOSTrain.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = CRONOSTrainLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.setParameterNode(self.logic.getParameterNode())

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded."""
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.setParameterNode(self.logic.getParameterNode())

    def exit(self) -> None:
        """Called each time the user opens another module."""
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Reload the library together with the module; Slicer itself reloads this file only."""
        for name in [name for name in sys.modules if name.split(".")[0] == "CRONOSLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        """The parameter node is about to go."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event) -> None:
        """A closed scene needs a new parameter node at once when the panel is open."""
        if self.parent.isEntered:
            self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: CRONOSTrainParameterNode | None) -> None:
        """Show the choices of another parameter node, or of none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onChoicesChanged)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._guiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onChoicesChanged)
            self.onChoicesChanged()

    def onChoicesChanged(self, caller=None, event=None) -> None:
        """List the bundles of the chosen folder."""
        from CRONOSLib.scene.listing import bundle_table

        folder = self._parameterNode.bundlesFolder
        headings = (_("Bundle"), _("Trained on"), _("Skill against copying the last scan"))
        self.ui.bundlesBrowser.html = bundle_table(None if folder == Path() else folder, headings)


class CRONOSTrainLogic(ScriptedLoadableModuleLogic):
    """Bundles without the panel."""

    def getParameterNode(self) -> CRONOSTrainParameterNode:
        """The user's choices of this scene."""
        return CRONOSTrainParameterNode(super().getParameterNode())

    def bundles(self, folder: Path | str | None = None):
        """`CRONOSLib.bundles.bundle.Bundle` of every trained model in a folder; None: those that come with CRONOS.

        :raises CRONOSLib.errors.BundleError: when the folder is not there or a bundle cannot be read.
        """
        from CRONOSLib.bundles.store import list_bundles

        return list_bundles(None if folder is None else Path(folder))


class CRONOSTrainTest(ScriptedLoadableModuleTest):
    """Self test, without network."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the whole self test."""
        self.setUp()
        self.test_everyBundleThatComesWithCRONOSSaysHowItWasTrained()

    def test_everyBundleThatComesWithCRONOSSaysHowItWasTrained(self) -> None:
        """Every bundle names its cohort and the command that trains it again."""
        for bundle in CRONOSTrainLogic().bundles():
            assert bundle.training["cohort"], bundle.name
            assert bundle.training["command"], bundle.name
        self.delayDisplay(_("The bundles were listed."))
