"""Section "Patients": the folder of patients or cohort, what was found there, and what not."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.cohorts.readers.registry import AUTO, LAYOUTS
from CRONOSLib.errors import CronosError
from CRONOSLib.scene.panel.widgets import fill_combo, fill_table, on_choice
from CRONOSLib.scene.training.aside import Aside
from CRONOSLib.scene.training.charts import show_gaps
from CRONOSLib.scene.training.patients import FoundPatients, Search, look_for_patients
from CRONOSLib.scene.training.state import NOWHERE, TrainState

_REASON = 1  # column of the table


class CohortSection:
    """Looks into the folder whenever another one, or another kind of scan, is chosen."""

    def __init__(self, ui, state: TrainState) -> None:
        self._ui, self._state = ui, state
        self._asked: Search | None = None
        self._search: Aside[FoundPatients | CronosError] = Aside(self._take)
        on_choice(ui.layoutCombo, lambda name: setattr(state.choices, "layout", name))
        on_choice(ui.channelCombo, lambda name: setattr(state.choices, "channel", name))
        ui.gapsButton.connect("clicked()", self.show_gaps)
        ui.problemsTable.setHorizontalHeaderLabels([_("Times"), _("Left out because"), _("For example")])
        ui.problemsTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        ui.problemsTable.horizontalHeader().setSectionResizeMode(_REASON, qt.QHeaderView.Stretch)

    @property
    def busy(self) -> bool:
        """Whether patients are being looked for."""
        return self._search.busy

    def refresh(self) -> None:
        """Show what was found, and look again when something else is to be looked for."""
        ui, state = self._ui, self._state
        chosen = state.choices
        asked = Search(chosen.cohortFolder, chosen.channel, chosen.layout, chosen.synthetic > 0)
        if asked != self._asked:
            self._asked = asked
            self._look(asked)
        found = state.patients
        layouts = [(_("Recognised by itself"), AUTO), *((layout.title, layout.name) for layout in LAYOUTS)]
        fill_combo(ui.layoutCombo, layouts, chosen.layout)
        ui.layoutCombo.enabled = found is None or not found.split
        items = [(_("{name} ({count} patients)").format(name=name or _("unnamed"), count=count), name)
                 for name, count in (found.channels if found else ())]  # fmt: skip
        several = len(items) > 1
        ui.channelCombo.visible = ui.channelComboLabel.visible = several
        if several and found is not None:
            fill_combo(ui.channelCombo, items, found.channel)
        ui.cohortLabel.text = state.problem if found is None else found.summary()
        problems = found.problems() if found else []
        fill_table(ui.problemsTable, problems)
        ui.problemsTable.visible = bool(problems)
        ui.gapsButton.enabled = found is not None

    def show_gaps(self) -> None:
        """Draw the times between the scans, where there are views."""
        manager = slicer.app.layoutManager()
        if self._state.patients is not None and manager is not None:
            show_gaps(manager, self._state.choices.parameterNode, self._state.patients)

    def forget(self) -> None:
        """Other choices are shown."""
        self._search.forget()
        self._asked = None

    def _look(self, search: Search) -> None:
        state = self._state
        state.patients = None
        if search.folder == NOWHERE:
            self._search.forget()
            state.problem = _("Choose the folder of your patients, or of a cohort that is prepared.")
            return
        state.problem = _("Looking for patients…")
        self._search.ask(lambda: look_for_patients(search))

    def _take(self, found: FoundPatients | CronosError) -> None:
        state = self._state
        if isinstance(found, CronosError):
            state.problem = str(found)
        else:
            state.patients, state.problem = found, ""
            run = state.run
            if run is None or not (run.alive or run.resumable):
                state.propose_folder()
                self.show_gaps()
        state.changed()
