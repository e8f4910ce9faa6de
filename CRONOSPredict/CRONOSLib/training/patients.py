"""Patients of a cohort as arrays on the bundle's grid, prepared once and read from disk as they are needed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk

from CRONOSLib.cohorts.manifest import Cohort, Patient
from CRONOSLib.errors import CohortError
from CRONOSLib.imaging.grid import grid_for
from CRONOSLib.imaging.intensity import IntensityScale, IntensitySpec, foreground_of, scales_of
from CRONOSLib.imaging.preparation import Preprocessing, prepare
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.imaging.resampling import resample
from CRONOSLib.imaging.volumes import read_volume
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit


@dataclass(frozen=True)
class PreparedPatient:
    """All visits of one patient.

    times:  (V,) in the cohort's unit, ascending
    visits: (V, 1, D, H, W) float16, memory-mapped; visit v in its own units is scales[v].invert(visits[v])
    scales: each visit's own intensity scale
    """

    subject: str
    times: np.ndarray
    visits: np.ndarray
    scales: tuple[IntensityScale, ...]

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

    def _in_units(self, visit: int) -> np.ndarray:
        return self.scales[visit].invert(self.visits[visit])


def prepare_patients(
    cohort: Cohort,
    split: str,
    preprocessing: Preprocessing,
    on_step: Callable[[float], None] | None = None,
) -> list[PreparedPatient]:
    """The patients of a split with two visits or more; cached beside the cohort's manifest.

    Raises CohortError when the split has no such patient.
    """
    cache = cohort.folder / "prepared" / _fingerprint(preprocessing)
    chosen = [patient for patient in cohort.split(split) if len(patient.visits) > 1]
    if not chosen:
        raise CohortError(
            f"No patient of '{cohort.folder.name}' in the {split} split has two visits. Add patients, or another split."
        )
    prepared = []
    for index, patient in enumerate(chosen):
        prepared.append(_prepared(patient, cache, preprocessing, cohort.unit))
        if on_step:
            on_step((index + 1) / len(chosen))
    return prepared


def _prepared(patient: Patient, cache: Path, preprocessing: Preprocessing, unit: TimeUnit) -> PreparedPatient:
    folder = cache / patient.subject
    if not folder.is_dir():
        _write(patient, folder, preprocessing, unit)
    facts = json.loads((folder / "visits.json").read_text())
    scales = tuple(IntensityScale(**scale) for scale in facts["scales"])
    visits = np.load(folder / "visits.npy", mmap_mode="r")
    return PreparedPatient(patient.subject, np.array(facts["times"]), visits, scales)


def _write(patient: Patient, folder: Path, preprocessing: Preprocessing, unit: TimeUnit) -> None:
    """Everything in a folder beside, then one rename: a cut-off preparation leaves nothing that looks whole."""
    scans = tuple(
        Scan(read_volume(visit.path), visit.time, visit.path.name, TimeSource.MANIFEST) for visit in patient.visits
    )
    images, scales = _on_grid(LongitudinalSeries(scans, unit), preprocessing)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as beside:
        np.save(Path(beside) / "visits.npy", images.astype(np.float16))
        facts = {"times": [visit.time for visit in patient.visits], "scales": [vars(scale) for scale in scales]}
        (Path(beside) / "visits.json").write_text(json.dumps(facts))
        whole = Path(beside) / "whole"
        whole.mkdir()
        for name in ("visits.npy", "visits.json"):
            os.replace(Path(beside) / name, whole / name)
        os.replace(whole, folder)


def _on_grid(series: LongitudinalSeries, preprocessing: Preprocessing) -> tuple[np.ndarray, Sequence[IntensityScale]]:
    """(V, 1, D, H, W) visits, each by its own intensity scale; without alignment nothing is measured on the visits."""
    each = replace(preprocessing, intensity=replace(preprocessing.intensity, scope="each"))
    if preprocessing.alignment is not Alignment.OFF:
        prepared = prepare(series, each)
        return prepared.images, prepared.scales
    grid = grid_for(series.last.image, each.grid, foreground_of(series.last.image))
    arrays = [sitk.GetArrayFromImage(resample(scan.image, grid)) for scan in series]
    scales = scales_of(arrays, each.intensity)
    return np.stack([scale.apply(array)[None] for scale, array in zip(scales, arrays)]), scales


def _fingerprint(preprocessing: Preprocessing) -> str:
    return hashlib.sha256(json.dumps(preprocessing.to_json(), sort_keys=True).encode()).hexdigest()[:16]
