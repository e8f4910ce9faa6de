"""3D Slicer module: trains a method on a group's own patients, in a process of its own."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Annotated

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
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
            "Trains a method that forecasts scans on a folder of patients, shows its skill against copying the last "
            "scan while it learns, and hands the trained model to CRONOS Predict. The training goes on when Slicer is "
            "closed. Everything stays on this computer. For research use only, not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "CRONOS forecasts by flow matching between the scans of a patient and the target (arXiv 2512.16577). "
            "PyTorch, torchdiffeq and SimpleITK do the computing."
        )


@parameterNodeWrapper
class CRONOSTrainParameterNode:
    """The user's choices, saved with the scene.

    cohortFolder  - of patients, or of a prepared cohort, or its manifest; "." for none yet
    layout        - how that folder is laid out, a name of `CRONOSLib.cohorts.readers`; auto recognises it
    channel       - kind of scan to learn from; "" takes what most patients have
    method, preset - names in the registry of methods
    grid          - of voxels that the method sees: "" as usual for the patients, spacing or size
    spacing       - voxel size, mm
    sizeX, sizeY, sizeZ - voxels along each axis
    batchSize     - patients per batch; 0: as many as fit into memory
    device        - auto, cuda or cpu; devices - how many of them
    outputFolder  - of the run, new or started before; "." for none yet
    startFrom     - name of the trained model to fine-tune; "" begins with random weights
    noise, synthetic - augmentation in percent; rotation - in degrees; flip - left and right
    configFile    - JSON file whose settings take the place of those chosen here
    bundlesFolder - folder whose trained models are listed; "." lists those that come with CRONOS and the user's own

    The others are fields of `CRONOSLib.training.settings.TrainSettings`.
    """

    cohortFolder: Path
    layout: str = "auto"
    channel: str
    method: str = "cronos-continuous"
    preset: str = "default"
    grid: str
    spacing: float = 3.0
    sizeX: Annotated[int, WithinRange(8, 512)] = 96
    sizeY: Annotated[int, WithinRange(8, 512)] = 96
    sizeZ: Annotated[int, WithinRange(8, 512)] = 64
    steps: Annotated[int, WithinRange(1, 1000000)] = 1600
    batchSize: Annotated[int, WithinRange(0, 64)] = 2
    device: str = "auto"
    outputFolder: Path
    startFrom: str
    devices: Annotated[int, WithinRange(1, 16)] = 1
    accumulate: Annotated[int, WithinRange(1, 64)] = 1
    learningRate: float = 5e-4
    maxContext: Annotated[int, WithinRange(1, 64)] = 6
    validateEvery: Annotated[int, WithinRange(1, 100000)] = 200
    patience: Annotated[int, WithinRange(0, 1000)] = 0
    precision: str = "bf16-mixed"
    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    flip: bool = True
    rotation: Annotated[int, WithinRange(0, 180)] = 0
    noise: Annotated[int, WithinRange(0, 100)] = 0
    synthetic: Annotated[int, WithinRange(0, 100)] = 0
    configFile: Path
    bundlesFolder: Path


class CRONOSTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. What its sections show and do stands in `CRONOSLib.scene.training`."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from CRONOSLib.scene.training.panel import TrainPanel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CRONOSTrain.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CRONOSTrainLogic()
        self.panel = TrainPanel(self.ui, useInPredict)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneImported)
        self.setParameterNode(self.logic.getParameterNode())

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded; a training goes on."""
        self.setParameterNode(None)
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.setParameterNode(self.logic.getParameterNode())

    def exit(self) -> None:
        """Called each time the user opens another module; a training that runs is still followed."""

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

    def onSceneStartImport(self, caller, event) -> None:
        """Selectors of nodes empty themselves while a scene is read, and that is no choice of the user."""
        self.disconnectParameterNode()

    def onSceneImported(self, caller, event) -> None:
        """A scene that was loaded brings its own choices."""
        if self._parameterNode is not None:
            self.setParameterNode(self.logic.getParameterNode())

    def getParameterNode(self) -> CRONOSTrainParameterNode | None:
        """The choices that the panel shows; None while a scene closes."""
        return self._parameterNode

    def setParameterNode(self, parameterNode: CRONOSTrainParameterNode | None) -> None:
        """Show the choices of another parameter node, or of none."""
        self.disconnectParameterNode()
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._guiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onChoicesChanged)
        if self.panel is not None:
            self.panel.show(self._parameterNode)

    def disconnectParameterNode(self) -> None:
        """Let the panel change no choices, until some are shown again."""
        if self._guiTag is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onChoicesChanged)
            self._guiTag = None

    def onChoicesChanged(self, caller=None, event=None) -> None:
        """Show what follows from the new choices."""
        self.panel.refresh()


def useInPredict(bundle: str) -> None:
    """Choose an installed model in CRONOS Predict, and go there where there is a main window."""
    from CRONOSPredict import CRONOSPredictLogic

    choices = CRONOSPredictLogic().getParameterNode()
    changing = choices.StartModify()
    choices.method, choices.bundlesFolder, choices.bundle = "", Path(), bundle
    choices.EndModify(changing)
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule("CRONOSPredict")


