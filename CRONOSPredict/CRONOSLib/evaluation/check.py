"""A forecast beside the scan that was really taken, both as images: what a panel checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import SimpleITK as sitk

from CRONOSLib.evaluation.beside_copying import BesideCopying
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.intensity import IntensitySpec, scales_of
from CRONOSLib.imaging.registration import Alignment, align
from CRONOSLib.imaging.resampling import resample


@dataclass(frozen=True)
class Check(BesideCopying):
    """A forecast beside copying the last scan, and where it errs.

    error:    forecast minus true scan, float32 in the last scan's units on its grid
    warnings: what is doubtful about the alignment
    """

    error: sitk.Image = field(repr=False)
    warnings: tuple[str, ...] = ()


def check(
    forecast: sitk.Image,
    last: sitk.Image,
    truth: sitk.Image,
    alignment: Alignment,
    spec: IntensitySpec,
    *,
    on_aligned: Callable[[], None] = lambda: None,
) -> Check:
    """Measure a forecast as `CRONOSLib.evaluation.comparison.compare` does, where there are images only.

    So percentiles that scale intensities are those of the scans' own voxels, not of the bundle's grid.

    forecast, last: on one grid, in the last scan's units
    truth:          in its own units; it is aligned onto the last scan. Where every scan is scaled by itself, so is the
                    truth, or the scanner's gain would be counted as change.
    on_aligned:     called between alignment and measurement; it may raise to stop

    Raises AlignmentError when the truth does not overlap with the last scan, ImageError when it is too small.
    """
    report = align(truth, last, alignment)
    on_last = resample(truth, Grid.of(last), report.transform)
    on_aligned()
    made, copied, real = (sitk.GetArrayFromImage(image) for image in (forecast, last, on_last))
    (scale,) = scales_of([copied], spec)
    truth_scale = scales_of([real], spec)[0] if spec.scope == "each" else scale
    real = truth_scale.apply(real)
    error = Grid.of(last).to_image(made - scale.invert(real))
    made, copied = scale.apply(made), scale.apply(copied)
    measured = BesideCopying.of(made, copied, real)
    return Check(**vars(measured), error=error, warnings=(report.warning,) if report.warning else ())
