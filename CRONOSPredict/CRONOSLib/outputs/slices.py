"""The slice of a volume that shows most, the way radiologists look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

_THICK = 1.5
"""A spacing this many times the smallest one is a slice thickness; slices are then shown as they were acquired."""

_PLANES = ("sagittal", "coronal", "axial")
_EDGES = (("A", "P", "S", "I"), ("R", "L", "S", "I"), ("R", "L", "A", "P"))
"""Left, right, top, bottom edge of a slice across x, y, z of an image in LPS order, seen by radiological convention."""


@dataclass(frozen=True)
class View:
    """One plane through images that share a grid.

    axis:  0 sagittal, 1 coronal, 2 axial (across x, y, z of the image in LPS order)
    index: slice along it
    """

    axis: int
    index: int
    count: int

    @classmethod
    def where_most(cls, interest: sitk.Image) -> View:
        """The slice with most of a non-negative image: along the thick axis, else axial."""
        image = sitk.DICOMOrient(interest, "LPS")
        spacing = image.GetSpacing()
        axis = int(np.argmax(spacing)) if max(spacing) > _THICK * min(spacing) else 2
        values = sitk.GetArrayViewFromImage(image).sum(axis=_other_array_axes(axis))
        return cls(axis, int(np.argmax(values)), image.GetSize()[axis])

    @property
    def plane(self) -> str:
        """Name of the plane."""
        return _PLANES[self.axis]

    @property
    def edges(self) -> tuple[str, str, str, str]:
        """Anatomical directions at the left, right, top and bottom edge; R is the patient's right."""
        return _EDGES[self.axis]

    def pixels(self, image: sitk.Image) -> np.ndarray:
        """(rows, columns) of the slice, the first row on top."""
        oriented = sitk.DICOMOrient(image, "LPS")
        pixels = sitk.GetArrayFromImage(oriented).take(self.index, axis=2 - self.axis)
        return pixels if self.axis == 2 else pixels[::-1]

    def extent_mm(self, image: sitk.Image) -> tuple[float, float]:
        """Width and height of the slice in mm."""
        oriented = sitk.DICOMOrient(image, "LPS")
        lengths = [size * step for size, step in zip(oriented.GetSize(), oriented.GetSpacing())]
        width, height = (length for axis, length in enumerate(lengths) if axis != self.axis)
        return width, height


def most_interesting(candidates: Sequence[sitk.Image]) -> View:
    """View of the first image that is not zero everywhere; the last one decides when all but it are."""
    for image in candidates:
        if sitk.GetArrayViewFromImage(image).any():
            return View.where_most(sitk.Abs(image))
    return View.where_most(sitk.Abs(candidates[-1]))


def _other_array_axes(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != 2 - axis)
