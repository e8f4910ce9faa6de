"""Section "Advanced": how the scans are aligned and the flow is integrated."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import fill_combo, on_choice

SOLVERS = ("euler", "midpoint", "heun", "rk4", "dopri5")  # as in CRONOSLib.flow.solvers, which needs torch
_AGGREGATIONS = ("last", "mean", "learned")  # as in CRONOSLib.flow.aggregation, which needs torch


class AdvancedSection:
    """Choices that are right for nine of ten users; the first of each list leaves it to the bundle."""

    def __init__(self, ui, state: PanelState) -> None:
        own = (_("As the model was trained"), "")
        self._state = state
        self._combos = {
            "alignment": (
                ui.alignmentCombo,
                [own, (_("Off"), "off"), (_("Rigid"), "rigid"), (_("Affine"), "affine")],
            ),
            "solver": (ui.solverCombo, [own, *((name, name) for name in SOLVERS)]),
            "aggregation": (ui.aggregationCombo, [own, *((name, name) for name in _AGGREGATIONS)]),
            "precision": (
                ui.precisionCombo,
                [(_("Automatic"), "auto"), (_("Full (fp32)"), "fp32"), (_("Half (bf16)"), "bf16")],
            ),
        }
        for name, (combo, _items) in self._combos.items():
            on_choice(combo, self._chooser(name))
        self._of_flow = (ui.solverCombo, ui.stepsSpin, ui.aggregationCombo, ui.precisionCombo)

    def _chooser(self, name: str) -> Callable[[str], None]:
        return lambda data: setattr(self._state.choices, name, data)

    def refresh(self) -> None:
        """Show the choices; those of the flow only matter for a trained model."""
        for name, (combo, items) in self._combos.items():
            fill_combo(combo, items, getattr(self._state.choices, name))
        for widget in self._of_flow:
            widget.enabled = self._state.needs_bundle
