"""What a training run is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from CRONOSLib.errors import MethodError
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment

_AT_LEAST = {
    "steps": 1, "accumulate": 1, "max_context": 1, "validate_every": 1,
    "batch_size": 0, "time_scale": 0, "patience": 0, "checkpoint_minutes": 0,
}  # fmt: skip


@dataclass(frozen=True)
class AugmentationSettings:
    """How training patients are varied; 0 or false switches one off.

    The geometry is the same for all scans of a patient and its target. Each amount is drawn anew for every patient of
    every batch.

    flip:      mirror left and right in half of the draws
    rotation:  most degrees about the z axis, in whose plane voxels are square
    scale:     most relative enlargement or shrinkage
    shift:     most displacement along each axis, as a share of the field of view
    elastic:   standard deviation of a smooth displacement, as a share of the field of view
    gain:      standard deviation of the logarithm of each scan's gain; the target takes that of the last context
    bias:      standard deviation of what is added to each scan, in normalised intensity; the target as before
    noise:     standard deviation of the noise of the contexts, in normalised intensity; the target stays clean
    synthetic: share of draws whose change is not real: structures of the last scan grown or shrunk at the real times
    """

    flip: bool = True
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    gain: float = 0.0
    bias: float = 0.0
    noise: float = 0.0
    synthetic: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0 or (name in ("scale", "synthetic") and value > 1):
                raise MethodError(
                    f"Augmentation '{name}' is {value}. Give a share of 0 to 1, or an amount of 0 or more."
                )


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run; the same settings and seed, machine and number of threads give the same weights.

    Neither the devices nor the number of processes stand here: a step is `accumulate` batches of `batch_size`
    patients, however they are shared out.

    steps:           optimiser steps
    start_from:      bundle whose weights the run starts from (fine-tuning), by name or folder; "": from scratch
    method_settings: fields of the method's settings that differ from the preset
    preprocessing:   part of the bundle; the alignment of the bundle is used in forecasts, the visits of a cohort are
                     taken as they lie unless `align_cohort`
    time_scale:      one unit of the network's time, in the cohort's unit; 0: a year for dates, the usual span of a
                     training patient for milliseconds and seconds
    max_context:     most context scans of a training draw
    interpolation:   share of draws whose target lies between scans
    match_gain:      train towards the target at the brightness of the last context, where intensities have no unit
    augmentation:    how training patients are varied
    batch_size:      patients per batch; 0: as many as fit into memory
    accumulate:      batches per step, whose gradients are averaged; processes share them
    learning_rate:   peak, after `warmup` × steps; cosine to 0 afterwards
    clip:            gradient norm
    ema:             decay of the averaged weights, which are what is measured and saved; less in the first steps;
                     0: the last weights themselves
    validate_every:  steps between validations, and between checkpoints
    checkpoint_minutes: a checkpoint at least this often; 0: only at validations
    patience:        stop after this many validations without a better skill; 0: never
    every_draw:      measure every frozen draw of the held-out patients in the end, not only each one's last visit
    precision:       of Lightning, such as "bf16-mixed" or "32-true"
    """

    steps: int = 1600
    preset: str = "default"
    start_from: str = ""
    method_settings: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(GridSpec(spacing_mm=3.0)))
    align_cohort: bool = False
    time_scale: float = 0.0
    max_context: int = 6
    interpolation: float = 0.1
    match_gain: bool = True
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    batch_size: int = 2
    accumulate: int = 1
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    ema: float = 0.99
    validate_every: int = 200
    checkpoint_minutes: float = 10.0
    patience: int = 0
    every_draw: bool = True
    precision: str = "bf16-mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            if not getattr(self, name) >= least:
                raise MethodError(f"Setting '{name}' is {getattr(self, name)}. It must be {least} or more.")
        if not 0 <= self.ema < 1:
            raise MethodError(f"Setting 'ema' is {self.ema}. It must be 0 or more and below 1.")

    def check_shares(self, processes: int) -> None:
        """Raises MethodError when the batches of a step cannot be shared out evenly."""
        if self.accumulate % processes:
            raise MethodError(
                f"{processes} processes cannot share the {self.accumulate} batches of a step evenly. "
                f"Set 'accumulate' to {processes} or a multiple of it."
            )

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
        try:
            if "preprocessing" in known:
                known["preprocessing"] = Preprocessing.from_json(known["preprocessing"])
            if "augmentation" in known:
                known["augmentation"] = AugmentationSettings(**known["augmentation"])
            return cls(**known)
        except TypeError as error:
            raise MethodError(f"The training settings are not understood ({error}). Correct their names.") from error
