"""NODER: a neural ODE of the voxel cloud of one patient (arXiv 2407.13241, MICCAI 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from math import ceil

from torch import Tensor

from CRONOSLib.flow.deformation import resized
from CRONOSLib.flow.similarity import Dissimilarity, Measure
from CRONOSLib.flow.smoothing import Kernel, Smoothing
from CRONOSLib.flow.solvers import Stepping, integrate_through
from CRONOSLib.methods.deformable import (
    DeformableMethod,
    DeformableSettings,
    Descent,
    Flow,
    Reference,
    Visits,
    descend,
    mismatch,
)
from CRONOSLib.methods.interface import OnStep
from CRONOSLib.networks.voxel_cloud import CloudSettings, CloudVelocity, Decoder, TimeInject, train_autoencoder


class Start(Enum):
    """The velocity at which a fit begins.

    STILL:     none: 0 iterations give LCI
    RANDOM:    that of a random network, as released
    PREDICTED: the geodesic slope of velocities that a network, trained on a cohort, reads off the scans
    """

    STILL = "still"
    RANDOM = "random"
    PREDICTED = "predicted"


@dataclass(frozen=True)
class NoderSettings(DeformableSettings):
    """Switches of NODER; the defaults are what measures best per second, presets hold the published choices.

    cloud:       the network
    every:       the cloud has one point every so many voxels of the fit, along each axis
    stepping:    how the ODE is integrated; one unit is the span of the scans
    pretraining: steps of the auto-encoder, when the decoder is one
    """

    cloud: CloudSettings = field(default_factory=CloudSettings)
    every: int = 2
    stepping: Stepping = field(default_factory=lambda: Stepping("euler"))
    start: Start = Start.STILL
    descent: Descent = field(default_factory=lambda: Descent(iterations=100, learning_rate=0.005, patience=20))
    pretraining: int = 100


class Noder(DeformableMethod):
    """The flow of a voxel cloud, dφ/dt = K ∗ D(f(E(φ), t)) with φ(0) = id, fitted to the patient's own scans."""

    def __init__(self, settings: NoderSettings | None = None) -> None:
        self.settings: NoderSettings
        settings = settings or NoderSettings()
        super().__init__(settings, predicts=settings.start is Start.PREDICTED)

    def fit(self, visits: Visits, predicted: Tensor | None, on_step: OnStep) -> Flow:
        """Minimise the mismatch over the network's parameters."""
        settings = self.settings
        shape = visits.images.shape[2:]
        cloud_shape = [max(2, ceil(size / settings.every)) for size in shape]
        network = CloudVelocity(cloud_shape, settings.cloud, still=settings.start is not Start.RANDOM)
        network.to(visits.images.device)
        if settings.cloud.decoder is Decoder.AUTOENCODER:
            train_autoencoder(network, settings.pretraining)
        if predicted is not None:
            network.begin_with(predicted)
        initial = visits.images.new_zeros(1, 3, *cloud_shape)

        def at(times: Tensor) -> Tensor:
            states = integrate_through(network, initial, times, settings.stepping, knots=visits.times)
            return resized(states.squeeze(1), shape)

        followed = visits.times[visits.followed]
        descend(network.parameters(), lambda: mismatch(at(followed), visits, settings), settings.descent, on_step)
        return Flow(at, lambda: network.evaluations)


def paper() -> NoderSettings:
    """NODER as the paper describes it: the first scan is deformed at full resolution, latent space, time added.

    The auto-encoder is trained on random deformations, not on a cohort's registrations; the window of the local
    correlation and the steps of RK4 between two scans, which the paper leaves open, are those of the release.
    """
    return NoderSettings(
        reference=Reference.FIRST,
        fit_size=0,
        dissimilarity=Dissimilarity(Measure.LOCAL_NCC, window=21),
        descent=Descent(iterations=300, learning_rate=0.005, patience=300),
        shrinkage=0.0,
        max_ratio=0.0,
        cloud=CloudSettings(
            time=TimeInject.ADD, decoder=Decoder.AUTOENCODER, smoothing=Smoothing(Kernel.BOX, 15), coarser=4
        ),
        every=1,
        stepping=Stepping("rk4", steps_per_unit=0, adjoint=True),
    )


def release() -> NoderSettings:
    """The released code as it runs: no auto-encoder, the bare time beside the feature, Adam with amsgrad.

    Not kept: time in years, of which the span of the scans takes the place here, as in all presets; and its slips with
    images that are no cubes.
    """
    base = paper()
    return replace(
        base,
        descent=replace(base.descent, amsgrad=True),
        cloud=replace(base.cloud, time=TimeInject.CONCAT, decoder=Decoder.LINEAR),
        start=Start.RANDOM,
    )


def amortised() -> NoderSettings:
    """A trained network predicts the start, and a short fit refines it."""
    return NoderSettings(start=Start.PREDICTED, descent=Descent(iterations=30, learning_rate=0.005, patience=10))


PRESETS: dict[str, Callable[[], NoderSettings]] = {"paper": paper, "release": release, "amortised": amortised}
