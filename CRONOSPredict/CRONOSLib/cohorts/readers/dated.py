"""Images that are dated by their names, or by tables beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from CRONOSLib.cohorts.readers.found import Skipped
from CRONOSLib.errors import CronosError
from CRONOSLib.imaging.folders import FoundFile, describe


def dated(patient: Path, paths: Sequence[Path], undated: str) -> tuple[list[FoundFile], list[Skipped]]:
    """Those images of a patient that have a date, and why the others have none.

    patient: the folder of all that is the patient's
    undated: the reason, where nothing is wrong but that a date is missing
    """
    found: list[FoundFile] = []
    skipped: list[Skipped] = []
    for path in paths:
        try:
            one = describe(path, patient)
        except CronosError as error:
            skipped.append(Skipped(patient.name, path, str(error)))
            continue
        if one.date is None:
            skipped.append(Skipped(patient.name, path, undated))
        else:
            found.append(one)
    return found, skipped
