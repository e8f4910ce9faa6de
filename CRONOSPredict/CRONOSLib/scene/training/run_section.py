"""Section "Training": start, stop and resume, what the run says, its curves, and the model that came out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.bundles.store import install_bundle, load_bundle
from CRONOSLib.errors import CronosError
from CRONOSLib.scene.panel.installing import TRAINING, install_missing
from CRONOSLib.scene.panel.widgets import show
from CRONOSLib.scene.training.charts import Curves, draw_curves, show_curves
from CRONOSLib.scene.training.method_section import duration_words
from CRONOSLib.scene.training.state import TrainState
from CRONOSLib.training.run_folder import RunState, RunStatus

_FULL = 1000
_POLL_MS = 500
_LOG_LINES = 300
_STATUS_BAR_MS = 20_000


class RunSection:
    """Follows the run in the output folder; the run itself is a process of its own.

    on_use: told the name of a trained model that was installed to be used
    """

    def __init__(self, ui, state: TrainState, on_use: Callable[[str], None]) -> None:
        self._ui, self._state, self._on_use = ui, state, on_use
        self._said = ""
        self._drawn: tuple[Path, int, int] | None = None
        self._followed = False
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)
        ui.progressBar.setRange(0, _FULL)
        ui.startButton.connect("clicked()", self._start)
        ui.stopButton.connect("clicked()", self._stop)
        ui.newFolderButton.connect("clicked()", state.propose_folder)
        ui.curvesButton.connect("clicked()", self.show_curves)
        ui.useButton.connect("clicked()", self._use)

    @property
    def alive(self) -> bool:
        """Whether the run in the output folder goes on."""
        return self._state.run is not None and self._state.run.alive

    def refresh(self) -> None:
        """Show the run, and follow it as long as it lives."""
        run = self._state.run
        alive, status = self.alive, None if run is None else run.status
        self._show_buttons(alive, status)
        self._show_status(alive, status)
        self._draw()
        if alive:
            self._timer.start()
        if self._followed and not alive:
            self._tell_end(status)
        self._followed = alive

    def show_curves(self) -> None:
        """Loss and skill in plot views, where there are views."""
        manager = slicer.app.layoutManager()
        if manager is not None:
            self._drawn = None
            self._draw()
            show_curves(manager, self._state.choices.parameterNode)

    def stop_asking(self) -> None:
        """The panel closes or shows other choices; the run goes on."""
        self._timer.stop()
        self._followed, self._drawn = False, None

    def say(self, text: str) -> None:
        """Show one message instead of what the run says; "" shows the run again."""
        self._said = text

    def _show_buttons(self, alive: bool, status: RunStatus | None) -> None:
        ui, state, run = self._ui, self._state, self._state.run
        resumable = run is not None and run.resumable and not alive and not state.finished
        reason = self._reason(alive, resumable)
        ui.startButton.text = _("Resume") if resumable else _("Start")
        ui.startButton.enabled = not reason
        usual = (
            _("Go on from the last checkpoint, with what this run was asked.")
            if resumable
            else _("Train in a process of its own, which goes on when Slicer is closed.")
        )
        ui.startButton.toolTip = reason or usual
        ui.stopButton.enabled = alive and run is not None and not run.asked_to_stop
        ui.newFolderButton.enabled = state.patients is not None
        ui.curvesButton.enabled = run is not None and status is not None
        ui.useButton.enabled = state.finished

    def _reason(self, alive: bool, resumable: bool) -> str:
        """Why no run can be started, one sentence, or ""."""
        if alive:
            return _("This run goes on. Wait for it, stop it, or choose another folder.")
        if resumable:
            return ""
        if self._state.finished:
            return _("This folder holds a finished run. Press New for another folder.")
        try:
            self._state.order()
        except CronosError as error:
            return str(error)
        return ""

    def _show_status(self, alive: bool, status: RunStatus | None) -> None:
        ui, run = self._ui, self._state.run
        ui.progressBar.visible = alive
        if alive and status is not None:
            show(ui.progressBar, value=round(status.fraction * _FULL))
            ui.progressBar.setFormat(_progress_words(status))
        text = self._said or (status.message if status else _("There is no run in this folder yet."))
        if alive and run is not None and run.asked_to_stop:
            text = _("Stopping after the next step…")
        ui.messageLabel.text = text
        ui.stateLabel.visible = status is not None and not alive
        ui.stateLabel.text = f"<b>{_state_words(status)}</b>" if status else ""
        log = _last_lines(run.folder.path / "log.txt") if run is not None else ""
        ui.logText.visible = bool(log)
        if ui.logText.plainText != log:
            ui.logText.plainText = log
            bar = ui.logText.verticalScrollBar()
            bar.setValue(bar.maximum)

    def _draw(self) -> None:
        """Renew the curves when there are new points."""
        run = self._state.run
        if run is None:
            return
        metrics = run.folder.metrics
        facts = metrics.stat() if metrics.is_file() else None
        drawn = (metrics, facts.st_mtime_ns, facts.st_size) if facts else (metrics, 0, 0)
        if drawn != self._drawn:
            self._drawn = drawn
            status = run.status
            steps = status.steps if status is not None and status.steps else self._state.choices.steps
            draw_curves(self._state.choices.parameterNode, Curves.read(metrics), steps)

    def _poll(self) -> None:
        run = self._state.run
        if run is None or not run.alive:
            self._timer.stop()
        self._state.changed()

    def _start(self) -> None:
        self.say(install_missing(TRAINING))
        if not self._said:
            try:
                self._state.start()
            except CronosError as error:
                self.say(str(error))
            else:
                self.show_curves()
        self._state.changed()

    def _stop(self) -> None:
        assert self._state.run is not None
        try:
            self._state.run.stop()
        except CronosError as error:
            self.say(str(error))
        self._state.changed()

    def _tell_end(self, status: RunStatus | None) -> None:
        """Once, where a user who looks elsewhere sees it; no window pops up."""
        if status is None:
            return
        told = logging.error if status.state is RunState.FAILED else logging.info
        text = _("CRONOS training: {message}").format(message=status.message)
        told(text)
        slicer.util.showStatusMessage(text, _STATUS_BAR_MS)

    def _use(self) -> None:
        """Install the trained model, and hand it on."""
        assert self._state.run is not None
        try:
            bundle = install_bundle(load_bundle(self._state.run.folder.bundle))
        except CronosError as error:
            self.say(str(error))
            self._state.changed()
            return
        self.say(_("'{name}' is in the list of CRONOS Predict now.").format(name=bundle.name))
        self._state.changed()
        self._on_use(bundle.name)


def _progress_words(status: RunStatus) -> str:
    parts = [_state_words(status)]
    if status.state is RunState.TRAINING and status.steps:
        parts.append(_("step {step} of {steps}").format(step=status.step, steps=status.steps))
    if status.seconds_left is not None:
        parts.append(_("{time} left").format(time=duration_words(status.seconds_left)))
    return " · ".join(parts).replace("%", "%%")


def _state_words(status: RunStatus) -> str:
    return {
        RunState.PREPARING: _("Preparing"),
        RunState.TRAINING: _("Training"),
        RunState.EVALUATING: _("Measuring"),
        RunState.DONE: _("Done"),
        RunState.FAILED: _("Failed"),
        RunState.STOPPED: _("Stopped"),
    }[status.state]


def _last_lines(file: Path) -> str:
    try:
        return "\n".join(file.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:])
    except OSError:
        return ""
