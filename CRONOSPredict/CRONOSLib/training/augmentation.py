"""Training patients varied on the device that trains: the same geometry for all scans of a patient and its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.training.settings import AugmentationSettings
from CRONOSLib.training.synthetic import with_synthetic_change

_CONTROL_POINTS = 5  # along each axis, of the smooth displacement


def augment(
    batch: SeriesBatch,
    settings: AugmentationSettings,
    generator: torch.Generator,
    single: Sequence[bool] = (),
) -> SeriesBatch:
    """A varied batch, on the device of `batch`.

    generator: on the CPU, so that every device draws the same amounts
    single:    whose change has to be made up, one for each patient; () for nobody's
    """
    assert batch.target is not None
    if settings.synthetic:
        batch = with_synthetic_change(batch, settings.synthetic, generator, single)
    if settings.flip:
        batch = _flipped(batch, torch.rand(len(batch.images), generator=generator) < 0.5)
    if settings.rotation or settings.scale or settings.shift or settings.elastic:
        batch = _resampled(batch, sampling_grid(batch.images.shape, settings, generator))
    if settings.gain or settings.bias:
        batch = _rescaled(batch, settings, generator)
    if settings.noise:
        noise = torch.randn(batch.images.shape, generator=generator).to(batch.images)
        batch = replace(batch, images=batch.images + settings.noise * noise)
    return batch.without_padding


def _flipped(batch: SeriesBatch, chosen: Tensor) -> SeriesBatch:
    """The patients in `chosen` (B,) mirrored along the last axis."""
    assert batch.target is not None
    images, target = batch.images.clone(), batch.target.clone()
    images[chosen], target[chosen] = images[chosen].flip(-1), target[chosen].flip(-1)
    return replace(batch, images=images, target=target)


def sampling_grid(shape: torch.Size, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """(B, D, H, W, 3) where each voxel of the varied scans is taken from, as `grid_sample` counts: −1 … 1, x first.

    shape: (B, T, C, D, H, W) of the images
    """
    count, size = shape[0], shape[3:]
    affine = _affine(count, size, settings, generator)
    grid = functional.affine_grid(affine, [count, 1, *size], align_corners=False)
    if settings.elastic:
        lattice = torch.randn(count, 3, *(_CONTROL_POINTS,) * 3, generator=generator)
        smooth = functional.interpolate(lattice, size=size, mode="trilinear", align_corners=True)
        grid = grid + 2 * settings.elastic * smooth.permute(0, 2, 3, 4, 1)
    return grid


def _affine(count: int, size: torch.Size, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """(B, 3, 4) random rotation about z, scaling and shift in the coordinates of `grid_sample`."""

    def uniform(*of: int) -> Tensor:
        return 2 * torch.rand(count, *of, generator=generator) - 1

    angle = math.radians(settings.rotation) * uniform()
    sine, cosine, aspect = angle.sin(), angle.cos(), size[1] / size[2]
    affine = torch.zeros(count, 3, 4)
    affine[:, 0, 0], affine[:, 0, 1] = cosine, -sine * aspect
    affine[:, 1, 0], affine[:, 1, 1] = sine / aspect, cosine
    affine[:, 2, 2] = 1
    affine *= (1 + settings.scale * uniform())[:, None, None]
    affine[:, :, 3] = 2 * settings.shift * uniform(3)
    return affine


def _resampled(batch: SeriesBatch, grid: Tensor) -> SeriesBatch:
    """All scans and the target of a patient taken from the same places, linearly; the border goes on outside."""
    assert batch.target is not None
    scans = batch.images.shape[1]
    stacked = torch.cat([batch.images, batch.target.unsqueeze(1)], dim=1)
    moved = functional.grid_sample(
        stacked.flatten(1, 2), grid.to(stacked), mode="bilinear", padding_mode="border", align_corners=False
    ).view_as(stacked)
    return replace(batch, images=moved[:, :scans], target=moved[:, scans])


def _rescaled(batch: SeriesBatch, settings: AugmentationSettings, generator: torch.Generator) -> SeriesBatch:
    """A gain and a bias for each scan; the target is seen as the last context is, as in a forecast."""
    assert batch.target is not None
    shape = batch.times.shape
    gain = (settings.gain * torch.randn(shape, generator=generator)).exp().to(batch.images)
    bias = (settings.bias * torch.randn(shape, generator=generator)).to(batch.images)
    rows, last = torch.arange(shape[0], device=batch.images.device), batch.last_index

    def applied(images: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        spread = (...,) + (None,) * 4
        return images * gain[spread] + bias[spread]

    return replace(
        batch,
        images=applied(batch.images, gain, bias),
        target=applied(batch.target, gain[rows, last], bias[rows, last]),
    )
