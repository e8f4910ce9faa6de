"""SADM: a diffusion model guided by a transformer over the sequence of scans (arXiv 2212.08228)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

import torch
from torch import Tensor

from CRONOSLib.flow.diffusion.prediction import Prediction
from CRONOSLib.flow.diffusion.sample_noise import SampleNoise
from CRONOSLib.flow.diffusion.sampler import Sampler
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule, Schedule
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import SlotGrid
from CRONOSLib.methods.diffusion import Beside, Diffused, Diffusion, DiffusionSettings, Work
from CRONOSLib.networks.denoiser import DenoiserSettings, Guide, Stem
from CRONOSLib.networks.sequence_transformer import AttentionSpan, SequenceSettings, SequenceTransformer
from CRONOSLib.networks.time_embedding import TimeEmbedding, TimeSettings
from CRONOSLib.networks.unet import UNetSettings


class Frames(Enum):
    """What the sequence is made of.

    SCANS: the scans as they are, each told its own time: any number, at any times
    SLOTS: a grid of equidistant slots, each told its place; where a slot has no scan stands an image of zeros
    """

    SCANS = "scans"
    SLOTS = "slots"


class Rollout(Enum):
    """How a far target is reached.

    DIRECT:         at once
    AUTOREGRESSIVE: slots of the grid that lie between the first scan and the target and have no scan are sampled
                    first, one after the other, each from the scans and from what was sampled before it
    """

    DIRECT = "direct"
    AUTOREGRESSIVE = "autoregressive"


@dataclass(frozen=True)
class SadmSettings(DiffusionSettings):
    """Switches of SADM: the attention module, what it is told of time, and how a target is reached."""

    sequence: SequenceSettings = field(default_factory=SequenceSettings)
    time: TimeSettings = field(default_factory=TimeSettings)
    frames: Frames = Frames.SCANS
    rollout: Rollout = Rollout.DIRECT
    grid: SlotGrid = field(default_factory=SlotGrid)


class Sadm(Diffusion):
    """The conditioning volume c of the attention module guides the denoiser, beside the target's time."""

    def __init__(self, settings: SadmSettings | None = None) -> None:
        self.settings: SadmSettings
        settings = settings or SadmSettings()
        super().__init__(settings)
        channels, embedding = settings.network.channels, settings.network.unet.embedding
        self.time = TimeEmbedding(settings.time, embedding)
        self.sequence = SequenceTransformer(settings.sequence, channels, embedding)
        self.stem = Stem(channels * (1 + settings.beside.count), settings.network)

    def guide(self, batch: SeriesBatch) -> Guide:
        """The conditioning volume, the images beside it, and the time of the target."""
        frames = batch if self.settings.frames is Frames.SCANS else self._in_slots(batch)
        codes, embedding = self.time(frames.times, frames.mask, frames.target_time, torch.zeros_like(batch.target_time))
        volume = self.sequence(frames.images, frames.mask, codes)
        return Guide(self.stem(torch.cat([volume, *self.beside(batch)], dim=1)), embedding)

    def complete(self, batch: SeriesBatch, noise: SampleNoise, work: Work) -> SeriesBatch:
        """With the slots before the target that no scan fills, when sampling is autoregressive."""
        if self.settings.rollout is Rollout.DIRECT:
            return batch
        batch = _repeated(batch, noise.samples)
        missing = list(self._missing(batch))
        work.scans += len(missing)
        for slot, time, absent in missing:
            frame = self.draw(replace(batch, target_time=time), noise.of(slot), work)
            batch = replace(
                batch,
                images=torch.cat([batch.images, frame.unsqueeze(1)], dim=1),
                times=torch.cat([batch.times, time[:, None]], dim=1),
                mask=torch.cat([batch.mask, absent[:, None]], dim=1),
            ).without_padding
        return batch

    def _in_slots(self, batch: SeriesBatch) -> SeriesBatch:
        """A scan or zeros in every slot; none of them counts as padding, and every one has its time.

        On a grid that ends at the target, scans after it stand in no slot: in the last one they would pass for the
        target.
        """
        grid = self.settings.grid
        known = batch.mask if grid.after else batch.mask & (batch.times <= batch.target_time[:, None])
        scan = grid.scan_in_slot(replace(batch, mask=known))
        rows = torch.arange(len(scan), device=scan.device)[:, None]
        filled = (scan >= 0)[:, :, None, None, None, None]
        return replace(
            batch,
            images=torch.where(filled, batch.images[rows, scan.clamp(min=0)], 0),
            times=grid.times_of(batch.target_time),
            mask=torch.ones_like(scan, dtype=torch.bool),
        )

    def _missing(self, batch: SeriesBatch) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Number, time (B,) and absence (B,) of the slots before the target that some patient has no scan in."""
        grid = self.settings.grid
        times, scan = grid.times_of(batch.target_time), grid.scan_in_slot(batch)
        first = batch.times.masked_fill(~batch.mask, torch.inf).amin(dim=1)
        for slot in range(grid.before):
            absent = (scan[:, slot] < 0) & (times[:, slot] > first)
            if absent.any():
                yield slot + 1, times[:, slot], absent


def _repeated(batch: SeriesBatch, count: int) -> SeriesBatch:
    names = ("images", "times", "mask", "target_time")
    return replace(batch, target=None, **{name: getattr(batch, name).repeat_interleave(count, dim=0) for name in names})


def paper() -> SadmSettings:
    """As the paper describes it: whole images, zeros for missing scans, cosine log-SNR, 1000 ancestral steps, w = 0.1.

    The paper leaves open: size of the U-Net and of the attention module, share of dropped guides (0.1 as released) and
    variance of the ancestral steps (0.3, as in the work on guidance that it follows). Frames are merged by their mean
    here, by a convolution there. A slot is 8 weeks here; the paper numbers its frames. Scans after the target, which
    the paper never looks at, fill the slot behind it.
    """
    return SadmSettings(
        network=DenoiserSettings(patch=1, unet=UNetSettings(multipliers=(1, 1, 2, 4), attention=True)),
        prediction=Prediction.NOISE,
        sampler=Sampler("ancestral", steps=1000),
        diffused=Diffused.IMAGE,
        at_start=0.0,
        samples=1,
        guidance=0.1,
        bound=2.0,
        frames=Frames.SLOTS,
        rollout=Rollout.AUTOREGRESSIVE,
        beside=Beside.NOTHING,
    )


def release() -> SadmSettings:
    """The released code where its choices are its own: 400 linear steps, w = 0.2, joint attention, 11 slots, width 8.

    Tokens are cubes of 16 voxels, theirs 8 × 32 × 32 boxes. Not kept: the sign of the contexts, intensities in 0 … 1,
    batch normalisation, the untrained last step, attention whose size is tied to one image size, and that the scan
    before the target must be given. Scans after the target stand in no slot.
    """
    return replace(
        paper(),
        network=DenoiserSettings(patch=1, unet=UNetSettings(width=8, multipliers=(1, 2, 4))),
        schedule=DiffusionSchedule(Schedule.LINEAR, steps=400),
        sampler=Sampler("ancestral", steps=400, variance=1.0),
        guidance=0.2,
        sequence=SequenceSettings(patch=16, blocks=1, span=AttentionSpan.JOINT),
        rollout=Rollout.DIRECT,
        grid=SlotGrid(before=10, after=0),
    )


PRESETS: dict[str, Callable[[], SadmSettings]] = {"paper": paper, "release": release}
