"""The bundle's grid lies truly in space, and resampling moves nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import BundleError, ImageError
from CRONOSLib.imaging.grid import Grid, GridSpec, grid_for
from CRONOSLib.imaging.resampling import background, resample, resample_change
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

FEW = settings(deadline=None, max_examples=25)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False).map(lambda value: round(value, 4))


@st.composite
def geometries(draw: st.DrawFn, least: int = 4, most: int = 40) -> Grid:
    """Oblique, flipped, anisotropic grids, thin stacks among them."""
    turn = Rotation.from_euler("xyz", [draw(numbers(-180, 180)) for _ in range(3)], degrees=True).as_matrix()
    flips = np.diag([draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)])
    return Grid(
        size=tuple(draw(st.integers(least, most)) for _ in range(3)),
        spacing=tuple(draw(numbers(0.4, 6.0)) for _ in range(3)),
        origin=tuple(draw(numbers(-300, 300)) for _ in range(3)),
        direction=tuple((turn @ flips).ravel().tolist()),
    )


def specs() -> st.SearchStrategy[GridSpec]:
    own_or_given = st.one_of(st.none(), numbers(1.0, 5.0), st.tuples(*[numbers(1.0, 8.0)] * 3))
    return st.builds(GridSpec, spacing_mm=own_or_given, multiple=st.sampled_from([1, 4, 8, 16]))


def every_index(grid: Grid) -> np.ndarray:
    """(N, 3) indices x, y, z of all voxels."""
    return np.stack(np.meshgrid(*map(np.arange, grid.size), indexing="ij"), axis=-1).reshape(-1, 3)


def painted(grid: Grid, of_point: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
    """Image whose voxels are a function of their (N, 3) points in mm."""
    width, height, depth = grid.size
    values = of_point(grid.point(every_index(grid))).reshape(width, height, depth)
    return grid.to_image(np.ascontiguousarray(values.transpose(2, 1, 0)).astype(np.float32))


def values_of(image: sitk.Image) -> np.ndarray:
    """(N,) voxels in the order of `every_index`."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0).ravel().astype(float)


def ramp_about(grid: Grid) -> Callable[[np.ndarray], np.ndarray]:
    """Values that are positions: mm along a slanted line through the centre of a grid."""
    return lambda points: (points - grid.centre) @ np.array([0.6, -0.7, 0.4])


def well_inside(grid: Grid, points: np.ndarray, margin_mm: float) -> np.ndarray:
    """(N,) whether points lie inside the outermost voxel centres of a grid by a margin."""
    last = np.array(grid.size) - 1
    index, margin = grid.index(points), margin_mm / np.array(grid.spacing)
    return np.all((index >= margin) & (index <= last - margin), axis=1)


def centre_of_mass(image: sitk.Image) -> np.ndarray:
    grid = Grid.of(image)
    weights = values_of(image)
    return weights @ grid.point(every_index(grid)) / weights.sum()


@FEW
@given(geometries(), numbers(-5, 45))
def test_indices_and_points_agree_with_simpleitk(grid: Grid, position: float) -> None:
    image, index = grid.to_image(), np.array([position, 1.25, -2.5])
    expected = image.TransformContinuousIndexToPhysicalPoint(index.tolist())
    assert np.allclose(grid.point(index), expected, atol=1e-6)
    assert np.allclose(grid.index(np.array(expected)), index, atol=1e-6)


