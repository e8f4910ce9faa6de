"""3D Slicer module: forecasts a patient's next scan from the dated scans in the scene."""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
import unittest
from pathlib import Path
from typing import Annotated, Union

import slicer
import vtk
from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceBrowserNode,
)
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


class CRONOSPredict(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CRONOS Predict")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["CRONOS contributors"]
        self.parent.helpText = _(
            "Forecasts a patient's next 3D scan from the dated scans in the scene, and maps what changes against the "
            "last one. Everything stays on this computer. For research use only, not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "CRONOS forecasts by flow matching between the scans of a patient and the target (arXiv 2512.16577). "
            "PyTorch, torchdiffeq and SimpleITK do the computing."
        )
        slicer.app.connect("startupCompleted()", registerLayouts)
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerLayouts() -> None:
    """Let a scene that was saved in a layout of CRONOS open in it, also when no module of CRONOS is open."""
    from CRONOSLib.scene.arrangements import register_layouts

    layouts = slicer.app.layoutManager()
    if layouts is not None:
        register_layouts(layouts.layoutLogic().GetLayoutNode())


def registerSampleData() -> None:
    """Offer the sample patient in the module Sample Data; it comes with CRONOS, so nothing is downloaded."""
    import SampleData
    from CRONOSLib.errors import BundleError
    from CRONOSLib.resources import sample_folder

    try:
        files = sorted(sample_folder().glob("*.nrrd"))
    except BundleError as error:
        logging.warning(error)
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="CRONOS",
        sampleName="CRONOSGliomaPatient",
        uris=[file.as_uri() for file in files],
        fileNames=[file.name for file in files],
        nodeNames=[file.stem for file in files],
        customDownloader=loadSamplePatient,
    )


def loadSamplePatient(source=None):
    """Load the sample patient's scans with their dates; `source` is what the module Sample Data hands over."""
    from CRONOSLib.scene.sample import load_sample_patient

    return load_sample_patient(slicer.mrmlScene)


@parameterNodeWrapper
class CRONOSPredictParameterNode:
    """The user's choices, saved with the scene; the scans stand beside them, as node references.

    method        - name of a method that needs no trained model; "" forecasts with one
    bundle        - name of the trained model; "" takes the best
    bundlesFolder - folder of trained models; "." stands for those that come with CRONOS
    target        - date to forecast, ISO 8601, or a number for scans whose times are no dates; "" proposes one
    device        - what to compute on, as torch names it
    alignment, solver, aggregation - "" leaves them to the trained model
    steps, samples - of the solver, and how many are drawn; 0 leaves them to the trained model
    variant       - preset of a method that needs no trained model; "" takes ours
    forecast      - the forecast that is shown
    segmentation  - segments or region of interest inside which the change is measured
    threshold     - smallest change that counts, in the scan's units; 0 proposes one
    truth         - scan that the forecast is checked against
    overlay       - map that is laid over the scans: change, spread or error
    overlayOpacity - of that map, %
    live          - forecast anew whenever the target moves
    firstTime, lastTime - of the forecasts through time, as `target`; "": from the first scan to the longest horizon
    frames        - how many forecasts from first to last
    quantity      - what is measured over time: mean, changed or volume
    region        - segments or region of interest to measure in; none: the whole body
    showAligned   - each forecast brings the aligned scans into the scene as well
    keepIntermediate - a new forecast leaves the aligned scans and flows of earlier ones in the scene
    flowSolver, flowSteps - of the flow that is looked at
    flow          - browser of the flow that is shown
    flowOverlay   - map of the flow over the slice views: speed, disagreement, bend; "" for none
    flowOpacity   - of that map, %
    """

    method: str
    bundle: str
    bundlesFolder: Path
    target: str
    device: str = "auto"
    alignment: str
    solver: str
    steps: Annotated[int, WithinRange(0, 200)] = 0
    samples: Annotated[int, WithinRange(0, 100)] = 0
    aggregation: str
    variant: str
    precision: str = "auto"
    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    forecast: vtkMRMLScalarVolumeNode
    segmentation: Union[vtkMRMLSegmentationNode, vtkMRMLMarkupsROINode, None]  # noqa: UP007  Slicer knows no `|` here
    truth: vtkMRMLScalarVolumeNode
    threshold: float = 0.0
    overlay: str = "change"
    overlayOpacity: Annotated[int, WithinRange(0, 100)] = 50
    live: bool = False
    firstTime: str
    lastTime: str
    frames: Annotated[int, WithinRange(2, 100)] = 9
    quantity: str = "mean"
    region: Union[vtkMRMLSegmentationNode, vtkMRMLMarkupsROINode, None]  # noqa: UP007  Slicer knows no `|` here
    showAligned: bool = False
    keepIntermediate: bool = False
    flowSolver: str = "euler"
    flowSteps: Annotated[int, WithinRange(1, 64)] = 4
    flow: vtkMRMLSequenceBrowserNode
    flowOverlay: str
    flowOpacity: Annotated[int, WithinRange(0, 100)] = 50


class CRONOSPredictWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. What its sections show and do stands in `CRONOSLib.scene.panel`."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from CRONOSLib.scene.panel.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CRONOSPredict.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CRONOSPredictLogic()
        self.panel = Panel(self.ui)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneImported)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self.onNodesChanged)
        self.setParameterNode(self.logic.getParameterNode())

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded."""
        self.setParameterNode(None)
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.setParameterNode(self.logic.getParameterNode())

    def exit(self) -> None:
        """Called each time the user opens another module; a forecast that runs goes on."""

    def onReload(self) -> None:
        """Reload the library together with the module; Slicer itself reloads this file only."""
        for name in [name for name in sys.modules if name.split(".")[0] == "CRONOSLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        """The scans and the parameter node are about to go."""
        self.panel.scene_closes()
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

    def onNodesChanged(self, caller, event) -> None:
        """A scan or a result may have come or gone."""
        if self._parameterNode is not None and not slicer.mrmlScene.IsBatchProcessing():
            self.panel.refresh_soon()

    def getParameterNode(self) -> CRONOSPredictParameterNode | None:
        """The choices that the panel shows; None while a scene closes."""
        return self._parameterNode

    def setParameterNode(self, parameterNode: CRONOSPredictParameterNode | None) -> None:
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


class CRONOSPredictLogic(ScriptedLoadableModuleLogic):
    """Forecasts without the panel, from the Python console or a script, with or without a main window."""

    def getParameterNode(self) -> CRONOSPredictParameterNode:
        """The user's choices of this scene."""
        return CRONOSPredictParameterNode(super().getParameterNode())

    def forecast(
        self,
        nodes,
        dates=None,
        *,
        targetDate,
        times=None,
        unit="day",
        bundle=None,
        method=None,
        onProgress=None,
        showAligned=False,
        segmentation=None,
        **options,
    ):
        """Forecast from volume nodes and wait for the result, which is added to the scene; the nodes stay as they are.

        :param nodes: volume nodes of one patient, in any order; parent transforms are honoured.
        :param dates: one date per node, ISO 8601 text or Python dates; None asks DICOM, BIDS and the names.
        :param targetDate: date to forecast; with `times`, the time to forecast as a number.
        :param times: instead of dates, one number per node, for scans within a heart beat or a perfusion.
        :param unit: of `times`: ms, s, day, week or year.
        :param bundle: name or folder of a trained model; None: the best that comes with CRONOS, if `method` needs one.
        :param method: name of the method; None: that of the bundle.
        :param onProgress: called with what is being done and the fraction done; it may raise to stop.
        :param showAligned: add the earlier scans as they were aligned with the last one as well.
        :param segmentation: segmentation node of the last scan, carried along by a method that deforms, such as noder.
        :param options: fields of `CRONOSLib.forecast.ForecastOptions`, such as `device="cpu"` or `steps=4`; with
            `keep_trajectory=True` the states of the flow come as sequences.
        :return: `CRONOSLib.scene.results.ResultNodes` with the nodes `forecast`, `change` and `spread`, and where they
            were asked for, `flow`, `aligned` and `carried`.
        :raises CRONOSLib.errors.CronosError: with one sentence that says what is wrong and what to do.

        >>> CRONOSPredictLogic().forecast([first, second], ["2023-01-10", "2023-07-02"], targetDate="2024-01-15")
        """
        from CRONOSLib.dates import parse_unit
        from CRONOSLib.forecast import ForecastOptions
        from CRONOSLib.scene.forecasting import forecast_nodes
        from CRONOSLib.scene.series import series_of_dates, series_of_times

        scans = series_of_dates(nodes, dates) if times is None else series_of_times(nodes, times, parse_unit(unit))
        results = forecast_nodes(
            scans,
            targetDate,
            bundle=bundle,
            method=method,
            options=ForecastOptions(**options),
            on_progress=onProgress,
            show_aligned=showAligned,
            segmentation=segmentation,
        )
        for warning in results.warnings:
            logging.warning(warning)
        return results

    def forecastThroughTime(
        self,
        nodes,
        dates=None,
        *,
        targetDates,
        times=None,
        unit="day",
        bundle=None,
        method=None,
        onProgress=None,
        **options,
    ):
        """Forecast at several dates and wait; forecasts and scans become a sequence with a browser, under the patient.

        The scans stand among the forecasts at their own dates, on the last scan's grid, each marked by the attribute
        CRONOS.Real ("1" or "0"). A sequence made earlier from the same last scan is replaced.

        :param targetDates: dates to forecast; with `times`, numbers. Where a scan was taken, nothing is forecast.
        :return: `CRONOSLib.scene.timeline.TimelineNodes`: `browser`, `sequence`, `spread`, and the `volume` shown.
        :raises CRONOSLib.errors.CronosError: with one sentence that says what is wrong and what to do.

        The other parameters are those of `forecast`.

        >>> CRONOSPredictLogic().forecastThroughTime([first, second], targetDates=["2024-01-15", "2024-07-15"])
        """
        from CRONOSLib.dates import parse_unit
        from CRONOSLib.forecast import ForecastOptions
        from CRONOSLib.scene.forecasting import forecast_through_time
        from CRONOSLib.scene.series import series_of_dates, series_of_times

        scans = series_of_dates(nodes, dates) if times is None else series_of_times(nodes, times, parse_unit(unit))
        return forecast_through_time(
            scans,
            targetDates,
            bundle=bundle,
            method=method,
            options=ForecastOptions(**options),
            on_progress=onProgress,
        )

    def forecastCohort(
        self,
        manifest,
        out,
        *,
        bundle=None,
        method=None,
        days=None,
        unit=None,
        holdOut=False,
        force=False,
        onPatient=None,
        **options,
    ):
        """Forecast every patient of a table into a folder; the scene stays as it is, and no window is needed.

        :param manifest: CSV or TSV file with one row per scan: subject, date and path; `target` says what to forecast.
        :param out: folder of results.csv and of one folder per patient; patients that are there already are skipped.
        :param bundle: name or folder of a trained model; None: the best that comes with CRONOS, if `method` needs one.
        :param method: name of the method; None: that of the bundle.
        :param days: target of patients without one: this many days after their last scan.
        :param unit: of plain numbers in the table: ms, s, day, week or year.
        :param holdOut: use only the scans before the target, by default the last scan, and compare with that at it.
        :param force: forecast all anew.
        :param onPatient: called with each patient's row and the fraction done; it may raise to stop.
        :param options: fields of `CRONOSLib.forecast.ForecastOptions`, such as `device="cpu"`.
        :return: one `CRONOSLib.outputs.cohort_table.PatientRow` per patient; `outcome` is "done" or "failed".
        :raises CRONOSLib.errors.CronosError: when nothing can be done, with one sentence that says why.

        >>> CRONOSPredictLogic().forecastCohort("cohort.tsv", "results", days=90)
        """
        from CRONOSLib.dates import parse_unit
        from CRONOSLib.forecast import ForecastOptions
        from CRONOSLib.outputs.cohort import CohortRequest, forecast_cohort
        from CRONOSLib.scene.mrb import write_forecast_scene

        request = CohortRequest(
            Path(manifest),
            bundle=bundle,
            method=method,
            options=ForecastOptions(**options),
            unit=parse_unit(unit) if unit else None,
            days=days,
            hold_out=holdOut,
        )
        return forecast_cohort(request, Path(out), force=force, scene_writer=write_forecast_scene, on_patient=onPatient)


