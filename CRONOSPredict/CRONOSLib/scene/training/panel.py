"""The whole panel of CRONOS Train: its sections, and what they do together."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError
from CRONOSLib.scene.panel.widgets import measuring_texts
from CRONOSLib.scene.training.advanced_section import AdvancedSection
from CRONOSLib.scene.training.closing import CloseFilter
from CRONOSLib.scene.training.cohort_section import CohortSection
from CRONOSLib.scene.training.method_section import MethodSection
from CRONOSLib.scene.training.models_section import ModelsSection
from CRONOSLib.scene.training.run_section import RunSection
from CRONOSLib.scene.training.state import TrainState


class TrainPanel:
    """Shows the choices of a parameter node, and changes them as the user does.

    ui:     the named widgets of CRONOSTrain.ui
    on_use: told the name of a trained model that is to be used for forecasts
    """

    def __init__(self, ui, on_use: Callable[[str], None]) -> None:
        self.state = TrainState(self._refresh)
        self._busy = False
        self._measure_texts = measuring_texts(ui)
        self.cohort = CohortSection(ui, self.state)
        self.method = MethodSection(ui, self.state)
        self.run = RunSection(ui, self.state, on_use)
        self._sections = (
            self.cohort,
            self.method,
            AdvancedSection(ui, self.state),
            ModelsSection(ui, self.state),
            self.run,
        )
        self._filter = CloseFilter(self._window_closes)

    def show(self, choices) -> None:
        """Show the choices of another parameter node; None: the scene goes. A run goes on."""
        self.cohort.forget()
        self.method.forget()
        self.run.stop_asking()
        self.run.say("")
        self.state.show(choices)
        self.refresh()

    def refresh(self) -> None:
        """Follow the choices."""
        if not self._busy:
            self.state.changed()

    def close(self) -> None:
        """The application or the module ends; a run goes on."""
        self.show(None)
        self._measure_texts.stop()
        self._filter.remove()

    def _window_closes(self) -> None:
        run = self.state.run
        if run is None or not run.alive:
            return
        question = _(
            "The training in '{folder}' goes on without Slicer, and is found again when this module is opened. Keep it "
            "running? If not, it stops after the next step and can be resumed."
        ).format(folder=run.folder.path)
        if not slicer.util.confirmYesNoDisplay(question):
            try:
                run.stop()
            except CronosError:
                return  # its folder is gone, and so will it be

    def _refresh(self) -> None:
        """Showing a choice may change another, and that need not be shown again and again."""
        self._busy = True
        try:
            for section in self._sections:
                section.refresh()
        finally:
            self._busy = False
        self._measure_texts.start(0)
