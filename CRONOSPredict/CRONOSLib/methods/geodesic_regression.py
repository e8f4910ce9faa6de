"""Geodesic regression with stationary velocities: SGR and, with predicted velocities, FPSGR (Hong 2012, Ding 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import ceil

from torch import Tensor, nn

from CRONOSLib.flow.deformation import exponential, resized
from CRONOSLib.flow.similarity import Dissimilarity, Measure
from CRONOSLib.flow.smoothing import Smoothing
from CRONOSLib.methods.deformable import (
    DeformableMethod,
    DeformableSettings,
    Descent,
    Flow,
    Reference,
    Visits,
    descend,
    mismatch,
    slope_through_reference,
)
from CRONOSLib.methods.interface import OnStep


class Velocities(Enum):
    """Where the velocity comes from.

    JOINT:     one velocity, found from all scans at once
    PAIRWISE:  one for each scan, then their slope: SGR
    PREDICTED: the same, read off by a network trained on a cohort: FPSGR
    """

    JOINT = "joint"
    PAIRWISE = "pairwise"
    PREDICTED = "predicted"


@dataclass(frozen=True)
class GeodesicSettings(DeformableSettings):
    """Switches of geodesic regression; the defaults are what measures best per second.

    every:     the velocity has one node every so many voxels of the fit, along each axis
    smoothing: kernel over the velocity, voxels of its grid
    """

    velocities: Velocities = Velocities.JOINT
    every: int = 2
    smoothing: Smoothing = field(default_factory=Smoothing)
    descent: Descent = field(default_factory=lambda: Descent(iterations=60, learning_rate=0.1, patience=15))


class GeodesicRegression(DeformableMethod):
    """φ(t) = exp(t v) with v = Σ t_i v_i / Σ t_i², v_i the velocity from the reference to scan i over its own time."""

    def __init__(self, settings: GeodesicSettings | None = None) -> None:
        self.settings: GeodesicSettings
        settings = settings or GeodesicSettings()
        super().__init__(settings, predicts=settings.velocities is Velocities.PREDICTED)

    def fit(self, visits: Visits, predicted: Tensor | None, on_step: OnStep) -> Flow:
        """The slope of the velocities, and its exponential map."""
        shape = visits.images.shape[2:]
        slope = self._optimised(visits, on_step) if predicted is None else predicted

        def at(times: Tensor) -> Tensor:
            return resized(exponential(times.view(-1, 1, 1, 1, 1) * slope), shape)

        return Flow(at)

    def _optimised(self, visits: Visits, on_step: OnStep) -> Tensor:
        """(1, 3, d, h, w) velocity per span of the scans, on its own grid."""
        settings = self.settings
        images, times = visits.images, visits.times[visits.followed].view(-1, 1, 1, 1, 1)
        grid = [max(2, ceil(size / settings.every)) for size in images.shape[2:]]
        joint = settings.velocities is Velocities.JOINT
        rough = nn.Parameter(images.new_zeros(1 if joint else len(times), 3, *grid))

        def loss() -> Tensor:
            velocity = settings.smoothing(rough)
            velocity = times * velocity if joint else velocity
            return mismatch(resized(exponential(velocity), images.shape[2:]), visits, settings)

        descend([rough], loss, settings.descent, on_step)
        velocity = settings.smoothing(rough.detach())
        return velocity if joint else slope_through_reference(times.flatten(), velocity)[None]


def paper() -> GeodesicSettings:
    """SGR: each scan registered to the first one at full resolution, velocities at half of it, mean square error.

    Weights of similarity and smoothness as in VoxelMorph, 1 and 0.01.
    """
    return GeodesicSettings(
        reference=Reference.FIRST,
        fit_size=0,
        dissimilarity=Dissimilarity(Measure.MSE),
        smoothness=0.01,
        boundary=0.0,
        shrinkage=0.0,
        max_ratio=0.0,
        velocities=Velocities.PAIRWISE,
        descent=Descent(iterations=300, learning_rate=0.1, patience=40),
    )


def fast() -> GeodesicSettings:
    """FPSGR: a network trained on a cohort predicts the velocities, so that a forecast takes as long as a look."""
    return GeodesicSettings(velocities=Velocities.PREDICTED)


PRESETS: dict[str, Callable[[], GeodesicSettings]] = {"paper": paper, "fast": fast}
