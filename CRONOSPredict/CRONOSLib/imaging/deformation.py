"""A displacement field of voxels as a transform of physical space."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from CRONOSLib.imaging.grid import Grid


def displacement_transform(displacement: np.ndarray, grid: Grid) -> sitk.DisplacementFieldTransform:
    """The transform x ↦ x + u(x) between points in mm; the identity outside the grid.

    displacement: (3, D, H, W) in voxels of `grid`, components along D, H, W
    """
    vectors = grid.vector(np.moveaxis(displacement, 0, -1)[..., ::-1])
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return sitk.DisplacementFieldTransform(image)
