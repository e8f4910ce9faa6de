"""Arteries and veins of the brain as tubes in the template."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

_Line = tuple[tuple[float, float, float], ...]
_EDGE_MM = 1.0

_ARTERIES: tuple[tuple[float, _Line], ...] = (  # radius in mm; MNI coordinates of the left side, mirrored below
    (2.0, ((-9, 2, -22), (-10, 1, -15), (-22, 2, -17), (-34, 6, -14))),  # carotid end and first part of the middle
    (1.5, ((-34, 6, -14), (-42, -2, -6), (-42, -16, 6), (-46, -36, 22), (-50, -52, 32))),  # its branches
    (1.5, ((-34, 6, -14), (-42, 14, -2), (-46, 22, 14), (-46, 16, 34))),
    (1.4, ((-10, 1, -15), (-3, 10, -12), (-3, 36, -8), (-3, 42, 10), (-3, 28, 30), (-3, 0, 40), (-3, -30, 40))),
    (1.6, ((0, -30, -32), (0, -16, -14), (-12, -22, -12), (-22, -32, -6), (-16, -56, 2), (-10, -80, 6))),
)
_VEINS: tuple[tuple[float, _Line], ...] = (
    (3.4, ((0, 62, 22), (0, 44, 54), (0, 14, 70), (0, -20, 75), (0, -54, 66), (0, -82, 40), (0, -95, 8))),
    (2.4, ((0, -44, 6), (0, -66, 2), (0, -92, 4))),  # straight sinus
    (1.3, ((-3, 0, 14), (-3, -24, 10), (0, -44, 6))),  # internal cerebral vein
    (2.8, ((0, -92, 0), (-30, -84, -22), (-56, -58, -26))),  # transverse sinus
)


def vessel_fractions(template_points: Tensor) -> tuple[Tensor, Tensor]:
    """Share of arteries and of veins, 0 to 1, at points (..., 3) of the template (LPS, mm)."""
    mirrored = template_points * torch.tensor([-1.0, -1.0, 1.0], device=template_points.device)  # RAS
    folded = torch.cat([-mirrored[..., :1].abs(), mirrored[..., 1:]], dim=-1)
    return _fraction(folded, _ARTERIES), _fraction(folded, _VEINS)


def _fraction(points: Tensor, tubes: tuple[tuple[float, _Line], ...]) -> Tensor:
    depth = torch.full(points.shape[:-1], -torch.inf, device=points.device)
    for radius, line in tubes:
        for start, end in pairwise(line):
            depth = torch.maximum(depth, radius - _distance(points, start, end))
    return (depth / _EDGE_MM + 0.5).clamp(0, 1)


def _distance(points: Tensor, start: tuple[float, float, float], end: tuple[float, float, float]) -> Tensor:
    """Distance of points (..., 3) from a segment, mm."""
    first = torch.tensor(start, dtype=points.dtype, device=points.device)
    along = torch.tensor(end, dtype=points.dtype, device=points.device) - first
    share = ((points - first) @ along / (along @ along)).clamp(0, 1)
    away = points - first - share[..., None] * along
    return (away * away).sum(dim=-1).sqrt()
