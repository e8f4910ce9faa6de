"""Section "Flow": how the flow carries each scan to the forecast."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import slicer
import vtk
from slicer.i18n import tr as _

from CRONOSLib.methods.registry import INTEGRATED
from CRONOSLib.scene.flow import FLOW, FlowNodes, adding_flow, flow_of
from CRONOSLib.scene.flow_views import BEND, DISAGREEMENT, SPEED, lay_flow_over, show_members
from CRONOSLib.scene.panel.job import ForecastOrder
from CRONOSLib.scene.panel.overlay_section import no_views
from CRONOSLib.scene.panel.run_section import RunSection
from CRONOSLib.scene.panel.slices import Work
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import allow, fill_combo, on_choice, show
from CRONOSLib.scene.results import RESULT_ATTRIBUTE
from CRONOSLib.worker.job import ForecastResult

_NO_FLOW = _("This method integrates no flow. Choose a trained model that does, such as CRONOS.")


class FlowSection:
    """Integrates the flow in steps of its own, and shows the states, the members and their maps."""

    def __init__(self, ui, state: PanelState, run: RunSection) -> None:
        self._ui, self._state, self._run = ui, state, run
        self._observed: tuple = ()
        ui.flowSelector.addAttribute("vtkMRMLSequenceBrowserNode", RESULT_ATTRIBUTE, FLOW)
        on_choice(ui.flowSolverCombo, lambda name: setattr(state.choices, "flowSolver", name))
        on_choice(ui.flowOverlayCombo, self._on_overlay)
        ui.flowButton.connect("clicked()", self._on_clicked)
        ui.membersButton.connect("clicked()", self._on_members)
        ui.flowStepSlider.connect("valueChanged(int)", self._on_step)
        ui.flowOpacitySlider.connect("valueChanged(int)", lambda value: self._overlay())

    def refresh(self) -> None:
        """Show the choices, what can be looked at, and why not."""
        ui, chosen = self._ui, self._state.choices
        fill_combo(ui.flowSolverCombo, [(name, name) for name in INTEGRATED.solvers], chosen.flowSolver)
        reason = self._reason()
        allow(reason, ui.flowButton)
        allow("" if self._flows() else _NO_FLOW, ui.flowSolverCombo, ui.flowStepsSpin)
        flow = self._flow()
        self._observe(flow)
        overlays = {_("Nothing"): "", _("Velocity"): SPEED, _("Disagreement"): DISAGREEMENT, _("One step"): BEND}
        fill_combo(ui.flowOverlayCombo, list(overlays.items()), chosen.flowOverlay)
        nothing = "" if flow else _("There is no flow to look at yet. Press Show the flow.")
        allow(nothing, ui.flowStepSlider)
        allow(nothing or no_views(), ui.membersButton, ui.flowOverlayCombo)
        bare = "" if chosen.flowOverlay else _("No map lies over the views. Choose one at the left.")
        allow(nothing or no_views() or bare, ui.flowOpacitySlider)
        self._show_step()
        ui.flowLabel.text = _described(flow) if flow else ""
        ui.flowLabel.visible = flow is not None

    def stop(self) -> None:
        """The scene or the panel goes."""
        self._observe(None)

    def _flow(self) -> FlowNodes | None:
        """The chosen flow, as far as it is still in the scene."""
        return flow_of(self._state.choices.flow) if self._state.choices else None

    def _flows(self) -> bool:
        """Whether the chosen method integrates a flow."""
        return self._state.entry is not None and self._state.entry.flow

    def _reason(self) -> str:
        """Why no flow can be looked at now, one sentence, or ""."""
        if self._run.job.running:
            return _("Something else is being computed. Wait for it, or cancel it.")
        if reason := self._run.reason():
            return reason
        if not self._flows():
            return _NO_FLOW
        return ""

    def _on_clicked(self) -> None:
        chosen = self._state.choices
        order = ForecastOrder.of(self._state)
        options = replace(order.job.options, solver=chosen.flowSolver, steps=chosen.flowSteps, keep_trajectory=True)
        order = replace(order, job=replace(order.job, options=options, keep_aligned=False))
        take = partial(self._take, order.last, chosen.keepIntermediate)
        self._run.begin(lambda: self._run.job.order(order, self._run.job.listener(take)))
        self.refresh()

    def _take(self, last_id: str, keep_earlier: bool, result: ForecastResult) -> None:
        self._run.job.add(self._adding(last_id, keep_earlier, result))

    def _adding(self, last_id: str, keep_earlier: bool, result: ForecastResult) -> Work:
        """Bring a flow into the scene, and show its members."""
        last_scan = slicer.mrmlScene.GetNodeByID(last_id)
        if last_scan is None or result.flow is None:
            gone = _("The last scan left the scene, so its flow was dropped. Add the scan again.")
            return partial(self._run.job.done, None, gone)
        series, target = result.series, result.target_time
        nodes = yield from adding_flow(result.flow, series, target, last_scan, keep_earlier=keep_earlier)
        self._state.choices.flow = nodes.browser
        yield
        self._on_members()
        return partial(self._run.job.done, None, "\n".join(result.warnings))

    def _on_members(self) -> None:
        flow, layouts = self._flow(), slicer.app.layoutManager()
        if flow is not None and layouts is not None:
            show_members(layouts, flow)
            self._overlay()

    def _on_step(self, step: int) -> None:
        flow = self._flow()
        if flow is not None:
            flow.browser.SetSelectedItemNumber(step)

    def _on_overlay(self, what: str) -> None:
        self._state.choices.flowOverlay = what
        self._overlay()

    def _overlay(self) -> None:
        flow, layouts = self._flow(), slicer.app.layoutManager()
        if flow is not None and layouts is not None:
            lay_flow_over(layouts, flow, self._state.choices.flowOverlay, self._ui.flowOpacitySlider.value / 100)

    def _observe(self, flow: FlowNodes | None) -> None:
        """Follow the flow step when Slicer's own toolbar moves it."""
        browser = flow.browser if flow else None
        if self._observed and self._observed[0] is not browser:
            self._observed[0].RemoveObserver(self._observed[1])
            self._observed = ()
        if browser is not None and not self._observed:
            tag = browser.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show_step())
            self._observed = (browser, tag)

    def _show_step(self) -> None:
        flow = self._flow()
        if flow is None:
            self._ui.flowStepLabel.text = ""
            return
        step = max(flow.browser.GetSelectedItemNumber(), 0)
        show(self._ui.flowStepSlider, maximum=len(flow.taus) - 1, value=step)
        self._ui.flowStepLabel.text = f"τ = {flow.taus[step]:.2f}"


def _described(flow: FlowNodes) -> str:
    """What was integrated, and how straight it was."""
    steps = len(flow.taus) - 1
    facts = [
        _("Solver {solver}, {steps} steps, {nfe} evaluations of the network (NFE).").format(
            solver=flow.solver, steps=steps, nfe=flow.nfe
        )
    ]
    if flow.nfe > 1:
        share = f"{100 * (1 - flow.straightness):.1f}"
        facts.append(
            _("Straightness {value}: one Euler step ends {share} % of the way off.").format(
                value=f"{flow.straightness:.3f}", share=share
            )
        )
    else:
        facts.append(_("Ask for more steps to see whether the flow is straight."))
    return " ".join(facts)
