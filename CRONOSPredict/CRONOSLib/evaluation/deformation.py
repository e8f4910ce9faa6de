"""Whether a displacement field folds space, and how unevenly it stretches it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CRONOSLib.errors import ImageError


@dataclass(frozen=True)
class Regularity:
    """What a deformation does to volume.

    folding_percent: voxels with det J ≤ 0, % of those that count
    sd_log_jacobian: standard deviation of log det J over the voxels that do not fold; 0 for every affine map
    """

    folding_percent: float
    sd_log_jacobian: float


def jacobian_determinant(displacement: ArrayLike) -> NDArray[np.float64]:
    """Volume change of x ↦ x + u(x): det J with J = I + ∇u by central differences, (D − 2, H − 2, W − 2).

    displacement: (3, D, H, W) in voxels, components along the axes D, H, W. The outermost voxels have no neighbour on
    one side and are left out. Raises ImageError when it is not such a field, or an axis is shorter than 3.
    """
    field = np.asarray(displacement, dtype=np.float64)
    if field.ndim != 4 or field.shape[0] != 3 or min(field.shape[1:]) < 3:
        raise ImageError(f"A displacement field is (3, D, H, W) with 3 voxels or more, but this one is {field.shape}.")
    inner = (slice(1, -1),) * 3
    rows = [np.stack([np.gradient(component, axis=axis)[inner] for axis in range(3)], axis=-1) for component in field]
    return np.linalg.det(np.stack(rows, axis=-2) + np.eye(3))


def regularity(displacement: ArrayLike, *, mask: ArrayLike | None = None) -> Regularity:
    """Folding and unevenness of a displacement field, as the tables of NODER report them.

    displacement: (3, D, H, W) in voxels; mask: (D, H, W), where it counts (default: everywhere but the border)
    Raises ImageError as `jacobian_determinant`, and when no inner voxel lies in the mask.
    """
    determinant = jacobian_determinant(displacement)
    if mask is not None:
        determinant = determinant[np.asarray(mask, dtype=bool)[1:-1, 1:-1, 1:-1]]
    if not determinant.size:
        raise ImageError("The mask is empty, so there is nothing to measure. Give a mask that covers some voxels.")
    unfolded = determinant[determinant > 0]
    spread = float(np.log(unfolded).std()) if unfolded.size else float("nan")
    return Regularity(100.0 * float(np.mean(determinant <= 0)), spread)
