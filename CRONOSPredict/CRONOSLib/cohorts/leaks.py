"""What must not be true of a cohort: a scan or a patient that training and measurement share."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from CRONOSLib.cohorts.splits import SPLITS
from CRONOSLib.errors import CohortError

if TYPE_CHECKING:
    from CRONOSLib.cohorts.manifest import Patient, Visit


def check_patients(patients: Sequence[Patient]) -> None:
    """Prove that patients make a cohort.

    Raises CohortError when a patient is listed twice, a split is unknown, times do not ascend, channels are mixed, or
    one scan (the same file and frame, or a file of the same content) stands for two patients or two visits.
    """
    for subject, count in Counter(patient.subject for patient in patients).items():
        if count > 1:
            raise CohortError(f"Patient '{subject}' is listed twice. A patient belongs to one split only.")
    for patient in patients:
        if patient.split not in SPLITS:
            raise CohortError(f"Patient '{patient.subject}' has the split '{patient.split}'. Use {', '.join(SPLITS)}.")
        times = [visit.time for visit in patient.visits]
        if not all(map(math.isfinite, times)) or any(a >= b for a, b in itertools.pairwise(times)):
            raise CohortError(f"The times of patient '{patient.subject}' do not ascend. Sort its scans by time.")
    _check_one_channel(patients)
    _check_no_scan_is_shared(patients)


def _check_one_channel(patients: Iterable[Patient]) -> None:
    channels = sorted({visit.channel for patient in patients for visit in patient.visits})
    if len(channels) > 1:
        named = ", ".join(f"'{channel}'" for channel in channels)
        raise CohortError(f"The cohort mixes the channels {named}. Make one cohort for each channel.")


def _check_no_scan_is_shared(patients: Iterable[Patient]) -> None:
    owners: dict[tuple[object, ...], str] = {}
    for patient in patients:
        for visit in patient.visits:
            for identity in _identities(visit):
                other = owners.setdefault(identity, patient.subject)
                if other != patient.subject:
                    raise CohortError(
                        f"'{visit.path}' stands for the patients '{other}' and '{patient.subject}', so that a scan "
                        "could be learned from and measured on. Leave out one of them."
                    )
        places = [(visit.path, visit.frame) for visit in patient.visits]
        if len(set(places)) < len(places):
            raise CohortError(f"A scan of patient '{patient.subject}' stands for two visits. Leave one of them out.")


def _identities(visit: Visit) -> list[tuple[object, ...]]:
    """By what a scan is known: its place, and its content where that was measured."""
    content = [("content", visit.sha256, visit.frame)] if visit.sha256 else []
    return [("place", visit.path, visit.frame), *content]
