"""A forecast beside the true scan and beside copying the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from CRONOSLib.evaluation.beside_copying import BesideCopying
from CRONOSLib.evaluation.metrics import nrmse, psnr
from CRONOSLib.forecast import Forecast
from CRONOSLib.imaging.intensity import IntensityScale, foreground_of, scales_of
from CRONOSLib.imaging.preparation import bring_to_last
from CRONOSLib.imaging.resampling import resample
from CRONOSLib.series import Scan


@dataclass(frozen=True)
class Comparison(BesideCopying):
    """Forecast and LCI against the truth, on the last scan's grid.

    truth:           the true scan, aligned onto the last scan, float32 in the last scan's units
    true_scan:       as it was given
    foreground:      NRMSE and PSNR of both where the last scan or the truth is above Otsu's threshold: empty
                     background flatters every forecast
    truth_intensity: which intensity scale the truth was read by
    """

    truth: sitk.Image
    true_scan: Scan
    foreground: dict[str, dict[str, float]]
    truth_intensity: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for report.json."""
        return {**super().to_json(), "foreground": self.foreground, "truth_intensity": self.truth_intensity}


def compare(forecast: Forecast, true_scan: Scan) -> Comparison:
    """Measure a forecast, and LCI, against the scan that was really taken at the target time.

    The truth is aligned like the other scans. Everything is measured in normalised intensity, 0…1 by the last scan's
    scale. Where every scan is scaled by itself (MR without units), so is the truth, or the scanner's gain would be
    counted as change; the forecast itself never saw it.

    Raises AlignmentError when the truth does not overlap with the last scan, ImageError when it is empty.
    """
    series, prepared = forecast.series, forecast.prepared
    on_last = bring_to_last(series, true_scan, forecast.preprocessing.alignment)
    last_scale = prepared.scales[-1]
    own = forecast.preprocessing.intensity.scope == "each"
    truth_scale = _scale_of(forecast, on_last) if own else last_scale
    truth = truth_scale.apply(sitk.GetArrayFromImage(on_last))
    images = {
        "forecast": last_scale.apply(sitk.GetArrayFromImage(forecast.image)),
        "lci": last_scale.apply(sitk.GetArrayFromImage(series.last.image)),
    }
    inside = _foreground(series.last.image) | _foreground(on_last)
    return Comparison(
        **vars(BesideCopying.of(images["forecast"], images["lci"], truth)),
        truth=prepared.native.to_image(last_scale.invert(truth)),
        true_scan=true_scan,
        foreground={
            name: {"nrmse": nrmse(image, truth, mask=inside), "psnr": psnr(image, truth, mask=inside)}
            for name, image in images.items()
        },
        truth_intensity="its own percentiles" if own else "the scale of the context scans",
    )


def _scale_of(forecast: Forecast, truth: sitk.Image) -> IntensityScale:
    """The truth's own scale, taken at the resolution at which those of the contexts were."""
    array = sitk.GetArrayFromImage(resample(truth, forecast.prepared.grid))
    return scales_of([array], forecast.preprocessing.intensity)[0]


def _foreground(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(foreground_of(image)) > 0
