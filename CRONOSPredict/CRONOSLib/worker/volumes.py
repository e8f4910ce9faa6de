"""Volumes as files: an uncompressed array on disk, its place in space in the message."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CRONOSLib.imaging.grid import Grid


@dataclass(frozen=True)
class VolumeFile:
    """A scalar 3D volume: path of a .npy file of shape (D, H, W), and where its voxels lie to the last bit."""

    path: Path
    grid: Grid


def write_file(image: sitk.Image, path: Path) -> VolumeFile:
    """Write the voxels of a 3D image as they are. Raises OSError when the disk is full or cannot be written."""
    np.save(path, sitk.GetArrayViewFromImage(image), allow_pickle=False)
    return VolumeFile(path, Grid.of(image))


def read_file(volume: VolumeFile) -> sitk.Image:
    """The image of a file that `write_file` wrote. Raises OSError or ValueError when it is gone or damaged."""
    return volume.grid.to_image(np.load(volume.path, allow_pickle=False))
