"""Volume nodes as images in physical space, and images as volume nodes."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from CRONOSLib.errors import ImageError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""SimpleITK counts mm towards left, posterior, superior; Slicer towards right, anterior, superior."""

_SAMPLE = 500_000
"""Voxels that statistics look at: the window must not wait for all of them."""

_SHEAR_TOLERANCE = 1e-6
"""Largest cosine between two axes of a volume that still counts as a right angle."""


def image_of(node: slicer.vtkMRMLScalarVolumeNode) -> sitk.Image:
    """Image of a volume node in world space (LPS, mm), with its own copy of the voxels; the node is left as it is.

    Parent transforms are honoured: a linear one that keeps right angles moves the geometry and no voxel is
    interpolated; any other is hardened on a copy (linear interpolation on the volume's own axes and spacing).

    Raises ImageError when the node is no scalar volume or has no voxels.
    """
    _check_scalar(node)
    to_world = _linear_to_world(node)
    if to_world is not None and _has_right_angles(to_world @ ijk_to_ras(node)):
        return _image(slicer.util.arrayFromVolume(node), _LPS_TO_RAS @ to_world @ ijk_to_ras(node))
    return _hardened_image(node)


def add_volume(scene: slicer.vtkMRMLScene, image: sitk.Image, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """New volume node with a copy of a 3D scalar image (LPS, mm), its geometry, and a display node."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    fill_volume(node, image)
    node.CreateDefaultDisplayNodes()
    return node


def fill_volume(node: slicer.vtkMRMLScalarVolumeNode, image: sitk.Image) -> None:
    """Give a volume node a copy of the voxels of a 3D scalar image (LPS, mm), and its geometry; the rest stays.

    Voxels of 64-bit integers, which Slicer cannot show, become float64.
    """
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        array = array.astype(np.float64)
    modifying = node.StartModify()
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_LPS_TO_RAS @ _ijk_to_lps(image)))
    node.EndModify(modifying)


def filled_volume(image: sitk.Image) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node of an image as `fill_volume` makes it, in no scene yet."""
    node = slicer.vtkMRMLScalarVolumeNode()
    fill_volume(node, image)
    return node


def add_filled(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a filled volume under this name; its window is to be set: guessing one would look at every voxel."""
    volume.SetName(scene.GenerateUniqueName(name))
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.AutoWindowLevelOff()
    scene.AddNode(volume)
    volume.SetAndObserveDisplayNodeID(scene.AddNode(display).GetID())
    return volume


def nodes_of_class(scene: slicer.vtkMRMLScene, node_class: str) -> list:
    """All nodes of a class in this scene; `slicer.util.getNodesByClass` always looks into the application's."""
    return [scene.GetNthNodeByClass(index, node_class) for index in range(scene.GetNumberOfNodesByClass(node_class))]


def thinned(voxels: np.ndarray) -> np.ndarray:
    """A view of (D, H, W) voxels, evenly spaced and at most about `_SAMPLE`, for statistics of large volumes."""
    step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
    return voxels[::step, ::step, ::step]


def ijk_to_ras(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4) matrix from voxel indices to the node's own RAS in mm, without parent transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _check_scalar(node: slicer.vtkMRMLNode) -> None:
    if not node or not node.IsA("vtkMRMLVolumeNode"):
        raise ImageError("A scan must be a scalar volume. Choose a volume node.")
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ImageError(f"'{node.GetName()}' is a label map, not a scan. Choose the volume it was drawn on.")
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise ImageError(f"Volume '{node.GetName()}' has no voxels. Load its data first.")
    components = image.GetNumberOfScalarComponents()
    if not node.IsA("vtkMRMLScalarVolumeNode") or components != 1:
        raise ImageError(f"Volume '{node.GetName()}' has {components} values per voxel. Choose a scalar volume.")


def _linear_to_world(node: slicer.vtkMRMLVolumeNode) -> np.ndarray | None:
    """(4, 4) matrix of the parent transforms, RAS to world, or None when one of them is not linear."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _has_right_angles(ijk_to_world: np.ndarray) -> bool:
    axes = ijk_to_world[:3, :3] / np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _SHEAR_TOLERANCE)


def _hardened_image(node: slicer.vtkMRMLVolumeNode) -> sitk.Image:
    """The volume resampled into world space, in a scene of its own, so that the user's scene sees no event."""
    to_world = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformToWorld(to_world)
    scene = slicer.vtkMRMLScene()
    parent = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    parent.SetAndObserveTransformToParent(to_world)
    copy = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    voxels = vtk.vtkImageData()
    voxels.DeepCopy(node.GetImageData())
    copy.SetAndObserveImageData(voxels)
    copy.CopyOrientation(node)
    copy.SetAndObserveTransformNodeID(parent.GetID())
    copy.ApplyNonLinearTransform(to_world)
    return _image(slicer.util.arrayFromVolume(copy), _LPS_TO_RAS @ ijk_to_ras(copy))


def _image(array: np.ndarray, ijk_to_lps: np.ndarray) -> sitk.Image:
    """Image of a (D, H, W) array, which is copied, and a (4, 4) matrix from voxel indices to LPS in mm."""
    spacing = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    return image


def _ijk_to_lps(image: sitk.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix
