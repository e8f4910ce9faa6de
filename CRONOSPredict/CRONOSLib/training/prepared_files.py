"""The files of a prepared patient: `prepared/SETTINGS/SUBJECT/` beside a cohort's manifest.

visits.npy:  (V, 1, D, H, W) float16, each visit by its own intensity scale
masks.npy:   (M, D, H, W) uint8, of the M visits that have a mask; absent when none has
visits.json: times, intensity scales, which visits have a mask, and the digest of what they were made from
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from CRONOSLib.cohorts.manifest import Visit, as_written
from CRONOSLib.errors import OutputError
from CRONOSLib.imaging.grid import Grid, grid_for
from CRONOSLib.imaging.intensity import IntensityScale, foreground_of, scales_of
from CRONOSLib.imaging.preparation import Preprocessing, prepare
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.imaging.resampling import resample, resample_mask
from CRONOSLib.imaging.volumes import read_mask
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit
from CRONOSLib.whole_folder import whole_folder

_FACTS = "visits.json"
_VERSION = 2
"""Part of every digest: patients prepared by other code are prepared again."""

Transforms = Sequence[sitk.Transform | None]


def cache_of(cohort: Path, preprocessing: Preprocessing) -> Path:
    """Where the patients of a cohort lie that were prepared in this way."""
    return cohort / "prepared" / _digest(preprocessing.to_json())


def inputs_of(visits: Sequence[Visit], unit: TimeUnit) -> str:
    """Digest of what a patient is made from: times, and files by their content or, where unknown, name and size."""
    rows = [
        [
            as_written(visit.time),
            visit.frame,
            visit.sha256 or _name_and_size(visit.path),
            visit.mask and _name_and_size(visit.mask),
        ]
        for visit in visits
    ]
    return _digest([_VERSION, unit.value, rows])


def is_prepared(folder: Path, inputs: str) -> bool:
    """Whether a folder holds the patient made from these inputs."""
    return read_facts(folder).get("inputs") == inputs


def read_facts(folder: Path) -> dict[str, Any]:
    """What `visits.json` says; empty when there is none or it is not readable."""
    try:
        return json.loads((folder / _FACTS).read_text())
    except (OSError, ValueError):
        return {}


def write_prepared(
    folder: Path,
    visits: Sequence[Visit],
    images: Sequence[sitk.Image],
    preprocessing: Preprocessing,
    unit: TimeUnit,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Align, resample and normalise a patient's scans, and write them whole or not at all.

    images: scans of the visits, float32, in the visits' order
    more:   further facts for `visits.json`

    Raises AlignmentError when a scan does not overlap with the last, ImageError for a damaged mask or a grid that would
    be too large, OutputError when the folder cannot be written.
    """
    scans = tuple(Scan(image, visit.time, visit.path.name, TimeSource.MANIFEST) for visit, image in zip(visits, images))
    arrays, scales, grid, transforms = _on_grid(LongitudinalSeries(scans, unit), preprocessing)
    masks = [
        sitk.GetArrayFromImage(resample_mask(read_mask(visit.mask), grid, transform))
        for visit, transform in zip(visits, transforms)
        if visit.mask
    ]
    facts = {
        "inputs": inputs_of(visits, unit),
        "times": [visit.time for visit in visits],
        "scales": [vars(scale) for scale in scales],
        "masked": [visit.mask is not None for visit in visits],
        **(more or {}),
    }
    try:
        with whole_folder(folder, _FACTS, replace=True) as fresh:
            np.save(fresh / "visits.npy", arrays.astype(np.float16))
            if masks:
                np.save(fresh / "masks.npy", np.stack(masks))
            (fresh / _FACTS).write_text(json.dumps(facts))
    except OutputError:
        if not is_prepared(folder, facts["inputs"]):  # else another process was quicker
            raise


def _on_grid(
    series: LongitudinalSeries, preprocessing: Preprocessing
) -> tuple[np.ndarray, Sequence[IntensityScale], Grid, Transforms]:
    """(V, 1, D, H, W) visits, each by its own intensity scale; without alignment nothing is measured on the visits."""
    each = replace(preprocessing, intensity=replace(preprocessing.intensity, scope="each"))
    if preprocessing.alignment is not Alignment.OFF:
        made = prepare(series, each)
        transforms = [report.transform if report else None for report in made.alignments]
        return made.images, made.scales, made.grid, transforms
    grid = grid_for(series.last.image, each.grid, foreground_of(series.last.image))
    arrays = [sitk.GetArrayFromImage(resample(scan.image, grid)) for scan in series]
    scales = scales_of(arrays, each.intensity)
    visits = np.stack([scale.apply(array)[None] for scale, array in zip(scales, arrays)])
    return visits, scales, grid, [None] * len(series)


def _name_and_size(path: Path) -> str:
    return f"{path.name} {path.stat().st_size}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
