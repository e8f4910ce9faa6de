"""Where voxels lie in space, and the grid a bundle works on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import BundleError, ImageError

_MAX_VOXELS = 2**27
"""More voxels than this in one grid need more memory than a forecast is worth."""


@dataclass(frozen=True)
class Grid:
    """Regular voxel grid in physical space (LPS, mm), axes in the order x, y, z.

    size:      voxels along each axis
    spacing:   mm from voxel centre to voxel centre along each axis
    origin:    mm, centre of the first voxel
    direction: direction cosines, row by row; column k is the unit vector of axis k
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid of an image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W) shape of an array on this grid: the axes in the order z, y, x."""
        width, height, depth = self.size
        return depth, height, width

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge lengths of the field of view in mm, from outer voxel face to outer voxel face."""
        return tuple(count * step for count, step in zip(self.size, self.spacing))  # type: ignore[return-value]

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre of the field of view, mm."""
        return tuple(self.point((np.array(self.size) - 1) / 2).tolist())

    def point(self, index: np.ndarray) -> np.ndarray:
        """(..., 3) physical points in mm of (..., 3) continuous voxel indices (x, y, z)."""
        return np.asarray(self.origin) + np.asarray(index, dtype=float) @ self._axes.T

    def index(self, point: np.ndarray) -> np.ndarray:
        """(..., 3) continuous voxel indices (x, y, z) of (..., 3) physical points in mm."""
        return (np.asarray(point, dtype=float) - self.origin) @ np.linalg.inv(self._axes).T

    def vector(self, step: np.ndarray) -> np.ndarray:
        """(..., 3) displacements in mm of (..., 3) displacements in voxels (x, y, z)."""
        return np.asarray(step, dtype=float) @ self._axes.T

    def contains(self, point: np.ndarray) -> np.ndarray:
        """(...) whether (..., 3) physical points in mm lie in the field of view."""
        index = self.index(point)
        return np.all((index >= -0.5) & (index <= np.array(self.size) - 0.5), axis=-1)

    def lattice(self, count: int) -> np.ndarray:
        """(count³, 3) physical points in mm spread evenly over the field of view."""
        steps = [(np.arange(count) + 0.5) / count * size - 0.5 for size in self.size]
        return self.point(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3))

    def coarser(self, spacing_mm: float) -> Grid:
        """The same field of view with voxels of at least `spacing_mm`; axes that are coarser already are kept."""
        counts = [
            max(1, math.floor(extent / max(step, spacing_mm) + 1e-6))
            for extent, step in zip(self.extent_mm, self.spacing)
        ]
        return self.divided(counts)

    def divided(self, counts: list[int] | tuple[int, ...]) -> Grid:
        """The same field of view divided into `counts` voxels along x, y, z."""
        spacing = np.array(self.extent_mm) / counts
        return self._within(np.zeros(3), tuple(counts), spacing)

    def to_image(self, array: np.ndarray | None = None) -> sitk.Image:
        """Image on this grid from a (D, H, W) array, or an empty float32 image."""
        values = np.zeros(self.shape, np.float32) if array is None else np.asarray(array)
        if values.shape != self.shape:
            raise ValueError(f"Array of shape {values.shape} on a grid of shape {self.shape}.")
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    @property
    def _axes(self) -> np.ndarray:
        """(3, 3) steps in mm from voxel to voxel; column k belongs to axis k."""
        return np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing)

    def _within(self, start_mm: np.ndarray, size: tuple[int, ...], spacing: np.ndarray) -> Grid:
        """Grid with the same axes whose outer corner lies `start_mm` along them from the outer corner of this one."""
        first = (start_mm + spacing / 2) / self.spacing - 0.5
        origin = self.point(first)
        return Grid(size, tuple(map(float, spacing)), tuple(origin.tolist()), self.direction)  # type: ignore[arg-type]


@dataclass(frozen=True)
class GridSpec:
    """How the grid of a bundle follows from the last scan.

    spacing_mm: voxel size in mm: of all axes, or of x, y, z (thick slices); None keeps the voxels of the last scan
    multiple:   every axis has a multiple of this many voxels, as the network's down-sampling needs
    max_size:   most voxels along x, y, z; a larger field of view is cropped around the foreground; None: no limit
    stretch_to: published compatibility: the whole field of view stretched to this many voxels along x, y, z,
                whatever their shape in mm (LUMIERE in CRONOS: 96 × 96 × 64); the other fields are then not used

    Raises BundleError when a value is not positive or `max_size` is smaller than `multiple`.
    """

    spacing_mm: float | tuple[float, float, float] | None = None
    multiple: int = 8
    max_size: tuple[int, int, int] | None = None
    stretch_to: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        spacing = () if self.spacing_mm is None else np.atleast_1d(self.spacing_mm)
        if self.multiple < 1 or len(spacing) == 2 or len(spacing) > 3 or not np.all(np.greater(spacing, 0)):
            raise BundleError(
                "The grid's spacing must be one or three positive numbers, its multiple positive. "
                "Correct the preprocessing settings."
            )
        for sizes, least in ((self.max_size, self.multiple), (self.stretch_to, 1)):
            if sizes is not None and (len(sizes) != 3 or min(sizes) < least):
                raise BundleError(
                    f"The grid size {tuple(sizes)} is not three numbers of at least {least}. "
                    "Correct the preprocessing settings."
                )


def grid_for(image: sitk.Image, spec: GridSpec, foreground: sitk.Image | None = None) -> Grid:
    """The grid on which a series with this last scan is forecast.

    It keeps the direction cosines of the scan and covers its field of view, centred on it. Where `max_size` is
    smaller than the field of view, the grid is centred on the foreground as far as it stays inside.
    With the scan's own voxels (`spacing_mm` None) the voxels of both grids coincide.

    image:      the last scan
    foreground: mask on the scan's grid; None centres on the field of view

    Raises ImageError when the grid would have more than 2²⁷ voxels.
    """
    scan = Grid.of(image)
    if spec.stretch_to is not None:
        return scan.divided(spec.stretch_to)
    spacing = np.broadcast_to(scan.spacing if spec.spacing_mm is None else spec.spacing_mm, 3)
    extent = np.array(scan.extent_mm)
    size = _round_up(extent / spacing, spec.multiple)
    if spec.max_size is not None:
        size = np.minimum(size, np.array(spec.max_size) // spec.multiple * spec.multiple)
    if math.prod(size.tolist()) > _MAX_VOXELS:
        raise ImageError(
            f"The scan measures {' × '.join(f'{edge:.0f}' for edge in extent)} mm, too much for voxels of "
            f"{' × '.join(f'{edge:g}' for edge in spacing)} mm. Check its spacing, or crop it."
        )
    start = _start(extent, size * spacing, _centre_mm(scan, foreground))
    if spec.spacing_mm is None:
        start = np.round(start / spacing) * spacing
    return scan._within(start, tuple(size.tolist()), spacing)


def _round_up(counts: np.ndarray, multiple: int) -> np.ndarray:
    whole = np.ceil(counts - 1e-6)
    return (np.ceil(whole / multiple) * multiple).astype(int)


def _start(extent: np.ndarray, length: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Where the grid begins, mm from the scan's outer corner: centred on the scan, or on `centre` where it crops."""
    cropped = np.clip(centre - length / 2, 0, np.maximum(extent - length, 0))
    return np.where(length >= extent, (extent - length) / 2, cropped)


def _centre_mm(scan: Grid, foreground: sitk.Image | None) -> np.ndarray:
    """Centroid of the foreground, mm from the scan's outer corner along its axes."""
    found = None if foreground is None else np.argwhere(sitk.GetArrayViewFromImage(foreground))
    if found is None or not len(found):
        return np.array(scan.extent_mm) / 2
    return (found.mean(axis=0)[::-1] + 0.5) * scan.spacing
