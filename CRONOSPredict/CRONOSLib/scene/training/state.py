"""What the sections of the panel share: the user's choices, the patients, the run."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from CRONOSLib.errors import CohortError, CronosError, MethodError
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.registry import method_entry, method_names, presets
from CRONOSLib.scene.training.patients import FoundPatients
from CRONOSLib.scene.training.remembered import remember_run, remembered_run
from CRONOSLib.training.detached import FollowedRun, begin
from CRONOSLib.training.order import TrainingOrder
from CRONOSLib.training.run_folder import RunFolder, RunState
from CRONOSLib.training.settings import AugmentationSettings, TrainSettings

NOWHERE = Path()
"""What a path of the parameter node is before it is chosen."""


class TrainState:
    """The choices of one parameter node, and what follows from them.

    choices:  the module's wrapped parameter node; every choice of the user stands there, and only there
    patients: what was found in the chosen folder, or None; `problem` then says why
    run:      the run in the output folder; None while that is not chosen
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.choices: Any = None
        self.patients: FoundPatients | None = None
        self.problem = ""
        self._run: FollowedRun | None = None

    def show(self, choices) -> None:
        """Take up the choices of another parameter node, or of none; a run from before is found again."""
        self.choices = choices
        if choices is not None and choices.outputFolder == NOWHERE:
            self._take_up(remembered_run())

    def changed(self) -> None:
        """Something was chosen or found: everything shown follows."""
        if self.choices is not None:
            self._on_change()

    @property
    def run(self) -> FollowedRun | None:
        """The run in the output folder, whether there is one yet or not; None while no folder is chosen."""
        if self.choices is None or self.choices.outputFolder == NOWHERE:
            return None
        if self._run is None or self._run.folder.path != self.choices.outputFolder:
            self._run = FollowedRun(RunFolder(self.choices.outputFolder))
        return self._run

    @property
    def finished(self) -> bool:
        """Whether the output folder holds a run that is done."""
        status = None if self.run is None else self.run.status
        return status is not None and status.state is RunState.DONE

    def start(self) -> None:
        """Begin the run that was chosen, or let the one in the folder go on. Raises CronosError."""
        assert self.run is not None
        known = self.run.order if self.run.resumable else None
        self._run = begin(known or self.order())
        remember_run(self._run.folder.path)

    def propose_folder(self) -> None:
        """Choose a new output folder, beside the patients or at home."""
        assert self.patients is not None
        place = self.patients.folder.parent
        place = place if os.access(place, os.W_OK) else Path.home()
        name = f"{self.patients.name}-{self.choices.method}"
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        self.choices.outputFolder = next(place / name for name in names if not (place / name).exists())

    def order(self) -> TrainingOrder:
        """The run as it is chosen. Raises CohortError without patients or folder, MethodError for impossible settings.

        What the file of further settings says takes the place of choices.
        """
        if self.patients is None:
            raise CohortError(self.problem)
        if self.choices.outputFolder == NOWHERE:
            raise CohortError(_("Choose a folder for the run."))
        chosen = self.choices
        return TrainingOrder(
            cohort=self.patients.folder,
            out=chosen.outputFolder.absolute(),
            method=chosen.method,
            settings={**self._chosen_settings(self.patients), **_further_settings(chosen.configFile)},
            channel=self.patients.channel,
            layout=chosen.layout,
            device=chosen.device,
            devices=chosen.devices,
        )

    def steps(self) -> int:
        """How many steps a run of these choices has. Raises CronosError as `order`."""
        return TrainSettings.from_json(dict(self.order().settings)).steps

    def _chosen_settings(self, patients: FoundPatients) -> dict[str, Any]:
        chosen = self.choices
        usual = patients.settings
        prepared = TrainSettings.from_json(usual).preprocessing
        augmentation = AugmentationSettings(
            flip=chosen.flip,
            rotation=float(chosen.rotation),
            noise=chosen.noise / 100,
            synthetic=chosen.synthetic / 100,
        )
        return {
            **usual,
            "preprocessing": replace(prepared, grid=self._grid(prepared)).to_json(),
            "steps": chosen.steps,
            "preset": "default" if chosen.startFrom else chosen.preset,
            "start_from": chosen.startFrom,
            "batch_size": chosen.batchSize,
            "accumulate": chosen.accumulate,
            "learning_rate": chosen.learningRate,
            "max_context": chosen.maxContext,
            "validate_every": chosen.validateEvery,
            "patience": chosen.patience,
            "precision": chosen.precision,
            "seed": chosen.seed,
            "augmentation": asdict(augmentation),
        }

    def _grid(self, usual: Preprocessing) -> GridSpec:
        chosen = self.choices
        if chosen.grid == "spacing":
            return GridSpec(spacing_mm=chosen.spacing)
        if chosen.grid == "size":
            return GridSpec(stretch_to=(chosen.sizeX, chosen.sizeY, chosen.sizeZ))
        return usual.grid

    def _take_up(self, folder: Path | None) -> None:
        """Show the run of an earlier session, with what it was asked."""
        if folder is None:
            return
        try:
            order = FollowedRun(RunFolder(folder)).order
        except CronosError:
            return
        if order is None:
            return
        chosen = self.choices
        changing = chosen.StartModify()
        chosen.cohortFolder, chosen.outputFolder = order.cohort, folder
        chosen.method = order.method
        chosen.preset = str(order.settings.get("preset", "default"))
        chosen.steps = int(order.settings.get("steps", chosen.steps))
        chosen.EndModify(changing)


def learning_methods() -> list[tuple[str, str]]:
    """Summary and name of every method that has something to train."""
    return [
        (method_entry(name).summary, name)
        for name in method_names()
        if any(method_entry(name).learns(preset) for preset in presets(name))
    ]


def _further_settings(file: Path) -> dict[str, Any]:
    """Settings of a file such as `cronos train --config` takes. Raises MethodError when it cannot be read."""
    if file == NOWHERE:
        return {}
    try:
        settings = json.loads(file.read_text("utf-8"))["settings"]
        return dict(settings)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MethodError(
            _("'{file}' holds no settings ({error}). Write it as {example}.").format(
                file=file, error=error, example='{"settings": {"ema": 0.9}}'
            )
        ) from error
