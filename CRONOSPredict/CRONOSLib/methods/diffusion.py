"""What the diffusion methods share: noise is turned into samples of the target scan, guided by the contexts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from enum import Enum

import torch
from torch import Tensor

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.aggregation import mean_weights
from CRONOSLib.flow.diffusion.prediction import Prediction
from CRONOSLib.flow.diffusion.sample_noise import Noise, SampleNoise
from CRONOSLib.flow.diffusion.sampler import Sampler, sample
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule, Level, alpha_sigma
from CRONOSLib.flow.known_changes import known_changes
from CRONOSLib.flow.penalty import Penalty
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import MemberKind, Members, Method, OnStep
from CRONOSLib.networks.denoiser import Denoiser, DenoiserSettings, Guide


class Diffused(Enum):
    """What is diffused, and with it what an untrained network forecasts.

    CHANGE: the target minus the last scan, in units of `change_scale`: the last scan
    IMAGE:  the target itself, its intensity 0 … 1 brought to −1 … 1, as published: grey
    """

    CHANGE = "change"
    IMAGE = "image"


class Beside(Enum):
    """Images that the guide holds beside what a method makes of the scans.

    NOTHING: none
    LAST:    the last scan
    CHANGES: the last scan, and in units of `change_scale` its difference from the mean of the scans and the change
             along their slope: what baselines know, so that it need not be learned. A network that predicts a clean
             change weighs them in its output, too. Ours
    """

    NOTHING = "nothing"
    LAST = "last"
    CHANGES = "changes"

    @property
    def count(self) -> int:
        """Number of images."""
        return {Beside.NOTHING: 0, Beside.LAST: 1, Beside.CHANGES: 3}[self]


@dataclass(frozen=True)
class DiffusionSettings:
    """Switches of the diffusion methods; the defaults are ours, presets hold the published choices.

    penalty:      of the difference between what the network puts out and should
    at_start:     share of training draws at the noisiest step, where every sample starts and only the guide is visible:
                  what changes together in many voxels shows through the noise of all other steps
    samples:      K, drawn for every forecast
    guidance:     w of x̂ = (1 + w) x̂(z, guide) − w x̂(z, nothing); 0: the guided prediction alone
    drop:         share of training patients whose guide is left out, without which there can be no guidance
    change_scale: normalised intensity of one unit of a diffused change
    bound:        |x̂| is kept below this many units while noise is removed
    """

    network: DenoiserSettings = field(default_factory=DenoiserSettings)
    schedule: DiffusionSchedule = field(default_factory=DiffusionSchedule)
    prediction: Prediction = Prediction.CLEAN
    sampler: Sampler = field(default_factory=Sampler)
    diffused: Diffused = Diffused.CHANGE
    beside: Beside = Beside.CHANGES
    penalty: Penalty = Penalty.SQUARED
    at_start: float = 0.5
    samples: int = 4
    guidance: float = 0.0
    drop: float = 0.1
    change_scale: float = 0.1
    bound: float = 10.0

    @property
    def weighs_changes(self) -> bool:
        """Whether the output weighs known changes, and the noisy one."""
        clean_change = self.diffused is Diffused.CHANGE and self.prediction is Prediction.CLEAN
        return self.beside is Beside.CHANGES and clean_change

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise MethodError(f"A forecast cannot be made of {self.samples} samples. Ask for 1 or more.")
        if self.guidance and not self.drop:
            raise MethodError("Guidance needs training without the guide. Set 'drop' above 0, or 'guidance' to 0.")


@dataclass(frozen=True)
class Denoised:
    """One training draw; all (B, C, D, H, W).

    output: of the network
    goal:   what it should be
    image:  what the output takes for the target, normalised intensity
    """

    output: Tensor
    goal: Tensor
    image: Tensor


class Work:
    """Counts the evaluations of the denoiser, and tells how much of the work is done.

    scans: to be sampled, one after the other
    """

    def __init__(self, steps: int, on_step: OnStep | None) -> None:
        self.scans, self.done = 1, 0
        self._steps, self._on_step = steps, on_step

    def count(self) -> None:
        """One more evaluation."""
        self.done += 1
        if self._on_step:
            self._on_step(self.done / (self.scans * self._steps))


class Diffusion(Method):
    """A denoiser guided by the contexts; every forecast is K samples."""

    def __init__(self, settings: DiffusionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.denoiser = Denoiser(settings.network, known=2 if settings.weighs_changes else None)

    @abstractmethod
    def guide(self, batch: SeriesBatch) -> Guide:
        """What the denoiser is conditioned on; computed once for all steps and samples of a scan."""

    def beside(self, batch: SeriesBatch) -> list[Tensor]:
        """Images (B, C, D, H, W) that stand beside what the method makes of the scans."""
        images = [batch.last_image]
        if self.settings.beside is Beside.CHANGES:
            images += self._changes(batch)
        return images[: self.settings.beside.count]

    def complete(self, batch: SeriesBatch, noise: SampleNoise, work: Work) -> SeriesBatch:
        """The contexts that the target is sampled from: those there are; of B patients, or of B · K samples."""
        return batch

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Mean error of the prediction at random noise levels, the guide left out now and then."""
        denoised = self.denoised(batch)
        return self.settings.penalty(denoised.output - denoised.goal).mean()

    def denoised(self, batch: SeriesBatch) -> Denoised:
        """What the network makes of the target, hidden in a random amount of noise."""
        settings, batch = self.settings, batch.without_padding
        assert batch.target is not None
        clean, device = self._encoded(batch.target, batch.last_image), batch.target.device
        step = torch.randint(settings.schedule.steps, (len(clean),), device=device)
        if settings.at_start:
            step[torch.rand(len(clean), device=device) < settings.at_start] = settings.schedule.steps - 1
        alpha, sigma = alpha_sigma(settings.schedule.log_snr().to(device)[step].view(-1, 1, 1, 1, 1))
        noise = torch.randn_like(clean)
        guide = self._guide(batch)
        if settings.drop:
            guide = guide.kept(torch.rand(len(clean), device=device) >= settings.drop)
        noisy = alpha * clean + sigma * noise
        output = self.denoiser(noisy, (step + 1) / settings.schedule.steps, guide)
        goal = settings.prediction.goal(clean, noise, alpha, sigma)
        guess = settings.prediction.clean(output, noisy, alpha, sigma).clamp(-settings.bound, settings.bound)
        return Denoised(output, goal, self._decoded(guess, batch.last_image))

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """K samples of the target, which depend on torch's seed and on nothing else that is drawn."""
        count, batch = self.settings.samples, batch.without_padding
        noise, work = SampleNoise(count, batch.last_image), Work(self.settings.sampler.steps, on_step)
        images = self.draw(self.complete(batch, noise, work), noise.of(0), work).unflatten(0, (-1, count))
        mask = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        return Members(images, mask, mean_weights(mask), work.done, kind=MemberKind.SAMPLE)

    def draw(self, batch: SeriesBatch, noise: Noise, work: Work) -> Tensor:
        """(B · K, C, D, H, W) samples of the scan at the target time, of the B patients or B · K rows of a batch."""
        repeats = len(noise) // len(batch.images)
        guide = self._guide(batch).repeated(repeats)

        def clean(z: Tensor, level: Level) -> Tensor:
            work.count()
            return self._clean(z, level, guide)

        drawn = sample(clean, noise, self.settings.schedule, self.settings.sampler)
        return self._decoded(drawn, batch.last_image.repeat_interleave(repeats, dim=0))

    def _guide(self, batch: SeriesBatch) -> Guide:
        guide = self.guide(batch)
        return replace(guide, known=torch.cat(self._changes(batch), dim=1)) if self.settings.weighs_changes else guide

    def _changes(self, batch: SeriesBatch) -> list[Tensor]:
        return [change / self.settings.change_scale for change in known_changes(batch)]

    def _clean(self, z: Tensor, level: Level, guide: Guide) -> Tensor:
        """x̂(z, guide) by the guidance asked for; with and without the guide in one evaluation."""
        settings, share = self.settings, torch.full((len(z),), level.share, device=z.device)
        if settings.guidance:
            both = self.denoiser(torch.cat([z, z]), torch.cat([share, share]), guide.with_none())
            guided, alone = both.chunk(2)
            output = (1 + settings.guidance) * guided - settings.guidance * alone
        else:
            output = self.denoiser(z, share, guide)
        clean = settings.prediction.clean(output, z, level.alpha, level.sigma)
        return clean.clamp(-settings.bound, settings.bound)

    def _encoded(self, image: Tensor, last: Tensor) -> Tensor:
        if self.settings.diffused is Diffused.CHANGE:
            return (image - last) / self.settings.change_scale
        return 2 * image - 1

    def _decoded(self, clean: Tensor, last: Tensor) -> Tensor:
        if self.settings.diffused is Diffused.CHANGE:
            return last + self.settings.change_scale * clean
        return (clean + 1) / 2
