"""Longitudinal patients made from single scans: structures that grow or shrink, and change their brightness.

The idea is that of the label-guided augmentation LAUGEN in the released CRONOS code: move a boundary along its own
gradient, by an amount that follows time. There a segmentation marks the structure; here it is what stands out of its
surroundings in a ball around a random voxel of the body, so that no label is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.flow.series_batch import SeriesBatch

_RADIUS = (0.08, 0.25)  # of the ball, as a share of the field of view
_GROWTH = 0.04  # standard deviation of the boundary's way over the whole series, as a share of the field of view
_BRIGHTENING = 0.15  # standard deviation of the change of normalised intensity over the whole series
_POWER = (0.5, 2.0)  # of the course in time
_BODY = 0.1  # normalised intensity above which a voxel may be the centre of a ball


def with_synthetic_change(
    batch: SeriesBatch, share: float, generator: torch.Generator, single: Sequence[bool] = ()
) -> SeriesBatch:
    """The batch with a share of its patients replaced by their last scan, grown backwards and forwards in time.

    The last scan stays as it is, the others and the target lie at their real times. On the device of `batch`.

    generator: on the CPU
    single:    patients that are replaced in any case, one for each; () for none
    """
    assert batch.target is not None
    images, target = batch.images.clone(), batch.target.clone()
    chosen = torch.rand(len(images), generator=generator) < share
    if single:
        chosen |= torch.tensor(single)
    for row in torch.nonzero(chosen).flatten().tolist():
        times = torch.cat([batch.times[row], batch.target_time[row : row + 1]])
        known = torch.cat([batch.mask[row], batch.mask.new_ones(1)])
        grown = _course(batch.last_image[row], times - batch.last_time[row], known, generator)
        images[row], target[row] = grown[:-1], grown[-1]
    return replace(batch, images=images, target=target)


def _course(scan: Tensor, since: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
    """(T, C, D, H, W) the scan (C, D, H, W) at the times (T,) `since` it was taken; `known` (T,) leaves padding out."""
    structure = _structure(scan.mean(dim=0), generator)
    outward = -_gradient(structure)
    outward = outward / outward.norm(dim=0).max().clamp(min=1e-6)
    growth, brightening = (torch.randn(2, generator=generator) * torch.tensor([_GROWTH, _BRIGHTENING])).tolist()
    power = _uniform(_POWER, generator)
    longest = torch.where(known, since.abs(), 0).max().clamp(min=1e-6)
    course = since.sign() * (since.abs() / longest) ** power
    identity = functional.affine_grid(torch.eye(3, 4)[None], [1, 1, *scan.shape[1:]], align_corners=False).to(scan)
    return torch.stack(
        [
            _moved(scan, identity, 2 * growth * amount * outward) + brightening * amount * structure
            for amount in course.unbind()
        ]
    )


def _moved(scan: Tensor, identity: Tensor, way: Tensor) -> Tensor:
    """(C, D, H, W) `scan` whose content has gone `way` (3, D, H, W; x, y, z, as `grid_sample` counts)."""
    places = identity - way.permute(1, 2, 3, 0)
    return functional.grid_sample(scan[None], places, padding_mode="border", align_corners=False)[0]


def _structure(scan: Tensor, generator: torch.Generator) -> Tensor:
    """(D, H, W) from 0 to 1: what differs from the mean brightness of a ball around a random voxel of the body."""
    places = torch.nonzero(scan > _BODY)
    if not len(places):
        places = torch.tensor([[length // 2 for length in scan.shape]], device=scan.device)
    centre = places[int(torch.randint(len(places), (1,), generator=generator))]
    radius = _uniform(_RADIUS, generator)
    axes = [
        (torch.arange(length, device=scan.device) - middle) / (radius * length)
        for length, middle in zip(scan.shape, centre.tolist())
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    ball = torch.exp(-0.5 * (z**2 + y**2 + x**2) * 2)
    smooth = functional.avg_pool3d(scan[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
    mean = (ball * smooth).sum() / ball.sum()
    deviation = ((ball * (smooth - mean) ** 2).sum() / ball.sum()).sqrt().clamp(min=1e-3)
    sign = 1 if torch.rand(1, generator=generator) < 0.5 else -1
    return ball * torch.sigmoid(4 * sign * (smooth - mean) / deviation)


def _gradient(values: Tensor) -> Tensor:
    """(3, D, H, W) slope along x, y, z of (D, H, W) values, per share of the field of view."""
    slopes = torch.gradient(values)
    return torch.stack([slope * length for slope, length in zip(slopes, values.shape)]).flip(0)


def _uniform(between: tuple[float, float], generator: torch.Generator) -> float:
    low, high = between
    return low + (high - low) * float(torch.rand(1, generator=generator))
