"""Section "Advanced": how the scans are aligned and the forecast is reached."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import allow, fill_combo, on_choice


class AdvancedSection:
    """Choices that are right for nine of ten users; the first of each list leaves it to the method."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        self._own = (_("As the model was trained"), "")
        self._fixed = {
            "alignment": (
                ui.alignmentCombo,
                [self._own, (_("Off"), "off"), (_("Rigid"), "rigid"), (_("Affine"), "affine")],
            ),
            "precision": (
                ui.precisionCombo,
                [(_("Automatic"), "auto"), (_("Full (fp32)"), "fp32"), (_("Half (bf16)"), "bf16")],
            ),
        }
        combos = {"solver": ui.solverCombo, "aggregation": ui.aggregationCombo, "variant": ui.variantCombo}
        for name, combo in {**combos, **{name: combo for name, (combo, _items) in self._fixed.items()}}.items():
            on_choice(combo, self._chooser(name))

    def _chooser(self, name: str) -> Callable[[str], None]:
        return lambda data: setattr(self._state.choices, name, data)

    def refresh(self) -> None:
        """Show the choices, and those that the method leaves."""
        ui, state, way = self._ui, self._state, self._state.way
        for name, (combo, items) in self._fixed.items():
            fill_combo(combo, items, getattr(state.choices, name))
        self._offer(ui.solverCombo, self._own, way.solvers, state.choices.solver)
        self._offer(ui.aggregationCombo, self._own, way.aggregations, state.choices.aggregation)
        self._offer(ui.variantCombo, (_("Ours"), ""), state.variants[1:], state.choices.variant)
        allow("" if way.solvers else _("This method takes no steps."), ui.stepsSpin)
        allow("" if way.samples else _("This method draws no samples."), ui.samplesSpin)
        allow("" if state.needs_bundle else _("This method computes in full precision."), ui.precisionCombo)

    @staticmethod
    def _offer(combo, own: tuple[str, str], names: tuple[str, ...], chosen: str) -> None:
        """What the method has no choice of is shown, and cannot be chosen."""
        fill_combo(combo, [own, *((name, name) for name in names)], chosen)
        allow("" if names else _("This method leaves no choice here."), combo)
