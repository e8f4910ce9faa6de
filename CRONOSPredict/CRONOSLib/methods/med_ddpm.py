"""After Med-DDPM (Dorjsembe et al., arXiv 2305.18453): diffusion in few steps, the condition as input channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from CRONOSLib.flow.diffusion.prediction import Prediction
from CRONOSLib.flow.diffusion.sampler import Sampler
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule
from CRONOSLib.flow.penalty import Penalty
from CRONOSLib.methods.conditional_diffusion import ConditionalDiffusion, ConditionalSettings, Sources
from CRONOSLib.methods.diffusion import Beside, Diffused
from CRONOSLib.networks.denoiser import DenoiserSettings
from CRONOSLib.networks.time_embedding import TimeCode, TimeSettings
from CRONOSLib.networks.unet import UNetSettings


def _schedule() -> DiffusionSchedule:
    return DiffusionSchedule(steps=250)


@dataclass(frozen=True)
class MedDdpmSettings(ConditionalSettings):
    """Conditional diffusion from the images beside the noisy one alone, T = 250 cosine steps, mean absolute error."""

    network: DenoiserSettings = field(default_factory=DenoiserSettings)
    schedule: DiffusionSchedule = field(default_factory=_schedule)
    sources: Sources = Sources.LAST
    penalty: Penalty = Penalty.ABSOLUTE


class MedDdpm(ConditionalDiffusion):
    """Scans take the place of the masks that Med-DDPM was made for.

    One convolution over noisy image and condition as channels is the sum of one over each: what the guide adds.
    """

    def __init__(self, settings: MedDdpmSettings | None = None) -> None:
        super().__init__(settings or MedDdpmSettings())


def paper() -> MedDdpmSettings:
    """As described: width 64, whole images in −1 … 1, the noise predicted, 250 steps removed one by one; no times.

    Its learning rate is 1e-5 and its average of the weights decays by 0.995: set both in the training. The variance of
    the steps is ours.
    """
    return MedDdpmSettings(
        network=DenoiserSettings(patch=1, unet=UNetSettings(width=64, multipliers=(1, 2, 3, 4), attention=True)),
        prediction=Prediction.NOISE,
        sampler=Sampler("ancestral", steps=250),
        diffused=Diffused.IMAGE,
        beside=Beside.LAST,
        at_start=0.0,
        samples=1,
        drop=0.0,
        bound=2.0,
        time=TimeSettings(TimeCode.OFF),
    )


PRESETS: dict[str, Callable[[], MedDdpmSettings]] = {"paper": paper}
