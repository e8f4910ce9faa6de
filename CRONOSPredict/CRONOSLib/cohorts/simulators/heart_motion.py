"""How a heart beats: a diffeomorphism that keeps the volume of the left wall exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.heart_shape import Cylinder, HeartShape, cylinder, smooth_step

_ATRIUM_MM = 60.0  # above the base, over which its descent fades
_BESIDE_MM = 45.0  # beside the left ventricle, over which descent and twist fade
_INWARD_MM = 18.0  # beside the left ventricle, over which its inward motion fades
_PROFILE = (0.34, 0.40, 0.30)  # contraction at apex, middle and base relative to each other (METHODS 13.4)
_HEIGHTS, _ANGLES = 200, 72  # samples of the cavity where its volume is summed


@dataclass(frozen=True)
class Scar:
    """A sector of the left wall that contracts less.

    angle:      its middle, radians
    half_width: radians
    severity:   share of the contraction that is lost, 0 to 1
    """

    angle: float
    half_width: float
    severity: float

    def loss(self, angle: Tensor) -> Tensor:
        """Share of the contraction lost at an angle."""
        away = torch.atan2(torch.sin(angle - self.angle), torch.cos(angle - self.angle)).abs()
        return self.severity * smooth_step(1.5 - away / self.half_width)


@dataclass(frozen=True)
class HeartMotion:
    """Motion from end-diastole (activation 0) to end-systole (activation 1).

    The map from a place at some activation to its place at end-diastole (R, Θ, Z) is, in the left wall,

        Z = z + d(z),  Θ = θ − α(Z),  R² = λ r² + R_endo² (1 − λ ρ²),  λ = dz/dZ

    with ρ the cavity's radius relative to end-diastole. Its Jacobian (R/r)(∂R/∂r)(dZ/dz) is 1 whatever ρ, α and λ:
    the wall keeps its volume and thickens because it shortens and its cavity narrows. Inside the cavity R = r/ρ;
    outside, the motion fades with the distance to the wall, and the right free wall moves towards the septum.

    contraction:    greatest relative decrease of the left cavity's radius, in the middle of the ventricle
    shortening_mm:  descent of the base towards the apex
    twist_degrees:  turn of the apex and of the base about the axis
    right_share:    inward motion of the right free wall, relative to its distance from the septum
    """

    shape: HeartShape
    contraction: float
    shortening_mm: float
    twist_degrees: tuple[float, float]
    right_share: float
    scar: Scar | None = None

    def at_end_diastole(self, points: Tensor, activation: float) -> Cylinder:
        """Where the tissue at `points` (..., 3), mm in the heart's frame, lies at end-diastole."""
        shape, (radius, angle, height) = self.shape, cylinder(points)
        descent, slope = self._descent(height, activation)
        stretch = 1 / (1 + slope)  # λ
        at_wall = height + descent  # Z
        turn = self._turn(at_wall, activation)
        ratio = self._ratio(angle - turn, at_wall, activation)  # ρ
        cavity = shape.cavity_squared(at_wall)
        displaced = cavity * (1 - stretch * ratio**2)
        wall = shape.wall(angle - turn, at_wall)
        edge = ((wall**2 - displaced).clamp(min=0) / stretch).sqrt()
        beyond = (radius - edge).clamp(min=0)
        fade = torch.exp(-((beyond / _BESIDE_MM) ** 2))
        angle, height = angle - fade * turn, height + fade * descent
        inside = radius < ratio * cavity.sqrt()
        in_wall = (stretch * radius**2 + displaced).clamp(min=0).sqrt()
        around = radius + (wall - edge) * torch.exp(-beyond / _INWARD_MM)
        around = around + self._right(beyond, angle, height, activation)
        return Cylinder(torch.where(inside, radius / ratio, torch.where(beyond > 0, around, in_wall)), angle, height)

    def displacement(self, points: Tensor, activation: float) -> Tensor:
        """From `points` (..., 3) to where their tissue lies at end-diastole, mm: what warps the first frame."""
        radius, angle, height = self.at_end_diastole(points, activation)
        return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle), height], dim=-1) - points

    def cavity_ml(self, activation: float) -> float:
        """Volume of the left cavity below the base, ml."""
        length = self.shape.length_mm
        height = -(torch.arange(_HEIGHTS, dtype=torch.float64) + 0.5) / _HEIGHTS * length
        angle = torch.arange(_ANGLES, dtype=torch.float64) * (2 * math.pi / _ANGLES)
        descent, _ = self._descent(height, activation)
        at_end_diastole = (height + descent)[:, None]
        ratio = self._ratio(angle[None], at_end_diastole, activation)
        area = self.shape.cavity_squared(at_end_diastole) * ratio**2 * (at_end_diastole < 0)
        return float(math.pi * area.mean(dim=1).sum()) * length / _HEIGHTS / 1000

    @property
    def ejection_fraction(self) -> float:
        """1 − end-systolic volume ÷ end-diastolic volume of the left cavity."""
        return 1 - self.cavity_ml(1.0) / self.cavity_ml(0.0)

    def _ratio(self, angle: Tensor, height: Tensor, activation: float) -> Tensor:
        """Radius of the cavity relative to end-diastole; the atrium keeps its own."""
        apex, middle, base = _PROFILE
        up = (1 + height / self.shape.length_mm).clamp(0, 1)
        profile = torch.where(up < 0.5, apex + (middle - apex) * smooth_step(2 * up),
                              middle + (base - middle) * smooth_step(2 * up - 1)) / middle  # fmt: skip
        profile = profile * (1 - smooth_step(height / 15.0))
        if self.scar:
            profile = profile * (1 - self.scar.loss(angle))
        return 1 - activation * self.contraction * profile

    def _descent(self, height: Tensor, activation: float) -> tuple[Tensor, Tensor]:
        """Displacement d(z) towards the base at end-diastole, mm, and its slope; 0 at the apex and far above."""
        amount = activation * self.shortening_mm
        length = self.shape.length_mm - amount
        up, above = (height + self.shape.length_mm) / length, (height + amount) / _ATRIUM_MM
        descent = amount * (smooth_step(up) - smooth_step(above))
        slope = amount * (_step_slope(up) / length - _step_slope(above) / _ATRIUM_MM)
        return descent, slope

    def _turn(self, height: Tensor, activation: float) -> Tensor:
        apex, base = np.deg2rad(self.twist_degrees)
        up = smooth_step(1 + height / self.shape.length_mm)
        return activation * (apex + (base - apex) * up)

    def _right(self, beyond: Tensor, angle: Tensor, height: Tensor, activation: float) -> Tensor:
        """How much farther out the tissue beside the septum was, mm: most of it at the right free wall."""
        reach = (self.shape.right_reach_mm * self.shape.right_scale(height)).clamp(min=1.0)
        facing = torch.cos(angle - self.shape.right_angle).clamp(min=0)
        return activation * self.right_share * facing * beyond * torch.exp((1 - (beyond / reach) ** 2) / 2)


