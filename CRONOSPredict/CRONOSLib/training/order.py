"""What a run is asked to do, kept in its folder before it begins. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.manifest import COHORT_NAME, Cohort, read_cohort
from CRONOSLib.cohorts.readers.patients import FoundCohort
from CRONOSLib.cohorts.readers.registry import AUTO, find_cohort
from CRONOSLib.cohorts.usual_settings import read_usual_settings
from CRONOSLib.errors import CohortError, MethodError
from CRONOSLib.training.run_folder import RunFolder, writing
from CRONOSLib.training.settings import TrainSettings
from CRONOSLib.whole_file import write_whole_file

ORDER_NAME = "order.json"
_SAID_BY_A_RUN = {"manifest_sha256", "start_from_sha256"}


@dataclass(frozen=True)
class TrainingOrder:
    """A run as it is ordered by a panel or the console.

    cohort:   folder of a cohort, or of patients that are made one first, in `cohort` of the run's folder
    out:      folder of the run
    method:   name in the registry of methods
    settings: fields of `TrainSettings` by name; what is missing is as usual for these patients
    channel:  kind of scan to take of patients that have several; "": what most of them have
    layout:   how a folder of patients is laid out, a name of `cohorts.readers`; "auto" recognises it
    device:   "auto", "cpu" or "cuda"
    devices:  GPUs (or, on a CPU, processes) of this machine

    Raises MethodError when a setting is unknown or not allowed, or the devices cannot share a step.
    """

    cohort: Path
    out: Path
    method: str = "cronos-continuous"
    settings: Mapping[str, Any] = field(default_factory=dict)
    channel: str = ""
    layout: str = AUTO
    device: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        TrainSettings.from_json(dict(self.settings)).check_shares(self.devices)

    @property
    def patients(self) -> Cohort | FoundCohort:
        """Whom it learns from. Raises CohortError as `patients_in` does."""
        single_scans = TrainSettings.from_json(dict(self.settings)).augmentation.synthetic > 0
        return patients_in(self.cohort, self.channel, self.layout, single_scans=single_scans)

    @property
    def folder(self) -> RunFolder:
        """The places in the folder of the run."""
        return RunFolder(self.out)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        values = asdict(self)
        return {**values, "cohort": str(self.cohort), "out": str(self.out), "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingOrder:
        """An order from its values by name, such as those of a run.json; paths may be text.

        Raises MethodError when a name is unknown, or cohort or out is missing.
        """
        known = {name: value for name, value in values.items() if name not in _SAID_BY_A_RUN}
        unknown = set(known) - {one.name for one in fields(cls)}
        if unknown:
            names = ", ".join(one.name for one in fields(cls))
            raise MethodError(f"A training run has no '{sorted(unknown)[0]}'. It takes {names}.")
        if not known.get("cohort") or not known.get("out"):
            raise MethodError("A run needs a cohort and a folder. Give 'cohort' and 'out'.")
        return cls(**{**known, "cohort": Path(known["cohort"]).absolute(), "out": Path(known["out"]).absolute()})

    def write(self) -> None:
        """Keep the order in the folder of the run. Raises OutputError when that cannot be written."""
        with writing(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            write_whole_file(self.out / ORDER_NAME, json.dumps(self.to_json(), indent=2) + "\n")


def order_of(folder: RunFolder) -> TrainingOrder | None:
    """What the run in a folder was asked to do; one that was started from a shell says so in its run.json.

    None when there is no run. Raises CohortError when what is there cannot be read.
    """
    try:
        values = json.loads((folder.path / ORDER_NAME).read_text("utf-8"))
    except FileNotFoundError:
        values = folder.read_record()
    except (OSError, ValueError) as error:
        raise CohortError(f"'{folder.path / ORDER_NAME}' cannot be read ({error}). Choose another folder.") from error
    return None if values is None else TrainingOrder.from_json({**values, "out": folder.path})


def patients_in(
    folder: Path, channel: str = "", layout: str = AUTO, *, single_scans: bool = False
) -> Cohort | FoundCohort:
    """A cohort that is made already, or the patients that lie in a folder.

    folder:  of either, or the manifest of a cohort
    channel: kind of scan to take of patients that are not a cohort yet; "": what most of them have
    layout, single_scans: of patients that are not a cohort yet, as `find_cohort` takes them

    Raises CohortError when there is neither, as `read_cohort` and `find_cohort` say it.
    """
    folder = folder.parent if folder.is_file() and (folder.parent / COHORT_NAME).is_file() else folder
    if (folder / COHORT_NAME).is_file():
        return read_cohort(folder)
    return find_cohort(folder, layout, channel or None, single_scans=single_scans)


def usual_settings(patients: Cohort | FoundCohort) -> dict[str, Any]:
    """Settings of a run that follow from its patients: how they are, or are to be, prepared.

    Raises CohortError when the cohort's own configuration cannot be read.
    """
    if isinstance(patients, FoundCohort):
        return {"preprocessing": patients.layout.preprocessing.to_json(), "align_cohort": True}
    return read_usual_settings(patients.folder)
