"""Intensity scales come from the contexts and lead exactly back."""

from __future__ import annotations

import numpy as np
import pytest
from CRONOSLib.errors import BundleError
from CRONOSLib.imaging.intensity import IntensityScale, IntensitySpec, foreground_threshold, scales_of
from hypothesis import given, settings
from hypothesis import strategies as st


def scan(gain: float = 1.0, base: float = 0.0) -> np.ndarray:
    """Air around tissue of several intensities."""
    rng = np.random.default_rng(3)
    array = rng.normal(2, 1, (12, 16, 16))
    array[3:9, 4:12, 4:12] = rng.uniform(40, 100, (6, 8, 8))
    return array * gain + base


@settings(deadline=None, max_examples=30)
@given(st.floats(-2000, 2000), st.floats(1e-3, 1e4))
def test_the_way_back_undoes_the_way_there(offset: float, scale: float) -> None:
    mapping, array = IntensityScale(offset, scale), scan()
    assert np.allclose(mapping.invert(mapping.apply(array)), array, rtol=1e-4, atol=1e-3)
    change = mapping.invert(mapping.apply(array) + 0.25) - mapping.invert(mapping.apply(array))
    assert np.allclose(mapping.invert_change(np.full(array.shape, 0.25)), change, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("percentile", "value"), [(90.0, 0.7), (99.5, 1.0)])
def test_air_becomes_zero_and_bright_tissue_the_value_asked_for(percentile: float, value: float) -> None:
    array = scan(gain=7.0, base=-1000.0)
    spec = IntensitySpec(high_percentile=percentile, high_value=value)
    normal = scales_of([array], spec)[0].apply(array)
    assert abs(np.median(normal[0])) < 0.05
    assert np.percentile(normal[3:9, 4:12, 4:12], percentile) == pytest.approx(value, abs=1e-3)


def test_a_growing_bright_lesion_leaves_the_scale_of_healthy_tissue() -> None:
    grown = scan()
    grown[3:5, 4:7, 4:6] = 200.0  # 3 % of the tissue
    before, after = (scale.scale for scale in scales_of([scan(), grown], IntensitySpec()))
    assert after == pytest.approx(before, rel=0.03)
    published = IntensitySpec(high_percentile=99.5, high_value=1.0)
    before, after = (scale.scale for scale in scales_of([scan(), grown], published))
    assert after > 1.5 * before


def test_each_removes_a_change_of_gain_and_shared_keeps_it() -> None:
    arrays = [scan(), scan(gain=3.0, base=5.0)]
    first, last = (scale.apply(array) for scale, array in zip(scales_of(arrays, IntensitySpec()), arrays))
    assert np.allclose(first, last, atol=1e-4)
    shared = scales_of(arrays, IntensitySpec(scope="shared"))
    assert shared[0] == shared[1]
    assert shared[1].apply(arrays[1]).max() > 2.5 * shared[0].apply(arrays[0]).max()


def test_a_window_keeps_bright_vessels_from_weighing_more_than_tissue() -> None:
    filled = scan()
    filled[4, 5, 5:8] = 480.0
    plain, windowed = (
        scales_of([scan(), filled], IntensitySpec(scope="shared", window=window))[1] for window in (None, (0.0, 100.0))
    )
    error, clipped = ((scale.apply(filled) - scale.apply(scan())).max() for scale in (plain, windowed))
    assert clipped < 0.3 * error
    assert (
        windowed.apply(np.array([-50.0, 0.0, 100.0, 480.0])).tolist()
        == windowed.apply(np.array([0.0, 0.0, 100.0, 100.0])).tolist()
    )
    assert np.allclose(windowed.invert(windowed.apply(scan())), np.clip(scan(), 0, 100), atol=1e-3)


def test_one_hot_voxel_does_not_hide_the_tissue() -> None:
    array = scan()
    array[0, 0, 0] = 1e7
    assert 3 < foreground_threshold(array) < 60


@pytest.mark.parametrize("value", [0.0, 42.0])
def test_a_constant_scan_becomes_zero(value: float) -> None:
    array = np.full((4, 4, 4), value)
    assert not scales_of([array], IntensitySpec())[0].apply(array).any()


@pytest.mark.parametrize(
    "wrong",
    [{"low_percentile": 99.9}, {"high_percentile": 101.0}, {"high_value": 0.0}, {"scope": "all"}, {"window": (9, 9)}],
)
def test_impossible_scales_are_refused(wrong: dict) -> None:
    with pytest.raises(BundleError):
        IntensitySpec(**wrong)
