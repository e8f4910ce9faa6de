"""How wide a range around a forecast must be to hold the truth: measured, not assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from CRONOSLib.errors import BundleError

UNCALIBRATED = "SD of the members"
"""What a spread is where no calibration widens it."""


@dataclass(frozen=True)
class CalibratedLevel:
    """One range: forecast ± factor · max(spread, floor).

    level:     share of voxels that it is made to hold, in (0, 1)
    factor:    from the validation patients
    coverage:  share that it held in the test patients, mean over patients; None: not measured
    low, high: 95 % confidence interval of that mean, bootstrap over patients
    """

    level: float
    factor: float
    coverage: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Split-conformal ranges of a bundle, see `CRONOSLib.evaluation.calibration`.

    floor:    normalised intensity that takes the place of a smaller spread: members that agree can all be wrong
    patients: validation patients that the factors come from
    levels:   ascending; levels for which there were too few patients are missing
    tested:   test patients whose coverage was measured
    """

    floor: float
    patients: int
    levels: tuple[CalibratedLevel, ...]
    tested: int = 0

    def at(self, level: float) -> CalibratedLevel:
        """The range made for a level. Raises BundleError when there is none."""
        for known in self.levels:
            if abs(known.level - level) < 1e-9:
                return known
        raise BundleError(f"The bundle has no calibrated range of {level:.0%}. Ask for one that its card lists.")

    @property
    def shown(self) -> CalibratedLevel:
        """The range that users see: 90 %, or the widest below it where there were too few patients."""
        return [level for level in self.levels if level.level <= 0.9][-1]

    @property
    def meaning(self) -> str:
        """What the shown range is, in words that were measured."""
        shown = self.shown
        if shown.coverage is None:
            return f"± range made to hold the truth in {shown.level:.0%} of the voxels"
        return f"± range that held the truth in {shown.coverage:.0%} of the voxels of {self.tested} test patients"

    def half_width(self, spread: np.ndarray) -> np.ndarray:
        """Half the shown range of each voxel; spread: any shape, standard deviation in normalised intensity."""
        return self.shown.factor * np.maximum(spread, self.floor)

    def to_json(self) -> dict[str, Any]:
        """Plain values for bundle.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """Calibration from `to_json`'s values. Raises TypeError, KeyError or ValueError when they are none."""
        levels = tuple(CalibratedLevel(**level) for level in values["levels"])
        if not any(0 < level.level <= 0.9 for level in levels):
            raise ValueError("a calibration without a level of 90 % or less")
        return cls(**{**values, "levels": levels})
