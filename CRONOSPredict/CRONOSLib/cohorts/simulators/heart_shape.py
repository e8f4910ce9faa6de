"""A heart at end-diastole: left ventricle a truncated prolate ellipsoid, right ventricle a crescent beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DISEASES = ("normal", "dilated", "infarct", "hypertrophic", "right")
"""The five groups of ACDC: healthy, dilated, after an infarct, hypertrophic, abnormal right ventricle."""
RIGHT_BLOOD, MYOCARDIUM, LEFT_BLOOD = 1, 2, 3  # values of the label map, as in ACDC
_TRUNCATION = 0.35  # the base lies this share of the ellipsoid's half length above its widest part
_APEX_WALL = 0.6  # of the wall elsewhere
_VESTIBULE_WALL_MM, _VESTIBULE_MM = 3.0, 10.0
_RIGHT_CENTRE = 0.7  # of the epicardial radius, from the axis towards the septum
RIGHT_WALL_MM = 3.0


class Cylinder(NamedTuple):
    """Points about the long axis of the left ventricle: radius and height in mm, angle in radians.

    Height 0 is the base, the apex lies below; angle 0 points to the patient's left.
    """

    radius: Tensor
    angle: Tensor
    height: Tensor


def cylinder(points: Tensor) -> Cylinder:
    """Cylinder coordinates of points (..., 3), mm in the heart's frame."""
    x, y, z = points.unbind(-1)
    return Cylinder(torch.hypot(x, y), torch.atan2(y, x), z)


@dataclass(frozen=True)
class HeartShape:
    """End-diastole in the heart's frame, mm: the long axis along z, 0 at the base.

    cavity_mm:      largest radius of the left cavity
    length_mm:      from the base to the endocardial apex
    wall_mm:        thickness of the left wall
    septum_mm:      further thickness in the middle of the septum
    right_angle:    direction of the right ventricle, radians
    right_reach_mm: from the septum to the right free wall
    right_width_mm: half the extent of the right ventricle across that
    """

    cavity_mm: float
    length_mm: float
    wall_mm: float
    septum_mm: float
    right_angle: float
    right_reach_mm: float
    right_width_mm: float

    def cavity_squared(self, height: Tensor) -> Tensor:
        """Squared radius of the left cavity, 0 below its apex; constant above the base."""
        return self.cavity_mm**2 * self._profile(height, 0.0)

    def wall(self, angle: Tensor, height: Tensor) -> Tensor:
        """Radius of the left epicardium, mm, 0 below its apex; the thin vestibule above the base."""
        towards_septum = torch.cos(angle - self.right_angle).clamp(min=0)
        thickness = self.wall_mm + self.septum_mm * towards_septum**2
        myocardium = (self.cavity_mm + thickness) * self._profile(height, _APEX_WALL * self.wall_mm).sqrt()
        vestibule = self.cavity_squared(height).sqrt() + _VESTIBULE_WALL_MM
        return torch.lerp(myocardium, torch.minimum(vestibule, myocardium), smooth_step(height / _VESTIBULE_MM))

    def right_depth(self, place: Cylinder) -> Tensor:
        """How deep points lie inside the right epicardium, mm; negative outside. The left heart is not cut out."""
        scale = self.right_scale(place.height)
        turned = place.angle - self.right_angle
        along, across = place.radius * torch.cos(turned), place.radius * torch.sin(turned)
        centre = _RIGHT_CENTRE * (self.cavity_mm + self.wall_mm) * scale
        half_along = self.right_half_mm * scale
        half_across = self.right_width_mm * scale
        distance = torch.hypot((along - centre) / half_along, across / half_across)
        return (1 - distance) * torch.minimum(half_along, half_across)

    @property
    def right_half_mm(self) -> float:
        """Half the extent of the right ventricle along its direction, hidden part included."""
        return (1 - _RIGHT_CENTRE) * (self.cavity_mm + self.wall_mm) + self.right_reach_mm

    def right_scale(self, height: Tensor) -> Tensor:
        """Size of the right ventricle at a height, relative to the base; its apex lies above the left one."""
        depth = (-height / (0.92 * self.length_mm)).clamp(0, 1)
        return (1 - depth**2).sqrt().clamp(min=1e-3)

    def labels(self, place: Cylinder) -> Tensor:
        """Label map uint8: 1 right blood, 2 left myocardium, 3 left blood; nothing above the base."""
        wall = self.wall(place.angle, place.height)
        ventricle = place.height < 0
        left_blood = place.radius**2 < self.cavity_squared(place.height)
        labels = torch.zeros_like(place.radius, dtype=torch.uint8)
        labels[(self.right_depth(place) > RIGHT_WALL_MM) & ventricle] = RIGHT_BLOOD
        labels[(place.radius < wall) & ventricle] = MYOCARDIUM
        labels[left_blood & ventricle] = LEFT_BLOOD
        return labels

    def _profile(self, height: Tensor, longer_mm: float) -> Tensor:
        """Squared radius of the ellipsoid relative to its widest part, its apex lying `longer_mm` deeper."""
        half = self.length_mm / (1 + _TRUNCATION)
        middle = -_TRUNCATION * half
        return (1 - ((height.clamp(max=0) - middle) / (half + longer_mm)) ** 2).clamp(min=0)


_SIZES = {  # cavity radius, length, wall, septum in addition, right reach: mm
    "normal": ((22, 26), (76, 86), (7.5, 10), (0, 1.5), (20, 27)),
    "dilated": ((31, 36), (80, 90), (6, 8), (0, 1), (22, 29)),
    "infarct": ((26, 31), (78, 88), (7, 9), (0, 1), (20, 27)),
    "hypertrophic": ((19, 23), (72, 84), (13, 16), (2, 6), (18, 24)),
    "right": ((21, 25), (74, 84), (7.5, 10), (0, 1), (33, 40)),
}  # fmt: skip


def draw_shape(rng: np.random.Generator, disease: str) -> HeartShape:
    """A heart of one of the DISEASES."""
    cavity, length, wall, septum, reach = (float(rng.uniform(*bounds)) for bounds in _SIZES[disease])
    return HeartShape(
        cavity_mm=cavity,
        length_mm=length,
        wall_mm=wall,
        septum_mm=septum,
        right_angle=math.pi + float(rng.uniform(-0.35, 0.35)),
        right_reach_mm=reach,
        right_width_mm=float(rng.uniform(0.95, 1.1)) * (cavity + wall) + 0.15 * reach,
    )


def smooth_step(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, the cubic 3x² − 2x³ between."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
