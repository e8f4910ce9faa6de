"""Displacement fields: warping, composing, inverting, and the exponential of a stationary velocity.

A field u is (N, 3, D, H, W) in voxels of its own grid, components along D, H, W. It stands for the map φ = id + u, and
an image carried by it is I ∘ φ: voxel x shows what lies at x + u(x).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SQUARINGS = 7
"""Of the exponential map, as in VoxelMorph: a velocity is first divided by 2⁷."""


def voxel_cloud(shape: Sequence[int], like: Tensor) -> Tensor:
    """(1, 3, D, H, W) voxel index of every voxel: the identity map."""
    axes = [torch.arange(size, dtype=like.dtype, device=like.device) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def normalised(points: Tensor) -> Tensor:
    """Points (N, 3, D, H, W) in voxels of their own grid as coordinates −1…1 between the outermost voxel centres."""
    return points * _per_axis([2 / max(size - 1, 1) for size in points.shape[2:]], points) - 1


def warp(images: Tensor, displacement: Tensor, *, nearest: bool = False) -> Tensor:
    """I ∘ φ, linear, or nearest for label maps; beyond the edge the outermost voxels go on.

    images:       (N, C, D, H, W), or (1, C, D, H, W) for all fields
    displacement: (N, 3, D, H, W), voxels
    """
    points = normalised(voxel_cloud(displacement.shape[2:], displacement) + displacement)
    return functional.grid_sample(
        images.expand(len(displacement), *images.shape[1:]),
        points.movedim(1, -1).flip(-1),
        mode="nearest" if nearest else "bilinear",
        padding_mode="border",
        align_corners=True,
    )


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Field of φ_outer ∘ φ_inner: u(x) = u_inner(x) + u_outer(x + u_inner(x)); all (N, 3, D, H, W)."""
    return inner + warp(outer, inner)


def exponential(velocity: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """Field of exp(v), the flow of a stationary velocity over unit time, by scaling and squaring (Arsigny 2006).

    velocity: (N, 3, D, H, W), voxels per unit time
    """
    displacement = velocity / 2**squarings
    for _ in range(squarings):
        displacement = compose(displacement, displacement)
    return displacement


def inverse(displacement: Tensor, iterations: int = 20) -> Tensor:
    """Field of φ⁻¹ by fixed-point iteration, v(y) = −u(y + v(y)) (Chen et al. 2008); converges where ‖∇u‖ < 1."""
    found = -displacement
    for _ in range(iterations):
        found = -warp(displacement, found)
    return found


def resized(displacement: Tensor, shape: Sequence[int]) -> Tensor:
    """The same map on another grid over the same field of view, in voxels of that grid; `shape` is its (D, H, W)."""
    if tuple(shape) == tuple(displacement.shape[2:]):
        return displacement
    ratio = [new / old for new, old in zip(shape, displacement.shape[2:])]
    field = functional.interpolate(displacement, tuple(shape), mode="trilinear", align_corners=False)
    return field * _per_axis(ratio, field)


def squared_gradient(displacement: Tensor) -> Tensor:
    """Mean of ‖∇u‖² by forward differences, voxels per voxel: how unevenly a field moves."""
    return torch.stack([displacement.diff(dim=axis).square().mean() for axis in (2, 3, 4)]).sum()


def squared_at_border(displacement: Tensor) -> Tensor:
    """Mean of ‖u‖² over the six faces of the grid, voxels²."""
    faces = [displacement.select(axis, end).square().sum(dim=1).mean() for axis in (2, 3, 4) for end in (0, -1)]
    return torch.stack(faces).mean()


def _per_axis(values: Sequence[float], like: Tensor) -> Tensor:
    return like.new_tensor(values).view(1, 3, 1, 1, 1)
