"""Section "Trained models": what a folder of bundles holds."""

from __future__ import annotations

from slicer.i18n import tr as _

from CRONOSLib.scene.listing import bundle_table
from CRONOSLib.scene.training.state import NOWHERE, TrainState


class ModelsSection:
    """A table of the bundles, with their skill."""

    def __init__(self, ui, state: TrainState) -> None:
        self._ui, self._state = ui, state
        self._shown = ""

    def refresh(self) -> None:
        """List the bundles of the chosen folder."""
        folder = self._state.choices.bundlesFolder
        headings = (_("Model"), _("Trained on"), _("Skill against copying the last scan"))
        html = bundle_table(None if folder == NOWHERE else folder, headings)
        if html != self._shown:
            self._shown = html
            self._ui.bundlesBrowser.html = html
