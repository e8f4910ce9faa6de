"""Scalar and vector fields on grids in physical space: points, sampling, smoothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.imaging.grid import Grid


def centred_grid(
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centre: tuple[float, float, float],
    direction: np.ndarray | None = None,
) -> Grid:
    """Grid whose middle lies at `centre` (mm, LPS); `direction` (3, 3) has the grid's axes as columns."""
    axes = np.eye(3) if direction is None else direction
    to_corner = axes @ ((np.array(size) - 1) * np.array(spacing) / 2)
    origin = np.array(centre) - to_corner
    x, y, z = (float(value) for value in origin)
    return Grid(size, spacing, (x, y, z), tuple(float(value) for value in axes.ravel()))


def grid_points(grid: Grid, device: torch.device | str = "cpu") -> Tensor:
    """Centres of the voxels of `grid`: (D, H, W, 3), LPS, mm."""
    axes = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing)
    x, y, z = (torch.arange(n, dtype=torch.float32, device=device) for n in grid.size)
    index = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)
    return transform_points(index, axes, grid.origin)


def transform_points(points: Tensor, matrix: np.ndarray, offset: np.ndarray | tuple[float, ...]) -> Tensor:
    """The affine map matrix · p + offset of points (..., 3), mm."""
    matrix_t = torch.as_tensor(np.asarray(matrix).T.copy(), dtype=points.dtype, device=points.device)
    return points @ matrix_t + torch.as_tensor(offset, dtype=points.dtype, device=points.device)


def sample_field(field: Tensor, grid: Grid, points: Tensor, *, outside: str = "zeros") -> Tensor:
    """Trilinear values of `field` (C, D, H, W), which lives on `grid`, at `points` (d, h, w, 3): (C, d, h, w).

    outside: "zeros" or "border", what a point beyond the grid gets
    """
    axes = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing)
    half = (np.maximum(np.array(grid.size), 2) - 1) / 2
    to_unit = np.diag(1 / half) @ np.linalg.inv(axes)
    unit = transform_points(points, to_unit, -to_unit @ np.array(grid.origin) - 1)
    values = functional.grid_sample(field[None], unit[None], padding_mode=outside, align_corners=True)
    return values[0]


def blur(field: Tensor, sigma_voxels: float) -> Tensor:
    """Gaussian smoothing of `field` (C, D, H, W) along the three axes, edges repeated."""
    radius = max(1, math.ceil(3 * sigma_voxels))
    offsets = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_voxels) ** 2)
    kernel = kernel / kernel.sum()
    out = field[:, None]
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = -1
        padding = [0, 0, 0, 0, 0, 0]
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        out = functional.conv3d(functional.pad(out, padding, mode="replicate"), kernel.view(shape))
    return out[:, 0]


def smooth_noise(
    rng: np.random.Generator,
    channels: int,
    shape: tuple[int, int, int],
    sigma_voxels: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Gaussian random fields (C, D, H, W) of zero mean and unit deviation, drawn on the CPU on every device."""
    noise = torch.from_numpy(rng.standard_normal((channels, *shape), dtype=np.float32)).to(device)
    smooth = blur(noise, sigma_voxels)
    smooth = smooth - smooth.mean(dim=(1, 2, 3), keepdim=True)
    return smooth / smooth.std(dim=(1, 2, 3), keepdim=True)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) about x, then y, then z by three angles."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one fixed order: the number of threads must not change a voxel."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
