"""NODER and geodesic regression on real scans, beside copying the last one.

    python Testing/benchmarks/deformation.py DATA [--part cases|iterations|published] [--out deformation.md]

cases:      every case of `real_scans.py` that has two scans or more, on a coarse grid. Heart phases and weeks of
            gestation are forecasts. A glioblastoma patient has two visits: a deformation forecasts the second from the
            first by copying, so what is measured there is the fit, the first visit out of the second, and says so.
            Labels are those of the brain in weeks of gestation: the Dice of the last week's, carried to the target.
iterations: skill of the forecast against iterations of the fit, and its seconds.
published:  seconds of one iteration of the released settings at the grid of the release, 144 x 176 x 144.

Seconds are those of the processor, so that other work beside it does not count; with OMP_NUM_THREADS=1, of one core.
Those of the fit hold the first prediction; those of the prediction, another date of the same patient.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from CRONOSLib.evaluation.deformation import regularity
from CRONOSLib.evaluation.metrics import mean_square_error, measure
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.forecasting.choice import MethodChoice
from CRONOSLib.forecasting.times import method_time
from CRONOSLib.imaging.deformation import displacement_transform
from CRONOSLib.imaging.grid import Grid, GridSpec
from CRONOSLib.imaging.intensity import scales_of
from CRONOSLib.imaging.preparation import prepare
from CRONOSLib.imaging.registration import align
from CRONOSLib.imaging.resampling import resample, resample_labels
from CRONOSLib.methods.deformable import Reference, Residual
from CRONOSLib.methods.registry import create_method
from real_scans import Case, cases

SPACING_MM = {"glioblastoma": 4.0, "cardiac": 4.0, "fetal": 4.0}
"""Coarse, so that the whole table takes minutes on a processor."""

FITS = (("geodesic-regression", Reference.LAST), ("geodesic-regression", Reference.FIRST), ("noder", Reference.LAST))

RELEASE_GRID = (144, 176, 144)


@dataclass(frozen=True)
class Prepared:
    """A case on its coarse grid; `target_time` of the batch may be that of the first scan: a fit, no forecast.

    labels: of the last scan and of the target, on the last scan's own grid; None where there are none
    """

    name: str
    batch: SeriesBatch
    grid: Grid
    labels: tuple[sitk.Image, sitk.Image] | None

    @property
    def truth(self) -> np.ndarray:
        """(D, H, W) what was really seen."""
        assert self.batch.target is not None
        return self.batch.target[0, 0].numpy()

    @property
    def last(self) -> np.ndarray:
        """(D, H, W) LCI."""
        return self.batch.last_image[0, 0].numpy()


def main() -> None:
    """Measure the chosen part, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=("cases", "iterations", "published"), default="cases")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--out", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        prepared = (_prepared(case) for case in _chosen(arguments.data, Path(scratch), arguments.only))
        part = {"cases": _cases_table, "iterations": _iterations_table, "published": lambda _: _published_table()}
        for line in part[arguments.part](prepared):
            print(line, flush=True)
            lines.append(line)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def _chosen(data: Path, scratch: Path, only: str) -> Iterator[Case]:
    for case in cases(data, scratch):
        if len(case.scans) > 1 and only in case.name:
            first = case.scans.scans[0]
            fit = replace(case, name=f"{case.name.split(',')[0]}, fit", target_time=first.time, truth=first)
            yield case if case.truth else fit


