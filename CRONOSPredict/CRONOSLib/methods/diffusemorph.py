"""After DiffuseMorph (Kim et al., ECCV 2022): what a diffusion model makes of noise tells a network how to deform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from CRONOSLib.flow.deformation import exponential, resized, squared_gradient, warp
from CRONOSLib.flow.diffusion.prediction import Prediction
from CRONOSLib.flow.diffusion.sample_noise import Noise
from CRONOSLib.flow.diffusion.sampler import Sampler
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule, Schedule
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.similarity import Dissimilarity, Measure
from CRONOSLib.methods.conditional_diffusion import ConditionalDiffusion, ConditionalSettings, Sources
from CRONOSLib.methods.diffusion import Beside, Diffused, Work
from CRONOSLib.networks.denoiser import DenoiserSettings
from CRONOSLib.networks.registration import PairwiseVelocity, RegistrationSettings
from CRONOSLib.networks.unet import UNetSettings


def _squares() -> Dissimilarity:
    return Dissimilarity(Measure.MSE)


@dataclass(frozen=True)
class DiffuseMorphSettings(ConditionalSettings):
    """Switches beside those of conditional diffusion.

    deformation:   the network that deforms
    dissimilarity: of the deformed last scan and the target
    smoothness:    weight of the mean ‖∇u‖², beside the dissimilarity
    morphing:      weight of both together; that of the diffusion loss is 1
    """

    deformation: RegistrationSettings = field(default_factory=RegistrationSettings)
    dissimilarity: Dissimilarity = field(default_factory=_squares)
    smoothness: float = 1e-3
    morphing: float = 100.0


class DiffuseMorph(ConditionalDiffusion):
    """The last scan, deformed towards what the denoiser takes for the target. Needs MONAI.

    DiffuseMorph registers two given scans: its denoiser is shown the target, noisy in training and plain in use. Of a
    forecast the target is what is asked for, and not admissible. Here the denoiser is guided by the contexts and the
    time alone, and in a forecast starts from noise; the noisy target is seen in training, as in every diffusion model.
    No deformation makes intensities that the last scan does not hold.
    """

    def __init__(self, settings: DiffuseMorphSettings | None = None) -> None:
        self.settings: DiffuseMorphSettings
        settings = settings or DiffuseMorphSettings()
        super().__init__(settings)
        self.deformation = PairwiseVelocity(settings.deformation)

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Diffusion loss, plus the dissimilarity of deformed scan and target and the roughness of the deformation."""
        assert batch.target is not None
        settings, denoised, last = self.settings, self.denoised(batch), batch.last_image
        displacement = self._displacement(last, denoised.image)
        unlike = settings.dissimilarity(warp(last, displacement), batch.target).mean()
        morphing = unlike + settings.smoothness * squared_gradient(displacement)
        return settings.penalty(denoised.output - denoised.goal).mean() + settings.morphing * morphing

    def draw(self, batch: SeriesBatch, noise: Noise, work: Work) -> Tensor:
        """(B · K, C, D, H, W) the last scan, deformed towards each sample."""
        samples = super().draw(batch, noise, work)
        last = batch.last_image.repeat_interleave(len(samples) // len(batch.images), dim=0)
        return warp(last, self._displacement(last, samples))

    def _displacement(self, last: Tensor, towards: Tensor) -> Tensor:
        """(N, 3, D, H, W), voxels."""
        velocity = self.deformation(last, towards).float()
        return resized(exponential(velocity), last.shape[2:])


def paper() -> DiffuseMorphSettings:
    """Published sizes: width 8, 2000 linear steps, local correlation, weights 20 and 1; the sampler is ours."""
    return DiffuseMorphSettings(
        network=DenoiserSettings(patch=1, unet=UNetSettings(width=8, multipliers=(1, 2, 4, 4))),
        schedule=DiffusionSchedule(Schedule.LINEAR, steps=2000, betas=(1e-6, 1e-2)),
        prediction=Prediction.NOISE,
        sampler=Sampler("ddim", steps=20),
        diffused=Diffused.IMAGE,
        beside=Beside.LAST,
        at_start=0.0,
        samples=1,
        drop=0.0,
        bound=2.0,
        sources=Sources.LAST,
        dissimilarity=Dissimilarity(),
        smoothness=1.0,
        morphing=20.0,
    )


PRESETS: dict[str, Callable[[], DiffuseMorphSettings]] = {"paper": paper}
