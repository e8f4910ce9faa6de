"""What was found in a folder of patients, in numbers and words."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from CRONOSLib.cohorts.manifest import Cohort
from CRONOSLib.cohorts.readers.found import Skipped, by_reason
from CRONOSLib.cohorts.splits import SPLITS
from CRONOSLib.errors import CronosError
from CRONOSLib.scene.panel.target import unit_words
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.collecting import read_skipped
from CRONOSLib.training.order import patients_in, usual_settings


@dataclass(frozen=True)
class FoundPatients:
    """The patients of a folder that a run would learn from.

    folder:   of the cohort, or of the patients
    name:     of the cohort
    visits:   times of each patient's scans, in `unit`
    split:    patients to train, to validate and to test; () while they are not split yet
    channel:  kind of scan that is taken, and `channels` that could be, with their numbers of patients
    settings: of a run, as they are usual for these patients
    """

    folder: Path
    name: str
    unit: TimeUnit
    visits: tuple[tuple[float, ...], ...]
    skipped: tuple[Skipped, ...]
    settings: dict[str, Any]
    split: tuple[int, ...] = ()
    channel: str = ""
    channels: tuple[tuple[str, int], ...] = ()

    @property
    def gaps(self) -> list[float]:
        """Times between neighbouring scans, in `unit`."""
        return [later - earlier for times in self.visits for earlier, later in itertools.pairwise(times)]

    def summary(self) -> str:
        """A few sentences: how many, how far apart, prepared or not."""
        gaps, unit = self.gaps, unit_words(self.unit)
        said = [
            _("{patients} patients with {scans} scans.").format(
                patients=len(self.visits), scans=sum(map(len, self.visits))
            ),
            _("From scan to scan {shortest} to {longest} {unit}, usually {usual}.").format(
                shortest=f"{min(gaps):.4g}",
                longest=f"{max(gaps):.4g}",
                usual=f"{statistics.median(gaps):.4g}",
                unit=unit,
            ),
        ]
        single = sum(len(times) == 1 for times in self.visits)
        if single:
            said.append(
                _("{count} of them have one scan, to learn from changes that are made up.").format(count=single)
            )
        if self.split:
            said.append(
                _("{train} to learn from, {validation} to choose on, {test} to measure on.").format(
                    **dict(zip(SPLITS, self.split))
                )
            )
        else:
            said.append(_("They are prepared and split when the training starts."))
        return " ".join(said)

    def problems(self) -> list[tuple[str, str, str]]:
        """How often, why, and for example what was left out."""
        return [
            (str(count), reason, f"{one.subject} {one.path.name if one.path else ''}".strip())
            for reason, count, one in by_reason(self.skipped)
        ]


@dataclass(frozen=True)
class Search:
    """Where patients are looked for, and which; fields as `training.order.patients_in` takes them."""

    folder: Path
    channel: str
    layout: str
    single_scans: bool


def look_for_patients(search: Search) -> FoundPatients | CronosError:
    """The patients in a folder, or the sentence that says why there are none; works without the scene."""
    try:
        found = patients_in(search.folder, search.channel, search.layout, single_scans=search.single_scans)
        settings = usual_settings(found)
        visits = tuple(tuple(visit.time for visit in patient.visits) for patient in found.patients)
        if isinstance(found, Cohort):
            split = tuple(len(found.split(name)) for name in SPLITS)
            return FoundPatients(
                found.folder, found.name, found.unit, visits, read_skipped(found.folder), settings, split
            )
        channels = tuple(sorted(found.channels.items()))
        return FoundPatients(
            found.folder, found.folder.name, found.unit, visits, found.skipped, settings, (), found.channel, channels
        )
    except CronosError as error:
        return error
