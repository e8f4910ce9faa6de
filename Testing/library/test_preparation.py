"""A series becomes arrays on one grid, and the change comes back exactly to the last scan."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import AlignmentError, BundleError
from CRONOSLib.imaging.grid import Grid, GridSpec
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.preparation import Preprocessing, bring_to_last, prepare
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.imaging.resampling import resample
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

UNALIGNED = Preprocessing(GridSpec(spacing_mm=3.0), alignment=Alignment.OFF)


def oblique(size: tuple[int, int, int] = (30, 26, 11), turn: tuple[float, ...] = (20, -35, 160)) -> Grid:
    """An oblique, flipped, thick-sliced grid."""
    direction = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ np.diag([1, -1, 1])
    return Grid(size, (1.5, 1.2, 5.0), (40.0, -25.0, 110.0), tuple(direction.ravel().tolist()))


def body(grid: Grid, seed: int = 0, pixel: int = sitk.sitkInt16) -> sitk.Image:
    """A bright body in noise; the same place in space for every seed."""
    steps = [np.linspace(-1, 1, count) for count in grid.shape]
    z, y, x = np.meshgrid(*steps, indexing="ij")
    inside = 400 * (x**2 + y**2 + z**2 < 0.6) + 150 * ((x - 0.2) ** 2 + y**2 + z**2 < 0.1)
    noise = np.random.default_rng(seed).uniform(0, 20, grid.shape)
    return sitk.Cast(grid.to_image((inside + noise).astype(np.float32)), pixel)


def series_of(*images: sitk.Image) -> LongitudinalSeries:
    scans = (Scan(image, 30.0 * index, f"visit {index}", TimeSource.TYPED) for index, image in enumerate(images))
    return LongitudinalSeries(tuple(scans))


def test_arrays_times_and_reports_have_the_promised_shapes() -> None:
    fractions: list[float] = []
    series = series_of(*(body(oblique(), seed) for seed in range(3)))
    prepared = prepare(series, UNALIGNED, on_step=fractions.append)
    assert prepared.images.shape == (3, 1, *prepared.grid.shape)
    assert prepared.images.dtype == np.float32
    assert prepared.times.tolist() == [0, 30, 60]
    assert prepared.alignments[-1] is None
    assert all(report and report.kind is Alignment.OFF for report in prepared.alignments[:-1])
    assert fractions[-1] == 1
    assert 0 < np.median(prepared.images[prepared.images > 0.5]) < 1.1


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(*[st.integers(2, 24)] * 3),
    st.tuples(*[st.integers(-180, 180)] * 3),
    st.sampled_from([None, 2.0, 4.0]),
    st.sampled_from([sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16, sitk.sitkFloat32]),
)
def test_no_change_gives_the_last_scan_bit_for_bit(
    size: tuple[int, int, int], turn: tuple[int, ...], spacing_mm: float | None, pixel: int
) -> None:
    last = body(oblique(size, turn), pixel=pixel) if pixel != sitk.sitkUInt8 else body(oblique(size, turn)) / 3
    prepared = prepare(series_of(last), Preprocessing(GridSpec(spacing_mm)))
    forecast = prepared.forecast_from_change(prepared.change_to_native(np.zeros(prepared.grid.shape)))
    assert Grid.of(forecast) == Grid.of(last)
    assert np.array_equal(sitk.GetArrayFromImage(forecast), sitk.GetArrayFromImage(last).astype(np.float32))


def test_a_change_lands_where_it_was_made_in_the_units_of_the_last_scan() -> None:
    prepared = prepare(series_of(body(oblique())), UNALIGNED)
    index = np.array(prepared.grid.size) // 2
    change = np.zeros(prepared.grid.shape, np.float32)
    change[tuple(index[::-1])] = -0.5
    native = prepared.change_to_native(change)
    values = sitk.GetArrayFromImage(native)
    point = prepared.grid.point(index)
    touched = prepared.native.point(np.argwhere(values)[:, ::-1])
    assert np.abs(prepared.grid.index(touched) - index).max() < 1  # linear: one voxel of the grid, no further
    assert -0.5 * prepared.scales[-1].scale <= values.min() < 0
    assert np.linalg.norm(touched[np.argmin(values[values != 0])] - point) < 3.5


def test_a_constant_change_is_exact_inside_and_zero_outside_the_grid() -> None:
    last = body(oblique((40, 40, 16)))
    prepared = prepare(series_of(last), Preprocessing(GridSpec(spacing_mm=2.0, max_size=(16, 16, 16))))
    native = prepared.change_to_native(np.full(prepared.grid.shape, 0.25))
    width, height, depth = prepared.native.size
    z, y, x = np.meshgrid(np.arange(depth), np.arange(height), np.arange(width), indexing="ij")
    place = prepared.grid.index(prepared.native.point(np.stack([x, y, z], axis=-1)))
    reach = np.abs(place - (np.array(prepared.grid.size) - 1) / 2) - np.array(prepared.grid.size) / 2
    values = sitk.GetArrayFromImage(native)
    inside, outside = (reach < -1e-6).all(axis=-1), (reach > 1e-6).any(axis=-1)
    assert inside.any()
    assert outside.any()
    assert np.allclose(values[inside], 0.25 * prepared.scales[-1].scale, rtol=1e-5)
    assert not values[outside].any()


def test_a_true_change_survives_the_way_there_and_back() -> None:
    grid = oblique((48, 48, 20), (10, 5, -15))
    last, growth = body(grid), sitk.Cast(body(grid, seed=0), sitk.sitkFloat32) * 0.1
    smooth = sitk.DiscreteGaussian(growth, (9.0, 9.0, 9.0))
    prepared = prepare(series_of(last), Preprocessing(GridSpec(spacing_mm=2.0)))
    grown = prepared.scales[-1].apply(
        sitk.GetArrayFromImage(resample(sitk.Cast(last, sitk.sitkFloat32) + smooth, prepared.grid))
    )
    back = sitk.GetArrayFromImage(prepared.change_to_native(grown - prepared.images[-1, 0]))
    truth = sitk.GetArrayFromImage(smooth)
    assert np.sqrt(np.mean((back - truth) ** 2)) < 0.05 * truth.max()


def test_an_earlier_scan_is_brought_onto_the_last_one() -> None:
    grid = oblique((48, 48, 16), (0, 0, 0))
    last = body(grid)
    moved = sitk.Image(last)
    moved.SetOrigin(tuple(np.add(last.GetOrigin(), (6.0, -4.0, 5.0))))
    settings_ = Preprocessing(GridSpec(spacing_mm=2.0))
    aligned = prepare(series_of(moved, last), settings_)
    apart = prepare(series_of(moved, last), UNALIGNED)
    assert aligned.alignments[0] is not None
    assert aligned.alignments[0].translation_mm == pytest.approx((6, -4, 5), abs=0.7)
    error = [np.abs(prepared.images[0] - prepared.images[1]).mean() for prepared in (aligned, apart)]
    assert error[0] < 0.25 * error[1]


def test_the_true_scan_is_brought_to_the_last_scan_in_its_own_units() -> None:
    grid = oblique((48, 48, 16), (0, 0, 0))
    last = body(grid)
    truth = sitk.Cast(last, sitk.sitkFloat32) * 2
    truth.SetOrigin(tuple(np.add(last.GetOrigin(), (6.0, -4.0, 5.0))))
    scan = Scan(truth, 99.0, "truth", TimeSource.TYPED)
    brought = bring_to_last(series_of(last), scan, Alignment.RIGID)
    assert Grid.of(brought) == Grid.of(last)
    inner = (slice(4, -4), slice(8, -8), slice(8, -8))
    error = sitk.GetArrayFromImage(brought)[inner] - 2.0 * sitk.GetArrayFromImage(last)[inner]
    assert np.abs(error).mean() < 60


def test_the_last_scan_alone_sets_the_units_of_the_way_back() -> None:
    first, last = body(oblique(), 0), sitk.Cast(body(oblique(), 1), sitk.sitkFloat32) * 5 - 300
    prepared = prepare(series_of(first, last), UNALIGNED)
    values = sitk.GetArrayFromImage(prepared.change_to_native(np.ones(prepared.grid.shape)))
    assert values.max() == pytest.approx(prepared.scales[-1].scale, rel=1e-5)
    assert prepared.scales[-1].scale > 3 * prepared.scales[0].scale


def test_a_constant_scan_and_two_slices_are_prepared() -> None:
    thin = oblique((20, 20, 2))
    prepared = prepare(series_of(body(thin) * 0 + 9, body(thin)), Preprocessing(GridSpec(spacing_mm=2.0)))
    assert np.isfinite(prepared.images).all()
    assert "visit 0" in prepared.warnings[0]


def test_vessels_beyond_the_window_come_back_unchanged_where_nothing_changes() -> None:
    vessel = body(oblique())
    preprocessing = Preprocessing(GridSpec(None, 1), IntensitySpec(scope="shared", window=(0.0, 100.0)), Alignment.OFF)
    prepared = prepare(series_of(body(oblique()), vessel), preprocessing)
    same = prepared.forecast_from_change(prepared.change_to_native(np.zeros_like(prepared.images[-1, 0])))
    assert np.array_equal(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(vessel))
    assert sitk.GetArrayFromImage(same).max() > 300
    assert np.ptp(prepared.images) * prepared.scales[-1].scale <= 100 + 1e-3


def test_scans_apart_name_themselves() -> None:
    away = body(oblique())
    away.SetOrigin((900.0, 900.0, 900.0))
    with pytest.raises(AlignmentError, match=r"visit 0.*visit 1.*do not overlap"):
        prepare(series_of(away, body(oblique())), UNALIGNED)


def test_preprocessing_survives_json() -> None:
    preprocessing = Preprocessing(
        GridSpec(1.5, 16, (96, 96, 64)),
        IntensitySpec(2, 98, scope="shared", window=(0, 100)),
        alignment=Alignment.AFFINE,
    )
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing
    assert Preprocessing.from_json({}) == Preprocessing()


@pytest.mark.parametrize(
    "wrong", [{"alignment": "best"}, {"grid": {"spacing": 1}}, {"grids": {}}, {"grid": 3}, {"intensity": {"scope": ""}}]
)
def test_unknown_preprocessing_is_refused(wrong: dict) -> None:
    with pytest.raises(BundleError):
        Preprocessing.from_json(wrong)