@FEW
@given(geometries(), specs())
def test_every_voxel_comes_back_where_it_was(native: Grid, spec: GridSpec) -> None:
    grid = grid_for(native.to_image(), spec)
    index = every_index(native)[:: max(1, np.prod(native.size) // 500)]
    back = native.index(grid.point(grid.index(native.point(index))))
    assert np.abs(native.point(back) - native.point(index)).max() < 1e-3


@FEW
@given(geometries(), specs())
def test_the_grid_covers_the_field_of_view_without_stretching(native: Grid, spec: GridSpec) -> None:
    grid = grid_for(native.to_image(), spec)
    assert grid.contains(native.lattice(5)).all()
    assert grid.direction == native.direction
    assert all(count % spec.multiple == 0 for count in grid.size)
    assert grid.spacing == pytest.approx(
        native.spacing if spec.spacing_mm is None else np.broadcast_to(spec.spacing_mm, 3)
    )


@FEW
@given(geometries())
def test_own_voxels_coincide_and_keep_their_values(native: Grid) -> None:
    image = native.to_image(np.random.default_rng(0).normal(size=native.shape).astype(np.float32))
    grid = grid_for(image, GridSpec(multiple=8))
    places = grid.index(native.point(np.array([[0, 0, 0], np.array(native.size) - 1])))
    assert np.allclose(places, np.round(places), atol=1e-6)
    there_and_back = resample(resample(image, grid), native)
    assert np.allclose(sitk.GetArrayFromImage(there_and_back), sitk.GetArrayFromImage(image), atol=1e-4)


@FEW
@given(geometries(least=8, most=24), numbers(1.0, 4.0))
def test_a_ramp_in_space_stays_that_ramp_on_the_grid(native: Grid, spacing_mm: float) -> None:
    ramp = ramp_about(native)
    grid = grid_for(native.to_image(), GridSpec(spacing_mm=spacing_mm, multiple=1))
    points = grid.point(every_index(grid))
    away_from_edges = well_inside(native, points, 2 * spacing_mm)  # there, smoothing sees the end of the scan
    error = values_of(resample(painted(native, ramp), grid)) - ramp(points)
    assert np.abs(error[away_from_edges]).max(initial=0) < 0.05


@FEW
@given(geometries(least=8, most=24), numbers(1.0, 4.0))
def test_a_ramp_on_the_grid_stays_that_ramp_on_the_native_grid(native: Grid, spacing_mm: float) -> None:
    ramp = ramp_about(native)
    grid = grid_for(native.to_image(), GridSpec(spacing_mm=spacing_mm, multiple=1))
    points = native.point(every_index(native))
    error = values_of(resample_change(painted(grid, ramp), native)) - ramp(points)
    assert np.abs(error[well_inside(grid, points, 0.0)]).max(initial=0) < 1e-3


@FEW
@given(geometries(least=24, most=32), numbers(1.5, 4.0), st.tuples(*[numbers(-0.05, 0.05)] * 3))
def test_a_blob_keeps_its_centre_of_mass(native: Grid, spacing_mm: float, offset: tuple[float, ...]) -> None:
    axes = np.array(native.direction).reshape(3, 3)
    centre = np.array(native.centre) + axes @ (np.array(offset) * native.extent_mm)
    width = np.array(native.extent_mm) / 14

    def blob(points: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (((points - centre) @ axes / width) ** 2).sum(axis=1))

    image = painted(native, blob)
    grid = grid_for(image, GridSpec(spacing_mm=min(spacing_mm, 1.5 * min(width)), multiple=4))
    on_grid = resample(image, grid)
    assert np.linalg.norm(centre_of_mass(on_grid) - centre) < 0.02 * max(width)
    assert np.linalg.norm(centre_of_mass(resample_change(on_grid, native)) - centre) < 0.02 * max(width)


def test_a_small_grid_is_centred_on_the_foreground_and_stays_inside() -> None:
    native = Grid((40, 40, 20), (1.0, 1.0, 2.0), (5.0, -3.0, 9.0), tuple(np.eye(3).ravel()))
    mask = np.zeros(native.shape, np.uint8)
    mask[2:5, 20:31, 10:21] = 1
    spec = GridSpec(spacing_mm=1.0, max_size=(16, 20, 24))
    grid = grid_for(native.to_image(), spec, native.to_image(mask))
    assert grid.size == (16, 16, 24)
    assert grid.centre[:2] == pytest.approx((20.0, 22.0))
    assert grid.origin[2] - 0.5 == pytest.approx(native.origin[2] - 1.0)


def test_the_published_stretch_fills_the_field_of_view() -> None:
    native = Grid((240, 240, 155), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    grid = grid_for(native.to_image(), GridSpec(stretch_to=(96, 96, 64)))
    assert grid.size == (96, 96, 64)
    assert grid.extent_mm == pytest.approx(native.extent_mm)
    assert grid.centre == pytest.approx(native.centre)


def test_going_coarser_does_not_fold_stripes_into_the_scan() -> None:
    stripes = np.tile(np.array([0.0, 100.0], np.float32), (16, 16, 32))
    coarse = sitk.GetArrayFromImage(resample(sitk.GetImageFromArray(stripes), Grid.of(
        sitk.GetImageFromArray(stripes)).coarser(4.0)))  # fmt: skip
    assert np.abs(coarse[:, :, 2:-2] - 50).max() < 3


def test_outside_its_field_of_view_a_scan_shows_its_background() -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).uniform(-1000, 400, (8, 8, 8)).astype(np.float32))
    larger = grid_for(image, GridSpec(multiple=16))
    assert sitk.GetArrayFromImage(resample(image, larger))[0, 0, 0] == pytest.approx(background(image))


def test_a_scan_in_the_wrong_unit_is_refused_in_one_sentence() -> None:
    image = sitk.Image(64, 64, 64, sitk.sitkUInt8)
    image.SetSpacing((900.0, 900.0, 900.0))
    with pytest.raises(ImageError, match="Check its spacing"):
        grid_for(image, GridSpec(spacing_mm=1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"spacing_mm": 0.0},
        {"spacing_mm": (1.5, 1.5)},
        {"spacing_mm": (1.5, 1.5, -8.0)},
        {"multiple": 0},
        {"max_size": (4, 64, 64)},
    ],
)
def test_impossible_grids_are_refused(wrong: dict) -> None:
    with pytest.raises(BundleError):
        GridSpec(**wrong)
