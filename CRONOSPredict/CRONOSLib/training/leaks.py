"""A target that training could have seen: refused before the first step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from CRONOSLib.errors import CohortError
from CRONOSLib.training.patients import PreparedPatient


def refuse_leaks(splits: Mapping[str, Sequence[PreparedPatient]]) -> None:
    """No visit is voxel by voxel the same as another: not one of the same patient, nor one of another split.

    Raises CohortError that names both.
    """
    seen: dict[bytes, tuple[str, str]] = {}
    for split, patients in splits.items():
        for patient in patients:
            for visit, time in zip(patient.visits, patient.times):
                digest = hashlib.sha256(np.ascontiguousarray(visit).data).digest()
                where, name = (split, patient.subject), f"patient '{patient.subject}' at time {time:g}"
                if digest in seen and seen[digest] != where and seen[digest][0] == split:
                    continue  # two training patients may share a scan
                if digest in seen:
                    other = f"patient '{seen[digest][1]}' ({seen[digest][0]} split)"
                    raise CohortError(
                        f"The scan of {name} ({split} split) is also one of {other}, so that a target would be "
                        "seen before it is forecast. Remove one of the two from the cohort."
                    )
                seen[digest] = where