def _step_slope(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return 6 * x * (1 - x)


_FUNCTION = {  # ejection fraction, shortening in mm, share of the right ventricle
    "normal": ((0.55, 0.70), (12, 16), (0.38, 0.46)),
    "dilated": ((0.15, 0.38), (4, 9), (0.22, 0.40)),
    "infarct": ((0.22, 0.40), (5, 10), (0.34, 0.44)),
    "hypertrophic": ((0.58, 0.75), (9, 14), (0.38, 0.46)),
    "right": ((0.52, 0.66), (10, 14), (0.10, 0.22)),
}  # fmt: skip


def draw_motion(rng: np.random.Generator, shape: HeartShape, disease: str) -> HeartMotion:
    """The beat of a heart of one of the DISEASES; the contraction is the one that gives the drawn ejection fraction."""
    ejection, shortening, right = (float(rng.uniform(*bounds)) for bounds in _FUNCTION[disease])
    twist = float(rng.uniform(10, 15)) * min(1.0, ejection / 0.55)
    width, severity = float(rng.uniform(0.7, 1.3)), float(rng.uniform(0.75, 1.0))
    scar = Scar(float(rng.uniform(-math.pi, math.pi)), width, severity) if disease == "infarct" else None
    motion = HeartMotion(shape, 0.0, shortening, (0.7 * twist, -0.3 * twist), right, scar)
    return replace(motion, contraction=_contraction_for(motion, ejection))


def _contraction_for(motion: HeartMotion, ejection: float) -> float:
    """By bisection: the ejection fraction rises with the contraction."""
    low, high = 0.0, 0.75
    for _ in range(24):
        middle = (low + high) / 2
        below = replace(motion, contraction=middle).ejection_fraction < ejection
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2
