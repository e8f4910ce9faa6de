"""What a chest looks like on balanced cine MRI: bright blood and fat, grey muscle, dark lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.fields import centred_grid, sample_field, smooth_noise
from CRONOSLib.cohorts.simulators.heart_shape import RIGHT_WALL_MM, Cylinder, HeartShape
from CRONOSLib.imaging.grid import Grid

_EDGE_MM = 1.6  # width of the transition between two tissues
_FINE_MM, _COARSE_MM = 3.5, 12.0


@dataclass(frozen=True)
class Chest:
    """What lies around one patient's heart, mm in the heart's frame, and the signal of every tissue.

    wall:   centre (x, y) and half depth of the inner surface of the chest wall, which is 1.3 times as wide
    fat_mm: thickness of the muscle before the fat beneath the skin
    liver:  centre (x, y, z) and half axes of an ellipsoid
    aorta:  centre (x, y) and radius
    papillary: angle and radius relative to the cavity's of the two papillary muscles
    blood, muscle, fat, liver_signal, lung: signal, blood about 0.9
    pad_mm: thickness of the fat around the heart
    texture: fine and coarse noise (2, D, H, W) of unit deviation on `grid`, fixed to the tissue
    """

    wall: tuple[float, float, float]
    fat_mm: float
    liver: tuple[float, float, float, float, float, float]
    aorta: tuple[float, float, float]
    papillary: tuple[tuple[float, float], tuple[float, float]]
    blood: float
    muscle: float
    fat: float
    liver_signal: float
    lung: float
    pad_mm: float
    texture: Tensor
    grid: Grid

    def signal(self, shape: HeartShape, place: Cylinder) -> Tensor:
        """Signal (d, h, w) of the tissues whose places at end-diastole are given, each (d, h, w)."""
        x, y = place.radius * torch.cos(place.angle), place.radius * torch.sin(place.angle)
        points = torch.stack([x, y, place.height], dim=-1)
        fine, coarse = sample_field(self.texture, self.grid, points, outside="border")
        return self._heart(shape, place, x, y, fine, coarse, self._around(x, y, place.height, fine, coarse))

    def _around(self, x: Tensor, y: Tensor, z: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """Lung, chest wall, liver and aorta."""
        signal = self.lung * (1 + 0.5 * coarse) + 0.35 * _within(fine - 1.7, 0.8)  # lung and its vessels
        centre_x, centre_y, radius = self.wall
        depth = torch.hypot((x - centre_x) / 1.3, y - centre_y) - radius
        signal = _over(signal, self.muscle * (0.85 + 0.10 * fine), depth)
        signal = _over(signal, self.fat * (1 + 0.06 * coarse), depth - self.fat_mm)
        *middle, half_x, half_y, half_z = self.liver
        distance = (
            ((x - middle[0]) / half_x) ** 2 + ((y - middle[1]) / half_y) ** 2 + ((z - middle[2]) / half_z) ** 2
        ).sqrt()
        liver = self.liver_signal * (1 + 0.06 * coarse) + 0.2 * _within(fine - 2.0, 0.6)
        signal = _over(signal, liver, (1 - distance) * half_y)
        aorta_x, aorta_y, aorta_radius = self.aorta
        inside_aorta = aorta_radius - torch.hypot(x - aorta_x, y - aorta_y)
        signal = _over(signal, self.muscle * torch.ones_like(signal), inside_aorta + 1.5)
        return _over(signal, self.blood * (0.95 + 0.03 * coarse), inside_aorta)

    def _heart(
        self, shape: HeartShape, place: Cylinder, x: Tensor, y: Tensor, fine: Tensor, coarse: Tensor, signal: Tensor
    ) -> Tensor:
        muscle = self.muscle * (1 + 0.06 * fine + 0.04 * coarse)
        blood = self.blood * (1 + 0.035 * coarse)
        below = 4 * (-place.height - shape.length_mm).clamp(min=0)  # beyond the apex nothing of the heart is near
        left = shape.wall(place.angle, place.height) - place.radius - below
        right = shape.right_depth(place) - below
        pad = torch.maximum(left, right) + self.pad_mm * (1 + 1.2 * coarse).clamp(min=0)
        signal = _over(signal, self.fat * (0.95 + 0.05 * fine), pad)
        trabeculae = 1.2 * fine.clamp(min=-1)
        signal = _over(signal, muscle, right)
        signal = _over(signal, blood, right - RIGHT_WALL_MM + trabeculae)
        signal = _over(signal, muscle, left)
        cavity = shape.cavity_squared(place.height).sqrt()
        signal = _over(signal, blood, cavity - place.radius + 0.3 * trabeculae)
        return _over(signal, muscle, self._papillary(shape, place.height, x, y))

    def _papillary(self, shape: HeartShape, height: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Depth inside the papillary muscles, mm; they stand in the middle of the ventricle."""
        cavity = shape.cavity_squared(height).sqrt()
        up = height / shape.length_mm + 1
        thickness = 0.14 * shape.cavity_mm - 40 * ((up - 0.45).abs() - 0.15).clamp(min=0)
        depths = [
            thickness - torch.hypot(x - share * cavity * np.cos(angle), y - share * cavity * np.sin(angle))
            for angle, share in self.papillary
        ]
        return torch.maximum(*depths)


def draw_chest(rng: np.random.Generator, shape: HeartShape, device: torch.device | str = "cpu") -> Chest:
    """The surroundings of a heart."""

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    outer = shape.cavity_mm + shape.wall_mm
    grid = centred_grid((64, 64, 40), (4.0, 4.0, 4.0), (-10.0, 0.0, -40.0))
    texture = [smooth_noise(rng, 1, grid.shape, mm / 4.0, device) for mm in (_FINE_MM, _COARSE_MM)]
    middle = draw(25, 45)
    front = max(outer, shape.right_width_mm)
    liver_half = (draw(55, 75), draw(36, 50), draw(70, 100))
    return Chest(
        wall=(draw(-15, 0), middle, middle + front + draw(1, 8)),
        fat_mm=draw(10, 18),
        liver=(draw(-50, -25), outer + liver_half[1] + draw(2, 8), draw(-80, -60), *liver_half),
        aorta=(draw(18, 34), outer + draw(16, 28), draw(10, 13)),
        papillary=((draw(-1.0, -0.6), draw(0.60, 0.70)), (draw(1.3, 1.9), draw(0.60, 0.70))),
        blood=draw(0.82, 0.98),
        muscle=draw(0.26, 0.36),
        fat=draw(0.75, 1.0),
        liver_signal=draw(0.36, 0.48),
        lung=draw(0.04, 0.08),
        pad_mm=draw(0.5, 2.5),
        texture=torch.cat(texture),
        grid=grid,
    )


def _within(value: Tensor, width: float) -> Tensor:
    """0 below 0, 1 above `width`, a ramp between."""
    return (value / width).clamp(0, 1)


def _over(below: Tensor, above: Tensor, depth_mm: Tensor) -> Tensor:
    """One tissue painted over another where the depth is positive."""
    return torch.lerp(below, above, (depth_mm / _EDGE_MM + 0.5).clamp(0, 1))
