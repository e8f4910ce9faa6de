"""Patients on a coarse grid, ready for a method: real scans, and held-out patients of a simulated cohort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.cohorts.usual_settings import read_usual_settings
from CRONOSLib.evaluation.metrics import mean_square_error
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.forecasting.choice import MethodChoice
from CRONOSLib.forecasting.times import method_time
from CRONOSLib.imaging.deformation import displacement_transform
from CRONOSLib.imaging.grid import Grid, GridSpec
from CRONOSLib.imaging.intensity import scales_of
from CRONOSLib.imaging.preparation import prepare
from CRONOSLib.imaging.registration import align
from CRONOSLib.imaging.resampling import resample, resample_labels
from CRONOSLib.training.draws import assemble
from CRONOSLib.training.held_out import last_visit_draw
from CRONOSLib.training.patients import prepare_patients
from CRONOSLib.training.settings import TrainSettings
from real_scans import Case, cardiac_cine, cases, fetal_growth

SPACING_MM = 4.0
"""Coarse, so that all tables take minutes on a processor."""

HEART_SPACING_MM = (3.0, 3.0, 10.0)
"""Of simulated hearts, whose slices are 10 mm thick."""


@dataclass(frozen=True)
class Prepared:
    """A case on its grid; `target_time` of the batch may be that of the first scan: a fit, no forecast.

    labels: of the last scan and of the target, on the last scan's own grid; None where there are none
    """

    name: str
    batch: SeriesBatch
    grid: Grid | None = None
    labels: tuple[sitk.Image, sitk.Image] | None = None

    @property
    def truth(self) -> np.ndarray:
        """(D, H, W) what was really seen."""
        assert self.batch.target is not None
        return self.batch.target[0, 0].numpy()

    @property
    def last(self) -> np.ndarray:
        """(D, H, W) LCI."""
        return self.batch.last_image[0, 0].numpy()

    def skill(self, forecast: torch.Tensor) -> float:
        """Of a forecast (1, 1, D, H, W)."""
        return 1 - mean_square_error(forecast[0, 0].numpy(), self.truth) / mean_square_error(self.last, self.truth)

    def dice(self, displacement: torch.Tensor) -> float | None:
        """Mean Dice over the labels of the last scan, carried at their own resolution, and those of the target."""
        if self.labels is None or self.grid is None:
            return None
        last, target = self.labels
        transform = displacement_transform(displacement[0].numpy(), self.grid)
        carried = sitk.GetArrayFromImage(resample_labels(last, Grid.of(last), transform))
        truth = sitk.GetArrayFromImage(target)
        values = [label for label in np.unique(truth) if label]
        shared = [
            2 * ((carried == v) & (truth == v)).sum() / ((carried == v).sum() + (truth == v).sum()) for v in values
        ]
        return float(np.mean(shared))


def reported_cases(data: Path, scratch: Path, only: str = "", spacing_mm: float = SPACING_MM) -> Iterator[Prepared]:
    """Those of `real_scans.py` with two scans or more; a patient with two visits is a fit of the first."""
    for case in cases(data, scratch):
        if len(case.scans) > 1 and only in case.name:
            first = case.scans.scans[0]
            fit = replace(case, name=f"{case.name.split(',')[0]}, fit", target_time=first.time, truth=first)
            yield _prepared(case if case.truth else fit, spacing_mm)


def other_cases(data: Path) -> Iterator[Prepared]:
    """Heart phases and weeks of gestation that no table reports as targets: for choosing."""
    for case in cardiac_cine(data / "cardiac-cine", targets=(7, 10, 15)):
        yield _prepared(case, SPACING_MM)
    for case in fetal_growth(data / "fetal-growth", targets=(28, 29)):
        yield _prepared(case, SPACING_MM)


def simulated_cases(cohort: Path, split: str, count: int) -> Iterator[Prepared]:
    """The last visits of the first patients of a split, from all earlier ones."""
    settings = simulated_settings(cohort)
    for patient in prepare_patients(read_cohort(cohort), split, settings.cohort_preprocessing())[:count]:
        draw = last_visit_draw(len(patient.times), settings.max_context)
        batch = assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale)
        yield Prepared(patient.subject, batch)


def simulated_settings(cohort: Path) -> TrainSettings:
    """How patients of a cohort are prepared; the unit of time does not matter to a method that fits a patient."""
    settings = TrainSettings.from_json({**read_usual_settings(cohort), "time_scale": 1.0})
    heart = settings.preprocessing.intensity.scope == "shared"
    grid = GridSpec(spacing_mm=HEART_SPACING_MM, multiple=1) if heart else GridSpec(spacing_mm=SPACING_MM)
    return replace(settings, preprocessing=replace(settings.preprocessing, grid=grid))


def _prepared(case: Case, spacing_mm: float) -> Prepared:
    """A case on its grid; the truth by its own intensities where every scan is, as in `compare`."""
    assert case.truth is not None
    preprocessing = MethodChoice("noder", None).preprocessing(case.scans.unit, None)
    preprocessing = replace(preprocessing, grid=GridSpec(spacing_mm=spacing_mm, multiple=1))
    prepared = prepare(case.scans, preprocessing)
    times = method_time(case.scans, case.target_time)
    to_truth = align(case.truth.image, case.scans.last.image, preprocessing.alignment).transform
    truth = sitk.GetArrayFromImage(resample(case.truth.image, prepared.grid, to_truth))
    own = preprocessing.intensity.scope == "each"
    scale = scales_of([truth], preprocessing.intensity)[0] if own else prepared.scales[-1]
    batch = SeriesBatch(
        images=torch.from_numpy(prepared.images)[None],
        times=torch.tensor(times.times, dtype=torch.float32)[None],
        mask=torch.ones(1, len(times.times), dtype=torch.bool),
        target_time=torch.tensor([times.target], dtype=torch.float32),
        target=torch.from_numpy(scale.apply(truth)).float()[None, None],
    )
    return Prepared(case.name, batch, prepared.grid, _labels(case, to_truth))


def _labels(case: Case, to_truth: sitk.Transform) -> tuple[sitk.Image, sitk.Image] | None:
    """Parcellations of the last scan and of the target, where there are any."""
    paths = [scan.path.parent / "parcellation.nii.gz" for scan in (case.scans.last, case.truth) if scan and scan.path]
    if len(paths) < 2 or not all(path.is_file() for path in paths):
        return None
    last, target = (sitk.ReadImage(str(path)) for path in paths)
    return last, resample_labels(target, Grid.of(last), to_truth)
