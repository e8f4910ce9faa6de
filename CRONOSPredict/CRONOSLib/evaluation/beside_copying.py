"""How near a forecast comes to the true scan, beside copying the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from CRONOSLib.evaluation.metrics import Metrics, mean_square_error, measure


@dataclass(frozen=True)
class BesideCopying:
    """A forecast, and copying the last scan (LCI), against the true scan, over the whole volume.

    forecast, lci: metrics of normalised intensity
    skill:         1 − MSE / MSE of LCI; None when nothing changed at all
    """

    forecast: Metrics
    lci: Metrics
    skill: float | None

    @staticmethod
    def of(forecast: np.ndarray, last: np.ndarray, truth: np.ndarray) -> BesideCopying:
        """Measure three volumes (D, H, W) of normalised intensity. Raises as `measure`."""
        error, lci_error = (mean_square_error(image, truth) for image in (forecast, last))
        skill = 1 - error / lci_error if lci_error else None
        return BesideCopying(measure(forecast, truth), measure(last, truth), skill)

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {"forecast": self.forecast.to_json(), "lci": self.lci.to_json(), "skill": self.skill}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> BesideCopying:
        """From `to_json`'s values."""
        forecast, lci = (Metrics.from_json(values[name]) for name in ("forecast", "lci"))
        return BesideCopying(forecast, lci, values["skill"])
