"""Maps laid over the scans, and blinking, in section "Results"."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.scene.check import error_of
from CRONOSLib.scene.overlay import lay_over, take_away
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.widgets import allow, fill_combo, on_choice, silent

_BLINK_MS = 700
_CHANGE, _SPREAD, _ERROR = "change", "spread", "error"

NO_FORECAST = _("There is no forecast to look at yet. Make one above.")


def no_views() -> str:
    """Why nothing can be shown in views, one sentence, or ""."""
    return "" if slicer.app.layoutManager() is not None else _("There is no window with views.")


class OverlaySection:
    """Lays one map of the chosen forecast over the slice views, or shows last scan and forecast in turn."""

    def __init__(self, ui, state: PanelState) -> None:
        self._ui, self._state = ui, state
        ui.overlayCheckBox.connect("toggled(bool)", self._on_overlay)
        on_choice(ui.overlayCombo, self._on_map)
        ui.opacitySlider.connect("valueChanged(int)", lambda value: self.lay())
        ui.blinkButton.connect("toggled(bool)", self._on_blink)
        self._forecast_on_top = False
        self._blink = qt.QTimer()
        self._blink.setInterval(_BLINK_MS)
        self._blink.connect("timeout()", self._on_tick)

    def refresh(self) -> None:
        """Show the maps that there are, and what can be done with them."""
        ui, maps = self._ui, self._maps()
        names = {_CHANGE: _("Change"), _SPREAD: _("Spread"), _ERROR: _("Error")}
        fill_combo(ui.overlayCombo, [(names[kind], kind) for kind in maps or (_CHANGE,)], self._state.choices.overlay)
        reason = "" if maps else NO_FORECAST
        allow(reason or no_views(), ui.blinkButton, ui.overlayCheckBox, ui.overlayCombo)
        hidden = "" if ui.overlayCheckBox.checked else _("No map lies over the scans. Tick the box first.")
        allow(reason or no_views() or hidden, ui.opacitySlider)
        if not maps:
            self.stop()

    def lay(self) -> None:
        """Lay the chosen map over the scans, if one is to lie there."""
        maps, shown = self._maps(), self._state.shown
        if maps and shown and slicer.app.layoutManager() is not None and self._ui.overlayCheckBox.checked:
            over = maps.get(self._state.choices.overlay, maps[_CHANGE])
            for other in maps.values():
                if other is not over:
                    take_away(slicer.app.layoutManager(), other)
            lay_over(slicer.app.layoutManager(), over, shown[1], self._ui.opacitySlider.value / 100)

    def stop(self) -> None:
        """No more blinking, nothing laid over the scans."""
        self._blink.stop()
        with silent(self._ui.blinkButton, self._ui.overlayCheckBox):
            self._ui.blinkButton.checked = self._ui.overlayCheckBox.checked = False

    def _maps(self) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
        """The maps of the chosen forecast by their kind, as far as they are in the scene."""
        if self._state.shown is None:
            return {}
        results, _last_scan = self._state.shown
        maps = {_CHANGE: results.change, _SPREAD: results.spread, _ERROR: error_of(results.forecast)}
        return {kind: node for kind, node in maps.items() if node is not None}

    def _on_map(self, kind: str) -> None:
        self._state.choices.overlay = kind
        self._ui.overlayCheckBox.checked = True
        self.lay()

    def _on_overlay(self, shown: bool) -> None:
        if shown:
            self._ui.blinkButton.checked = False
        elif slicer.app.layoutManager() is not None:
            for node in self._maps().values():
                take_away(slicer.app.layoutManager(), node)
        self.lay()
        self.refresh()

    def _on_blink(self, blinking: bool) -> None:
        shown = self._state.shown
        if blinking and shown is not None:
            self._ui.overlayCheckBox.checked = False
            self._blink.start()
            return
        self._blink.stop()
        if shown is not None and slicer.app.layoutManager() is not None:
            take_away(slicer.app.layoutManager(), shown[0].forecast)

    def _on_tick(self) -> None:
        shown = self._state.shown
        if shown is None or slicer.app.layoutManager() is None:
            self.stop()
            return
        results, last_scan = shown
        self._forecast_on_top = not self._forecast_on_top
        lay_over(slicer.app.layoutManager(), results.forecast, last_scan, float(self._forecast_on_top))
