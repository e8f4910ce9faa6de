"""Section "Advanced": what is right for nine of ten runs."""

from __future__ import annotations

from slicer.i18n import tr as _

from CRONOSLib.bundles.store import list_bundles
from CRONOSLib.errors import BundleError
from CRONOSLib.scene.panel.widgets import fill_combo, on_choice, show
from CRONOSLib.scene.training.state import TrainState


class AdvancedSection:
    """What the parameter node cannot tie to its widget by itself."""

    def __init__(self, ui, state: TrainState) -> None:
        self._ui, self._state = ui, state
        on_choice(ui.startFromCombo, lambda name: setattr(state.choices, "startFrom", name))
        on_choice(ui.precisionCombo, lambda name: setattr(state.choices, "precision", name))
        ui.learningRateSpin.connect("valueChanged(double)", lambda value: setattr(state.choices, "learningRate", value))

    def refresh(self) -> None:
        """Show the choices."""
        chosen = self._state.choices
        fill_combo(self._ui.startFromCombo, [(_("From scratch"), ""), *_models(chosen.method)], chosen.startFrom)
        precisions = [(_("Half (bf16), weights in full"), "bf16-mixed"), (_("Full (fp32)"), "32-true")]
        fill_combo(self._ui.precisionCombo, precisions, chosen.precision)
        show(self._ui.learningRateSpin, value=chosen.learningRate)


def _models(method: str) -> list[tuple[str, str]]:
    """Trained models of a method, whose weights a run can start from."""
    try:
        found = list_bundles(on_broken=lambda error: None)
    except BundleError:
        return []
    return [(bundle.name, bundle.name) for bundle in found if bundle.method == method]