def _cases_table(prepared: Iterator[Prepared]) -> Iterator[str]:
    yield "| case | method | NRMSE | LCI | SSIM | LCI | skill | Dice | LCI | folding % | fit s | predict s |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for case in prepared:
        lci = measure(case.last, case.truth)
        still = torch.zeros(1, 3, *case.truth.shape)
        for name, reference in FITS:
            if reference is Reference.FIRST and case.batch.horizon < 0:
                continue  # the target of a fit is the first scan itself
            method = create_method(name, {"reference": reference})
            _, fit_s = _timed(method, case.batch)
            for residual in Residual:
                method.settings = replace(method.settings, residual=residual)
                found, predict_s = _timed(method, case.batch)
                ours = measure(found.forecast[0, 0].numpy(), case.truth)
                folding = regularity(found.displacement[0].numpy()).folding_percent
                label = f"{name} from the {reference.value}" + (", residual" if residual is Residual.RIDGE else "")
                yield (
                    f"| {case.name} | {label} | {ours.nrmse:.4f} | {lci.nrmse:.4f} | {ours.ssim.value:.4f} "
                    f"| {lci.ssim.value:.4f} | {_skill(found.forecast, case):+.3f} | {_dice(found.displacement, case)} "
                    f"| {_dice(still, case)} | {folding:.3f} | {fit_s:.1f} | {predict_s:.2f} |"
                )


def _iterations_table(prepared: Iterator[Prepared]) -> Iterator[str]:
    yield "| case | method | iterations | skill | folding % | fit s |"
    yield "|---|---|---|---|---|---|"
    for case in prepared:
        for name in ("geodesic-regression", "noder"):
            for iterations in (10, 30, 100, 300):
                method = create_method(name, {"descent": {"iterations": iterations, "patience": iterations}})
                found, seconds = _timed(method, case.batch)
                folding = regularity(found.displacement[0].numpy()).folding_percent
                skill = _skill(found.forecast, case)
                yield f"| {case.name} | {name} | {iterations} | {skill:+.3f} | {folding:.3f} | {seconds:.1f} |"


def _published_table() -> Iterator[str]:
    """Noise will do: an iteration costs the same whatever the scans show."""
    yield "| settings | scans | s per iteration | s of 300 | peak MB |"
    yield "|---|---|---|---|---|"
    for scans in (2, 3):
        times = torch.linspace(0, 1, scans)[None]
        images = torch.rand(1, scans, 1, *RELEASE_GRID)
        batch = SeriesBatch(images, times, torch.ones(1, scans).bool(), torch.tensor([1.2]))
        for label, preset, settings in (("release", "release", {}), ("default", "default", {})):
            method = create_method("noder", {**settings, "descent": {"iterations": 2}}, preset)
            marks = [time.process_time()]
            method.forecast(batch, on_step=lambda done, marks=marks: marks.append(time.process_time()))
            per_iteration = marks[2] - marks[1]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            yield f"| {label} | {scans} | {per_iteration:.2f} | {300 * per_iteration:.0f} | {peak:.0f} |"


def _timed(method, batch: SeriesBatch):
    torch.manual_seed(0)
    start = time.process_time()
    found = method.forecast(batch)
    return found, time.process_time() - start


def _skill(forecast: torch.Tensor, case: Prepared) -> float:
    return 1 - mean_square_error(forecast[0, 0].numpy(), case.truth) / mean_square_error(case.last, case.truth)


def _dice(displacement: torch.Tensor, case: Prepared) -> str:
    """Mean Dice over the labels of the last scan, carried at their own resolution, and those of the target."""
    if case.labels is None:
        return ""
    last, target = case.labels
    transform = displacement_transform(displacement[0].numpy(), case.grid)
    carried = sitk.GetArrayFromImage(resample_labels(last, Grid.of(last), transform))
    truth = sitk.GetArrayFromImage(target)
    values = [label for label in np.unique(truth) if label]
    shares = [2 * ((carried == v) & (truth == v)).sum() / ((carried == v).sum() + (truth == v).sum()) for v in values]
    return f"{np.mean(shares):.3f}"


def _prepared(case: Case) -> Prepared:
    """A case on its grid; the truth by its own intensities where every scan is, as in `compare`."""
    assert case.truth is not None
    preprocessing = MethodChoice("noder", None).preprocessing(case.scans.unit, None)
    grid = GridSpec(spacing_mm=SPACING_MM[case.name.split()[0]], multiple=1)
    preprocessing = replace(preprocessing, grid=grid)
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


if __name__ == "__main__":
    main()
