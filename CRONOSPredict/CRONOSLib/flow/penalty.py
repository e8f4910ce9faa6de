"""How a difference from the target counts, and how much each patient does."""

from __future__ import annotations

from enum import Enum

from torch import Tensor


class Penalty(Enum):
    """What is made of a difference: its square, or its magnitude, which cares less for the largest."""

    SQUARED = "l2"
    ABSOLUTE = "l1"

    def __call__(self, difference: Tensor) -> Tensor:
        """Same shape as the difference."""
        return difference.square() if self is Penalty.SQUARED else difference.abs()


def relative_to_copying(error: Tensor, last: Tensor, target: Tensor, floor: float) -> Tensor:
    """(B,) errors of the patients, each × floor / (MSE of copying the last scan + floor); as they are for a floor of 0.

    So patients who change little teach as much as those who change a lot, as in the skill that is measured.

    error: (B,), any penalty
    last, target: (B, C, D, H, W), normalised intensity
    floor: normalised intensity²
    """
    if not floor:
        return error
    copying = ((last - target) ** 2).flatten(1).mean(dim=1)
    return error * floor / (copying + floor)
