"""A patient that was found: its scans read, checked and prepared, or the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk

from CRONOSLib.cohorts.images import digest, read_images
from CRONOSLib.cohorts.manifest import Visit
from CRONOSLib.cohorts.readers.found import FoundPatient, Skipped
from CRONOSLib.cohorts.readers.patients import least_visits
from CRONOSLib.errors import CronosError, OutputError
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.volumes import read_mask
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.prepared_files import read_facts, write_prepared


@dataclass(frozen=True)
class ExaminedPatient:
    """A patient after its images were read: with the visits that can be used, or None; and what cannot."""

    patient: FoundPatient | None
    skipped: tuple[Skipped, ...]


def examine(
    found: FoundPatient, cache: Path, preprocessing: Preprocessing, unit: TimeUnit, single_scans: bool = False
) -> ExaminedPatient:
    """Read a patient's scans, prepare those that can be used in `cache`, and say why others cannot.

    What was written before a run was cut off is not done again, unless a file has changed since.

    single_scans: whether one scan is enough, as in `patients_of`

    Raises OutputError when the cache cannot be written.
    """
    folder = cache / found.subject
    identity = [_identity(visit) for visit in found.visits]
    needed = least_visits(found.split, single_scans)
    facts = read_facts(folder)
    if facts.get("found") == identity and len(facts["usable"]) >= needed:
        kept = (replace(found.visits[number], sha256=sha256) for number, sha256 in facts["usable"])
        visits = tuple(visit if masked else replace(visit, mask=None) for visit, masked in zip(kept, facts["masked"]))
        return ExaminedPatient(replace(found, visits=visits), skipped_of(facts["skipped"]))
    usable, images, skipped = _usable(found)
    if len(usable) < needed:
        reason = f"{len(usable)} of its {len(found.visits)} scans can be used, but {needed} are needed"
        return ExaminedPatient(None, (*skipped, Skipped(found.subject, None, reason)))
    visits = tuple(usable.values())
    more = {
        "found": identity,
        "usable": [[number, visit.sha256] for number, visit in usable.items()],
        "skipped": [[one.subject, str(one.path or ""), one.reason] for one in skipped],
    }
    try:
        write_prepared(folder, visits, images, preprocessing, unit, more)
    except OutputError:
        raise
    except CronosError as error:
        return ExaminedPatient(None, (*skipped, Skipped(found.subject, None, str(error))))
    return ExaminedPatient(replace(found, visits=visits), skipped)


def skipped_of(rows: Sequence[Sequence[str]]) -> tuple[Skipped, ...]:
    """What was written as (subject, path or "", reason)."""
    return tuple(Skipped(subject, Path(path) if path else None, reason) for subject, path, reason in rows)


def _identity(visit: Visit) -> list[str | int | float | None]:
    return [str(visit.path), visit.frame, visit.time, str(visit.mask), _changed(visit.path)]


def _changed(path: Path) -> int:
    """When a file, or one in a folder, was last written, ns; after a change, what was read is out of date."""
    parts = (path, *path.iterdir()) if path.is_dir() else (path,)
    return max((part.stat().st_mtime_ns for part in parts if part.exists()), default=0)


def _usable(found: FoundPatient) -> tuple[dict[int, Visit], list[sitk.Image], tuple[Skipped, ...]]:
    """The visits, by their number, whose scans can be read, those scans, and why others cannot."""
    usable: dict[int, Visit] = {}
    images, skipped = [], []
    digests: dict[Path, str] = {}
    first_of: dict[tuple[str, int | None], Visit] = {}
    for number, (visit, image) in enumerate(zip(found.visits, read_images(found.visits))):
        if isinstance(image, CronosError):
            skipped.append(Skipped(found.subject, visit.path, str(image)))
            continue
        sha256 = digests.get(visit.path) or digests.setdefault(visit.path, digest(visit.path))
        first = first_of.setdefault((sha256, visit.frame), visit)
        if first is not visit:
            skipped.append(Skipped(found.subject, visit.path, f"it is a copy of '{first.path}'"))
            continue
        mask, why = _usable_mask(visit)
        if why:
            skipped.append(Skipped(found.subject, visit.mask, f"the scan is used without its mask: {why}"))
        usable[number] = replace(visit, mask=mask, sha256=sha256)
        images.append(image)
    return usable, images, tuple(dict.fromkeys(skipped))


def _usable_mask(visit: Visit) -> tuple[Path | None, str]:
    """The mask of a visit if it has one that can be read, else why it cannot."""
    try:
        if visit.mask is not None:
            read_mask(visit.mask)
    except CronosError as error:
        return None, str(error)
    return visit.mask, ""
