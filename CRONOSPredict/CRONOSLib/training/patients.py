"""Patients of a cohort as arrays on the bundle's grid, prepared once and read from disk as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from CRONOSLib.cohorts.images import digest, read_images
from CRONOSLib.cohorts.manifest import Cohort, Patient, Visit
from CRONOSLib.cohorts.parallel import each
from CRONOSLib.errors import CohortError, CronosError
from CRONOSLib.imaging.intensity import IntensityScale, IntensitySpec, scales_of
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.prepared_files import cache_of, inputs_of, is_prepared, read_facts, write_prepared


@dataclass(frozen=True)
class PreparedPatient:
    """All visits of one patient.

    times:  (V,) in the cohort's unit, ascending
    visits: (V, 1, D, H, W) float16, memory-mapped; visit v in its own units is scales[v].invert(visits[v])
    scales: each visit's own intensity scale
    masks:  V arrays (D, H, W) uint8, memory-mapped, 1 where to measure; None for a visit without mask; () for none
    """

    subject: str
    times: np.ndarray
    visits: np.ndarray
    scales: tuple[IntensityScale, ...]
    masks: tuple[np.ndarray | None, ...] = ()

    def normalised(self, contexts: Sequence[int], target: int, spec: IntensitySpec) -> tuple[np.ndarray, np.ndarray]:
        """Contexts (T, 1, D, H, W) and target (1, D, H, W), float32, normalised by statistics of the contexts alone.

        The target takes the scale of the last context, as a forecast does.
        """
        if spec.scope == "each":
            scales = [self.scales[visit] for visit in contexts]
            images = [np.asarray(self.visits[visit], np.float32) for visit in contexts]
        else:
            in_units = [self._in_units(visit) for visit in contexts]
            scales = scales_of(in_units, spec)
            images = [scale.apply(image) for scale, image in zip(scales, in_units)]
        return np.stack(images), scales[-1].apply(self._in_units(target))

    def repeated(self, times: np.ndarray) -> PreparedPatient:
        """The first scan as it would stand at other times, (V,), if nothing changed; without masks."""
        count = len(times)
        visits = np.broadcast_to(self.visits[:1], (count, *self.visits.shape[1:]))
        return PreparedPatient(self.subject, times, visits, (self.scales[0],) * count)

    def _in_units(self, visit: int) -> np.ndarray:
        return self.scales[visit].invert(self.visits[visit])


def prepare_patients(
    cohort: Cohort,
    split: str,
    preprocessing: Preprocessing,
    on_step: Callable[[float], None] | None = None,
    jobs: int = 1,
    *,
    single_scans: bool = False,
) -> list[PreparedPatient]:
    """The patients of a split with two visits or more; cached beside the cohort's manifest.

    A patient is prepared again when its rows of the manifest, the size of a file or the preprocessing is another. What
    was prepared before a run was cut off is kept.

    on_step: told the fraction done, in (0, 1]; it may raise to stop
    jobs:    processes that share the work
    single_scans: also those with one visit, whose change is made up (`AugmentationSettings.synthetic`)

    Raises CohortError when the split has no such patient or a scan is no longer what it was, OutputError when the disk
    is full.
    """
    several = [patient for patient in cohort.split(split) if len(patient.visits) > 1]
    chosen = list(cohort.split(split)) if single_scans else several
    if not several:
        raise CohortError(
            f"No patient of '{cohort.folder.name}' in the {split} split has two visits. Add patients, or another split."
        )
    work = partial(_ensure, cache=cache_of(cohort.folder, preprocessing), preprocessing=preprocessing, unit=cohort.unit)
    for done, _ in enumerate(each(work, chosen, jobs), start=1):
        if on_step:
            on_step(done / len(chosen))
    return [_opened(cache_of(cohort.folder, preprocessing) / patient.subject, patient.subject) for patient in chosen]


def _ensure(patient: Patient, cache: Path, preprocessing: Preprocessing, unit: TimeUnit) -> None:
    folder = cache / patient.subject
    if not is_prepared(folder, inputs_of(patient.visits, unit)):
        _require_unchanged(patient.visits)
        images = []
        for image in read_images(patient.visits):
            if isinstance(image, CronosError):
                raise CohortError(f"Patient '{patient.subject}' cannot be prepared: {image}") from image
            images.append(image)
        write_prepared(folder, patient.visits, images, preprocessing, unit)


def _require_unchanged(visits: Sequence[Visit]) -> None:
    known = {visit.path: visit.sha256 for visit in visits if visit.sha256}
    for path, sha256 in known.items():
        if digest(path) != sha256:
            raise CohortError(
                f"'{path}' was changed after the cohort was made. Restore it, or make the cohort again so that results "
                "stay comparable."
            )


def _opened(folder: Path, subject: str) -> PreparedPatient:
    facts = read_facts(folder)
    masks = iter(np.load(folder / "masks.npy", mmap_mode="r")) if any(facts["masked"]) else iter(())
    return PreparedPatient(
        subject=subject,
        times=np.array(facts["times"]),
        visits=np.load(folder / "visits.npy", mmap_mode="r"),
        scales=tuple(IntensityScale(**scale) for scale in facts["scales"]),
        masks=tuple(next(masks) if masked else None for masked in facts["masked"]) if any(facts["masked"]) else (),
    )
