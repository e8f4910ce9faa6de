"""A forecast beside the scan that was really taken, both as images: what a panel checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import SimpleITK as sitk

from CRONOSLib.evaluation.metrics import Metrics, mean_square_error, measure
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.intensity import IntensitySpec, scales_of
from CRONOSLib.imaging.registration import Alignment, align
from CRONOSLib.imaging.resampling import resample


@dataclass(frozen=True)
class Check:
    """How near a forecast, and copying the last scan (LCI), come to the true scan, over the whole volume.

    forecast, lci: metrics of normalised intensity
    skill:         1 − MSE / MSE of LCI; None when nothing changed at all
    error:         forecast minus true scan, float32 in the last scan's units on its grid
    warnings:      what is doubtful about the alignment
    """

    forecast: Metrics
    lci: Metrics
    skill: float | None
    error: sitk.Image = field(repr=False)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {"forecast": self.forecast.to_json(), "lci": self.lci.to_json(), "skill": self.skill}

    @classmethod
    def from_json(cls, values: dict[str, Any], error: sitk.Image, warnings: tuple[str, ...]) -> Check:
        """A check from `to_json`'s values, and what they leave out."""
        metrics = (Metrics.from_json(values[name]) for name in ("forecast", "lci"))
        return cls(*metrics, values["skill"], error, warnings)


def check(
    forecast: sitk.Image,
    last: sitk.Image,
    truth: sitk.Image,
    alignment: Alignment,
    spec: IntensitySpec,
    *,
    on_aligned: Callable[[], None] = lambda: None,
) -> Check:
    """Measure a forecast as `cronos forecast --compare` does.

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
    lci_error = mean_square_error(copied, real)
    return Check(
        forecast=measure(made, real),
        lci=measure(copied, real),
        skill=1 - mean_square_error(made, real) / lci_error if lci_error else None,
        error=error,
        warnings=(report.warning,) if report.warning else (),
    )
