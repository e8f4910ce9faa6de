"""Section "Run": the button that forecasts and cancels, and what is being done."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from CRONOSLib.scene.panel.installing import install_missing, missing_packages
from CRONOSLib.scene.panel.job import PanelJob
from CRONOSLib.scene.panel.state import PanelState
from CRONOSLib.scene.panel.target import describe_target
from CRONOSLib.scene.panel.widgets import fill_combo, on_choice
from CRONOSLib.scene.results import ResultNodes
from CRONOSLib.worker.protocol import Device

_FULL = 1000


class RunSection:
    """Starts, follows and cancels the one forecast of the panel.

    on_result: told about the nodes of a finished forecast
    """

    def __init__(self, ui, state: PanelState, on_result: Callable[[ResultNodes], None]) -> None:
        self._ui, self._state, self._on_result = ui, state, on_result
        self._devices: tuple[Device, ...] = ()
        self._cancelling = False
        self.job = PanelJob(self._show_progress, self._finish, self._show_devices)
        on_choice(ui.deviceCombo, lambda name: setattr(state.choices, "device", name))
        ui.forecastButton.connect("clicked()", self._on_clicked)
        ui.progressBar.setRange(0, _FULL)
        ui.progressBar.visible = False
        self.say("")

    def refresh(self) -> None:
        """Show whether a forecast can be made, and why not."""
        running = self.job.running
        reason = self.reason()
        button = self._ui.forecastButton
        button.text = _("Cancel") if running else _("Forecast")
        button.enabled = not self._cancelling if running else not reason
        button.toolTip = (
            _("Give up this forecast.") if running else reason or _("Forecast the scan at the target date.")
        )
        self._ui.progressBar.visible = running
        self._ui.deviceCombo.enabled = not running
        names = [(device.title, device.name) for device in self._devices] or [(_("Processor (CPU)"), "cpu")]
        chosen = self._state.choices.device
        if chosen not in ("", "auto", *(name for _title, name in names)):
            names.append((chosen, chosen))
        fill_combo(self._ui.deviceCombo, [(_("Automatic"), "auto"), *names], chosen)
        if not reason and not missing_packages():
            self.job.warm_up()

    def reason(self) -> str:
        """Why no forecast can be made now, one sentence, or ""."""
        state = self._state
        if (problem := self.reason_at_any_time()) or state.timeline is None or state.target_time is None:
            return problem
        return describe_target(state.timeline, state.target_time, state.bundle).problem

    def reason_at_any_time(self) -> str:
        """Why no forecast can be made, whatever its time, one sentence, or ""."""
        state = self._state
        if state.timeline is None:
            return state.problem
        if state.needs_bundle and state.bundle is None:
            return _("There is no trained model in this folder. Choose another folder, or a method that needs none.")
        entry = state.entry
        if entry is not None and len(state.timeline) < entry.min_scans:
            return _("This method needs {count} scans or more. Add an earlier scan.").format(count=entry.min_scans)
        return ""

    def stop(self) -> None:
        """Give up a running forecast, because its scene goes."""
        self.job.cancel()

    def _on_clicked(self) -> None:
        if self.job.running:
            self._cancelling = True
            self.say(_("Cancelling…"))
            self.job.cancel()
        else:
            self.begin(lambda: self.job.start(self._state))
        self._state.changed()

    def begin(self, start: Callable[[], None]) -> None:
        """Start something in the worker, after what it needs was installed."""
        self.say("")
        self._show_progress(_("Preparing"), 0.0, None)
        said = install_missing()
        if not said:
            start()
        self.say(said)
        self._state.changed()

    def _show_progress(self, what: str, fraction: float, seconds_left: float | None) -> None:
        self._ui.progressBar.setFormat(progress_words(what, seconds_left))
        self._ui.progressBar.value = round(fraction * _FULL)

    def _finish(self, nodes: ResultNodes | None, said: str) -> None:
        self._cancelling = False
        self.say(said)
        if self._state.choices is None:
            return
        if nodes is not None:
            self._on_result(nodes)
        self._state.changed()

    def _show_devices(self, devices: tuple[Device, ...]) -> None:
        self._devices = devices
        if self._state.choices is not None:
            self.refresh()

    def say(self, text: str) -> None:
        """Show one message to the user; "" shows none."""
        self._ui.messageLabel.text = text
        self._ui.messageLabel.visible = bool(text)


def progress_words(what: str, seconds_left: float | None) -> str:
    """What stands on a progress bar: what is being done, and the time left when it is known."""
    left = "" if seconds_left is None else " · " + _("{seconds} s left").format(seconds=max(1, round(seconds_left)))
    return f"{what}{left}".replace("%", "%%")