class CRONOSPredictTest(ScriptedLoadableModuleTest):
    """Self test: forecasts the sample patient that comes with CRONOS, without network."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the whole self test; what cannot be tested here says why."""
        for test in (self.test_forecastOfTheSamplePatient, self.test_forecastWithThePanel):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as reason:
                self.delayDisplay(str(reason))

    def skipWithoutPackages(self) -> None:
        """A forecast needs what Slicer installs on first use only."""
        missing = [name for name in ("torch", "torchdiffeq", "safetensors") if importlib.util.find_spec(name) is None]
        if missing:
            self.skipTest(_("No forecast was tested: {packages} missing.").format(packages=", ".join(missing)))

    def test_forecastOfTheSamplePatient(self) -> None:
        """The sample patient's next scan differs from the last one, lies on its grid, and leaves the scans alone."""
        self.skipWithoutPackages()
        scans = loadSamplePatient()
        untouched = [(scan.GetMTime(), scan.GetImageData().GetMTime()) for scan in scans]
        self.delayDisplay(_("Forecasting the sample patient."))
        results = CRONOSPredictLogic().forecast(scans, targetDate="2021-06-17")

        forecast, change, last = (
            slicer.util.arrayFromVolume(node) for node in (results.forecast, results.change, scans[-1])
        )
        assert untouched == [(scan.GetMTime(), scan.GetImageData().GetMTime()) for scan in scans]
        assert forecast.shape == last.shape
        assert abs(change).max() > 0
        assert abs(forecast - last - change).max() < 1e-3 * abs(last).max()
        self.delayDisplay(_("The sample patient was forecast."))

    def test_forecastWithThePanel(self) -> None:
        """The panel adds the patient, forecasts in the worker process and compares, while the window answers."""
        self.skipWithoutPackages()
        if slicer.app.layoutManager() is None:
            self.skipTest(_("The panel was not tested: there is no main window."))
        scans = loadSamplePatient()
        widget = slicer.util.getModuleWidget("CRONOSPredict")
        widget.enter()
        widget.panel.series.add(scans)
        assert widget.ui.scansTable.rowCount == len(scans)
        assert widget.ui.forecastButton.enabled, widget.ui.forecastButton.toolTip

        self.delayDisplay(_("Forecasting with the panel."))
        widget.ui.forecastButton.click()
        end = time.monotonic() + 600
        while (widget.panel.run.job.running or widget.panel.results.busy) and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)
        forecast = widget.getParameterNode().forecast
        assert forecast is not None, widget.ui.messageLabel.text
        for name, node in (("CRONOSLastAxial", scans[-1]), ("CRONOSForecastAxial", forecast)):
            view = slicer.app.layoutManager().sliceWidget(name)
            assert view.mrmlSliceNode().IsMappedInLayout()
            assert view.mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
        self.delayDisplay(_("The panel forecast the sample patient."))
