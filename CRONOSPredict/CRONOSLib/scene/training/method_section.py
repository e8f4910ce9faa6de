"""Section "Method": what is trained, on which grid, for how long, and what that takes."""

from __future__ import annotations

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError
from CRONOSLib.methods.registry import method_entry, presets
from CRONOSLib.scene.panel.installing import TRAINING, missing_packages
from CRONOSLib.scene.panel.widgets import fill_combo, on_choice, show
from CRONOSLib.scene.training.aside import Aside
from CRONOSLib.scene.training.state import TrainState, learning_methods
from CRONOSLib.training.detached import what_it_takes


class MethodSection:
    """Method, preset, grid and device, and an estimate that follows them."""

    def __init__(self, ui, state: TrainState) -> None:
        self._ui, self._state = ui, state
        self._asked: Any = None
        self._answer: dict[str, Any] = {}
        self._estimate: Aside[dict[str, Any]] = Aside(self._take)
        for combo, name in (
            (ui.methodCombo, "method"),
            (ui.presetCombo, "preset"),
            (ui.gridCombo, "grid"),
            (ui.deviceCombo, "device"),
        ):
            on_choice(combo, partial(self._choose, name))
        ui.spacingSpin.connect("valueChanged(double)", lambda value: self._choose("spacing", value))

    @property
    def busy(self) -> bool:
        """Whether an estimate is on its way."""
        return self._estimate.busy

    def refresh(self) -> None:
        """Show the choices, and estimate again what they take."""
        ui, chosen = self._ui, self._state.choices
        fill_combo(ui.methodCombo, learning_methods(), chosen.method)
        learnt = [name for name in presets(chosen.method) if method_entry(chosen.method).learns(name)]
        if chosen.preset not in learnt:
            chosen.preset = learnt[0]
        fill_combo(ui.presetCombo, [(_preset_words(name), name) for name in learnt], chosen.preset)
        ui.presetCombo.enabled = len(learnt) > 1 and not chosen.startFrom
        grids = [(_("As usual for these patients"), ""), (_("Voxel size"), "spacing"), (_("Number of voxels"), "size")]
        fill_combo(ui.gridCombo, grids, chosen.grid)
        ui.spacingSpin.visible = chosen.grid == "spacing"
        for spin in (ui.sizeXSpin, ui.sizeYSpin, ui.sizeZSpin):
            spin.visible = chosen.grid == "size"
        show(ui.spacingSpin, value=chosen.spacing)
        devices = [(_("Automatic"), "auto"), (_("Graphics card"), "cuda"), (_("Processor (CPU)"), "cpu")]
        fill_combo(ui.deviceCombo, devices, chosen.device)
        self._ask()
        ui.estimateLabel.text = self._words()

    def forget(self) -> None:
        """Other choices are shown, or the panel closes."""
        self._estimate.forget()
        self._asked, self._answer = None, {}

    def _choose(self, name: str, value: Any) -> None:
        setattr(self._state.choices, name, value)

    def _ask(self) -> None:
        """Estimate the chosen run, unless it is known, already asked, or another one works."""
        run = self._state.run
        try:
            order = self._state.order()
        except CronosError:
            self._estimate.forget()
            self._asked, self._answer = None, {}
            return
        asked = {**order.to_json(), "out": ""}
        asked["settings"] = {name: value for name, value in asked["settings"].items() if name != "steps"}
        if asked == self._asked or missing_packages(TRAINING) or (run is not None and run.alive):
            return
        self._asked, self._answer = asked, {}
        self._estimate.ask(partial(what_it_takes, order))

    def _take(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        if self._state.choices is not None:
            self._ui.estimateLabel.text = self._words()

    def _words(self) -> str:
        if self._state.patients is None:
            return ""
        if missing_packages(TRAINING):
            return _("What it takes is estimated as soon as PyTorch is installed; Start asks for it.")
        try:
            steps = self._state.steps()
        except CronosError as error:
            return str(error)
        if not self._answer:
            return _("Estimating memory and time…") if self._estimate.busy else ""
        if "problem" in self._answer:
            return str(self._answer["problem"])
        return _estimate_words(self._answer, steps)


def _preset_words(name: str) -> str:
    return {
        "default": _("Default: what measured best"),
        "paper": _("As in the paper"),
        "release": _("As in the released code"),
    }.get(name, name)


def _estimate_words(answer: dict[str, Any], steps: int) -> str:
    shape = " × ".join(str(length) for length in reversed(answer["shape"]))
    memory = _memory_words(answer["step_bytes"])
    if answer["free_bytes"] is not None:
        memory = _("{memory} of {free} free").format(memory=memory, free=_memory_words(answer["free_bytes"]))
    said = _(
        "{shape} voxels, {weights} weights, batches of {batch}: about {memory}, {time} for {steps} steps on {device}."
    ).format(
        shape=shape,
        weights=_count_words(answer["weights"]),
        batch=answer["batch_size"],
        memory=memory,
        time=duration_words(answer["step_seconds"] * steps),
        steps=steps,
        device=answer["device"],
    )
    if answer["graphics"] > 1:
        said += " " + _("There are {count} graphics cards.").format(count=answer["graphics"])
    return said


def _memory_words(count: float) -> str:
    if count < 1e9:
        return _("{count} MB").format(count=max(1, round(count / 1e6)))
    return _("{count} GB").format(count=f"{count / 1e9:.1f}")


def _count_words(count: int) -> str:
    return _("{count} million").format(count=f"{count / 1e6:.2g}") if count >= 1e5 else f"{count:,}"


def duration_words(seconds: float) -> str:
    """Seconds, minutes or hours, as one says it."""
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 5400:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count} h").format(count=f"{seconds / 3600:.3g}")