class CRONOSTrainLogic(ScriptedLoadableModuleLogic):
    """Trains and lists models without the panel, with or without a main window."""

    def getParameterNode(self) -> CRONOSTrainParameterNode:
        """The user's choices of this scene."""
        return CRONOSTrainParameterNode(super().getParameterNode())

    def train(self, config, wait=True, onStatus=None):
        """Train a method in a process of its own, which goes on when this one ends.

        A run in `out` that was stopped or cut off goes on, to the same weights, when it is asked the same again.

        :param config: `cohort` (folder of patients, or of a cohort that is prepared) and `out` (folder of the run); and
            as you like `method`, `settings` (fields of `CRONOSLib.training.settings.TrainSettings`), `channel`,
            `layout`, `device` ("auto", "cpu", "cuda") and `devices`. What `cronos train` writes to run.json will do.
        :param wait: wait for the trained model, while the window answers; else come back at once.
        :param onStatus: called with `CRONOSLib.training.run_folder.RunStatus` a few times a second while waiting.
        :return: the trained `CRONOSLib.bundles.bundle.Bundle`; without waiting the
            `CRONOSLib.training.detached.FollowedRun`, whose `status` says what it does and whose `stop()` ends it.
        :raises CRONOSLib.errors.CronosError: with one sentence that says what is wrong and what to do.

        >>> CRONOSTrainLogic().train({"cohort": "patients", "out": "runs/first", "settings": {"steps": 800}})
        """
        from CRONOSLib.training.detached import begin
        from CRONOSLib.training.order import TrainingOrder

        run = begin(TrainingOrder.from_json(config))
        if not wait:
            return run

        def tell(status) -> None:
            slicer.app.processEvents()
            if onStatus:
                onStatus(status)

        return run.wait(tell)

    def bundles(self, folder: Path | str | None = None):
        """`CRONOSLib.bundles.bundle.Bundle` of every trained model in a folder.

        :param folder: None: those that come with CRONOS and the user's own.
        :raises CRONOSLib.errors.BundleError: when the folder is not there or a bundle cannot be read.
        """
        from CRONOSLib.bundles.store import list_bundles

        return list_bundles(None if folder is None else Path(folder))


class CRONOSTrainTest(ScriptedLoadableModuleTest):
    """Self test: trains on patients that are made on the spot, without network."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the whole self test; what cannot be tested here says why."""
        for test in (self.test_everyBundleThatComesWithCRONOSSaysHowItWasTrained, self.test_trainingFromTheConsole):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as reason:
                self.delayDisplay(str(reason))

    def skipWithoutPackages(self) -> None:
        """A training needs what Slicer installs on first use only."""
        needed = ("torch", "torchdiffeq", "lightning", "safetensors", "matplotlib")
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            self.skipTest(_("No training was tested: {packages} missing.").format(packages=", ".join(missing)))

    def test_everyBundleThatComesWithCRONOSSaysHowItWasTrained(self) -> None:
        """Every bundle names its cohort and the command that trains it again."""
        from CRONOSLib.resources import bundles_folder

        for bundle in CRONOSTrainLogic().bundles(bundles_folder()):
            assert bundle.training["cohort"], bundle.name
            assert bundle.training["command"], bundle.name
        self.delayDisplay(_("The bundles were listed."))

    def test_trainingFromTheConsole(self) -> None:
        """A tiny network learns from six patients with growing balls, in a process of its own."""
        self.skipWithoutPackages()
        with tempfile.TemporaryDirectory() as folder:
            patients = Path(folder) / "patients"
            writeTestPatients(patients)
            network = {"unet": {"width": 4, "multipliers": [1, 2], "embedding": 16, "groups": 2}}
            settings = {
                "steps": 4,
                "validate_every": 2,
                "method_settings": {"network": network},
                "preprocessing": {"grid": {"spacing_mm": 4}, "alignment": "off"},
                "precision": "32-true",
                "every_draw": False,
            }
            self.delayDisplay(_("Training on patients made for this test."))
            began, seen = time.monotonic(), set()
            config = {"cohort": patients, "out": Path(folder) / "run", "settings": settings, "device": "cpu"}
            bundle = CRONOSTrainLogic().train(config, onStatus=lambda status: seen.add(status.state.value))
            assert bundle.skill is not None
            assert bundle.training["patients"] == 4
            assert "preparing" in seen
        seconds = f"{time.monotonic() - began:.0f}"
        self.delayDisplay(_("A model was trained in {seconds} s.").format(seconds=seconds))


def writeTestPatients(folder: Path) -> None:
    """Six patients with three dated scans of a ball in a head, which grows at a rate of its own."""
    import numpy as np
    import SimpleITK as sitk

    z, y, x = np.meshgrid(*(np.arange(count) - count / 2 for count in (12, 16, 16)), indexing="ij")
    for number in range(6):
        for visit, date in enumerate(("2020-01-06", "2020-03-09", "2020-06-15")):
            radius = 2 + (0.4 + 0.1 * number) * visit
            head = 100.0 * ((x / 7) ** 2 + (y / 7) ** 2 + (z / 5.5) ** 2 < 1)
            ball = 80 / (1 + np.exp(2 * (np.sqrt((x - 1) ** 2 + y**2 + z**2) - radius)))
            image = sitk.GetImageFromArray((head + 3 * np.sin(x * y + number) * (head > 0) + ball).astype(np.float32))
            image.SetSpacing((4.0, 4.0, 4.0))
            path = folder / f"patient-{number}" / f"{date}_T1w.nrrd"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(path))
