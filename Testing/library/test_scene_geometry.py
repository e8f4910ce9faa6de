"""Volume nodes and images: a point of the patient stays where it is, and the user's nodes stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
import vtk  # noqa: E402
from CRONOSLib.errors import ImageError  # noqa: E402
from CRONOSLib.scene.nodes import add_volume, image_of  # noqa: E402
from CRONOSLib.scene.session import new_scene  # noqa: E402

SIZE = (7, 6, 5)
TO_RAS = np.array([-1.0, -1.0, 1.0])


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    return np.reshape(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix(), (3, 3))


angles = st.tuples(*[st.floats(-3, 3)] * 3)
flips = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)


@st.composite
def geometries(draw: st.DrawFn) -> sitk.Image:
    """Noise on an oblique, flipped, anisotropic grid."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=SIZE[::-1]).astype(np.float32))
    image.SetSpacing(draw(st.tuples(*[st.floats(0.3, 6.0)] * 3)))
    image.SetOrigin(draw(st.tuples(*[st.floats(-300, 300)] * 3)))
    image.SetDirection((rotation(draw(angles)) * draw(flips)).ravel().tolist())
    return image


@st.composite
def placements(draw: st.DrawFn) -> np.ndarray:
    """(4, 4) matrices that turn, move and enlarge: the linear transforms that keep right angles."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(draw(angles)) * draw(st.floats(0.5, 2.0))
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    return matrix


def world_of_voxel(node, index: tuple[int, int, int]) -> np.ndarray:
    """Where the application puts a voxel, LPS in mm: the node's own way, parent transforms included."""
    matrix, to_world, point = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform(), [0.0, 0.0, 0.0]
    node.GetIJKToRASMatrix(matrix)
    ras = np.array(matrix.MultiplyPoint((*index, 1.0)))[:3]
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetTransformToWorld(to_world)
    to_world.TransformPoint(ras.tolist(), point)
    return np.array(point) * TO_RAS


def under_matrix(node, matrix: np.ndarray):
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def under_warp(node):
    """A smooth bend of some millimetres: what an acquisition transform of a DICOM series looks like."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        place = np.array(corner) * 60.0 - 30.0
        source.InsertNextPoint(*place)
        target.InsertNextPoint(*(place + 3 * np.sin(place[::-1]) + [5, -3, 0]))
    bend = vtk.vtkThinPlateSplineTransform()
    bend.SetSourceLandmarks(source)
    bend.SetTargetLandmarks(target)
    bend.SetBasisToR()
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(bend)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def blob_image() -> sitk.Image:
    image = sitk.GaussianSource(sitk.sitkFloat32, (40, 36, 32), (4.0, 4.0, 4.0), (18.0, 20.0, 14.0))
    image.SetOrigin((-20.0, -15.0, -12.0))
    return image


def centre_of_mass(image: sitk.Image) -> np.ndarray:
    weights = sitk.GetArrayFromImage(image).astype(float)
    index = [(weights * axis).sum() / weights.sum() for axis in np.indices(weights.shape)][::-1]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index))


@given(image=geometries())
@settings(deadline=None, max_examples=25)
def test_an_image_survives_the_way_through_a_node(image: sitk.Image) -> None:
    back = image_of(add_volume(slicer.vtkMRMLScene(), image, "scan"))
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
    for index in [(0, 0, 0), (6, 0, 4), (3, 5, 1)]:
        assert np.allclose(
            back.TransformIndexToPhysicalPoint(index), image.TransformIndexToPhysicalPoint(index), atol=1e-6
        )


@given(image=geometries(), placement=placements())
@settings(deadline=None, max_examples=25)
def test_a_landmark_lies_where_the_parent_transform_puts_it(image: sitk.Image, placement: np.ndarray) -> None:
    scene = slicer.vtkMRMLScene()
    node = add_volume(scene, image, "scan")
    under_matrix(node, placement)
    seen = image_of(node)
    for index in [(0, 0, 0), (6, 0, 4), (3, 5, 1)]:
        error_mm = np.linalg.norm(seen.TransformIndexToPhysicalPoint(index) - world_of_voxel(node, index))
        assert error_mm < 1e-3
    assert np.array_equal(sitk.GetArrayFromImage(seen), sitk.GetArrayFromImage(image)), "voxels were interpolated"


def test_a_sheared_volume_is_resampled_onto_right_angles() -> None:
    scene = new_scene()
    node = add_volume(scene, blob_image(), "scan")
    shear = np.eye(4)
    shear[0, 1] = 0.4
    under_matrix(node, shear)
    seen = image_of(node)
    axes = np.reshape(seen.GetDirection(), (3, 3))
    expected = (shear @ [*(centre_of_mass(blob_image()) * TO_RAS), 1.0])[:3] * TO_RAS
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.norm(centre_of_mass(seen) - expected) < 0.1


def test_a_bent_volume_is_resampled_to_where_the_bend_puts_it() -> None:
    scene = new_scene()
    node = add_volume(scene, blob_image(), "scan")
    transform = under_warp(node)
    peak = [18, 20, 14]
    seen = image_of(node)
    at_bent_peak = seen.EvaluateAtPhysicalPoint(world_of_voxel(node, tuple(peak)).tolist())
    assert not transform.IsTransformToWorldLinear()
    assert at_bent_peak == pytest.approx(blob_image()[peak], rel=0.03)
    assert np.linalg.norm(world_of_voxel(node, tuple(peak)) - blob_image().TransformIndexToPhysicalPoint(peak)) > 1


@pytest.mark.parametrize("place", [None, under_warp, lambda node: under_matrix(node, np.diag([-1, 2, 1, 1.0]))])
def test_the_users_nodes_are_left_as_they_are(place) -> None:
    scene = new_scene()
    node = add_volume(scene, blob_image(), "scan")
    objects = [scene, node, node.GetImageData(), node.GetDisplayNode()]
    if place is not None:
        objects.append(place(node))
    before = [thing.GetMTime() for thing in objects]
    count = scene.GetNumberOfNodes()
    voxels = sitk.GetArrayFromImage(image_of(node))
    voxels[:] = -1
    assert [thing.GetMTime() for thing in objects] == before
    assert scene.GetNumberOfNodes() == count
    assert np.array_equal(slicer.util.arrayFromVolume(node), sitk.GetArrayFromImage(blob_image()))


def test_64_bit_integers_are_shown_as_floating_point() -> None:
    values = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    node = add_volume(new_scene(), sitk.GetImageFromArray(values), "scan")
    assert slicer.util.arrayFromVolume(node).dtype == np.float64
    assert np.array_equal(slicer.util.arrayFromVolume(node), values)


@pytest.mark.parametrize(
    ("node_class", "message"),
    [
        ("vtkMRMLModelNode", "scalar volume"),
        ("vtkMRMLLabelMapVolumeNode", "label map"),
        ("vtkMRMLScalarVolumeNode", "no voxels"),
    ],
)
def test_a_node_that_is_no_scan_is_refused(node_class: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        image_of(new_scene().AddNewNodeByClass(node_class, "mask"))


def test_a_colour_volume_is_refused() -> None:
    node = new_scene().AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 4, 4, 3), np.uint8))
    with pytest.raises(ImageError, match="values per voxel"):
        image_of(node)
