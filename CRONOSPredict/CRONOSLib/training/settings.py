"""What a training run is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from CRONOSLib.errors import MethodError
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run; the same settings and seed on the same machine give the same weights.

    steps:           optimiser steps
    method_settings: fields of the method's settings that differ from the preset
    preprocessing:   part of the bundle; the alignment of the bundle is used in forecasts, the visits of a cohort are
                     taken as they lie unless `align_cohort`
    time_scale:      one unit of the network's time, in the cohort's unit (365.25 days: the network counts years)
    max_context:     most context scans of a training draw
    interpolation:   share of draws whose target lies between scans
    match_gain:      train towards the target at the brightness of the last context
    learning_rate:   peak, after `warmup` × steps; cosine to 0 afterwards
    clip:            gradient norm
    validate_every:  steps between validations and checkpoints
    every_draw:      measure every frozen draw of the held-out patients in the end, not only each one's last visit
    precision:       of Lightning, such as "bf16-mixed" or "32-true"
    """

    steps: int = 1600
    preset: str = "default"
    method_settings: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(GridSpec(spacing_mm=3.0)))
    align_cohort: bool = False
    time_scale: float = 365.25
    max_context: int = 6
    interpolation: float = 0.1
    match_gain: bool = True
    batch_size: int = 2
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    validate_every: int = 200
    every_draw: bool = True
    precision: str = "bf16-mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "max_context", "validate_every"):
            if getattr(self, name) < 1:
                raise MethodError(f"Setting '{name}' is {getattr(self, name)}. It must be 1 or more.")

    def cohort_preprocessing(self) -> Preprocessing:
        """How the visits of the cohort are brought to the bundle's grid."""
        alignment = self.preprocessing.alignment if self.align_cohort else Alignment.OFF
        return Preprocessing(self.preprocessing.grid, self.preprocessing.intensity, alignment)

    def to_json(self) -> dict[str, Any]:
        """Plain values that reproduce the run."""
        values = asdict(self)
        return {**values, "preprocessing": self.preprocessing.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainSettings:
        """Settings from `to_json`'s values; what is missing takes its default. Raises MethodError when unknown."""
        known = dict(values)
        if "preprocessing" in known:
            known["preprocessing"] = Preprocessing.from_json(known["preprocessing"])
        try:
            return cls(**known)
        except TypeError as error:
            raise MethodError(f"The training settings are not understood ({error}). Correct their names.") from error
