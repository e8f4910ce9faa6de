"""The metrics equal scikit-image's and the numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from CRONOSLib.errors import ImageError
from CRONOSLib.evaluation.metrics import mean_square_error, measure, nrmse, psnr, ssim
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity


def noisy_pair(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(0, 3, size) for size in shape), indexing="ij")
    truth = 0.5 + 0.3 * np.sin(sum(axes))
    return np.clip(truth + generator.normal(0, 0.05, shape), 0, 1), truth


def skimage_ssim(x: np.ndarray, y: np.ndarray) -> float:
    return structural_similarity(x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)


@pytest.mark.parametrize("shape", [(16, 20, 18), (24, 13, 11)])
def test_metrics_equal_those_of_scikit_image(shape: tuple[int, int, int]) -> None:
    x, y = noisy_pair(shape)
    metrics = measure(x, y)
    assert metrics.nrmse == pytest.approx(normalized_root_mse(y, x, normalization="min-max") * np.ptp(y))
    assert metrics.nrmse_euclidean == pytest.approx(normalized_root_mse(y, x, normalization="euclidean"))
    assert metrics.psnr == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1.0))
    assert metrics.ssim.value == pytest.approx(skimage_ssim(x, y), abs=1e-9)
    assert metrics.ssim.window == "11x11x11"


def test_equal_volumes_have_infinite_psnr_and_similarity_one() -> None:
    _, y = noisy_pair((12, 12, 12))
    metrics = measure(y, y)
    assert math.isinf(metrics.psnr)
    assert metrics.ssim.value == pytest.approx(1.0)
    assert metrics.nrmse == 0
    assert metrics.to_json()["psnr"] is None


@settings(deadline=None, max_examples=20)
@given(offset=st.floats(0.01, 0.49), data_range=st.sampled_from([1.0, 2.0, 80.0]))
def test_a_constant_offset_gives_its_own_psnr(offset: float, data_range: float) -> None:
    truth = np.full((4, 5, 6), 0.5 * data_range)
    assert psnr(truth + offset * data_range, truth, data_range=data_range) == pytest.approx(-20 * math.log10(offset))


def test_a_forecast_of_nothing_has_euclidean_error_one() -> None:
    _, y = noisy_pair((8, 9, 10))
    assert nrmse(np.zeros_like(y), y, definition="euclidean") == pytest.approx(1.0)


def test_intensities_outside_the_range_are_clipped() -> None:
    _, y = noisy_pair((8, 9, 10))
    bright = y.copy()
    bright[y == y.max()] = 50.0
    assert mean_square_error(bright, y) < 1e-3


def test_only_the_mask_counts() -> None:
    x, y = noisy_pair((12, 14, 16))
    mask = np.zeros(x.shape, dtype=bool)
    mask[3:9, 3:9, 3:9] = True
    spoiled = np.where(mask, x, 0)
    assert mean_square_error(spoiled, y, mask=mask) == mean_square_error(x, y, mask=mask)
    assert psnr(spoiled, y, mask=mask) > psnr(spoiled, y)


def test_masked_similarity_looks_at_windows_centred_in_the_mask() -> None:
    x, y = noisy_pair((12, 14, 40))
    x[:, :, :20] = y[:, :, :20]
    mask = np.zeros(x.shape, dtype=bool)
    mask[:, :, :14] = True
    assert ssim(x, y, mask=mask).value == pytest.approx(1.0)
    assert ssim(x, y).value < 0.99


@pytest.mark.parametrize(
    ("shape", "window"), [((7, 20, 22), "7x7x7"), ((20, 22, 4), "11x11 per slice"), ((3, 8, 20), "7x7 per slice")]
)
def test_a_thin_stack_gets_a_smaller_window_and_says_so(shape: tuple[int, int, int], window: str) -> None:
    x, y = noisy_pair(shape)
    result = ssim(x, y)
    assert result.window == window
    assert 0 < result.value < 1


def test_similarity_per_slice_is_the_mean_of_the_slices() -> None:
    x, y = noisy_pair((4, 20, 22))
    expected = np.mean([skimage_ssim(a, b) for a, b in zip(x, y)])
    assert ssim(x, y).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "mask", "complaint"),
    [
        (np.ones((4, 4, 4)), np.ones((4, 4, 5)), None, "differ in size"),
        (np.ones((4, 4, 4)), np.ones((4, 4, 4)), np.zeros((4, 4, 4)), "mask is empty"),
        (np.ones((4, 4, 4)), np.ones((4, 4, 4)), np.ones((4, 4)), "mask"),
        (np.ones((9, 9, 9)), np.zeros((9, 9, 9)), None, "zero everywhere"),
        (np.ones((3, 3, 3)), np.ones((3, 3, 3)), None, "at least 7"),
        (np.ones((9, 9)), np.ones((9, 9)), None, "3D"),
    ],
)
def test_what_cannot_be_measured_is_said(x: np.ndarray, y: np.ndarray, mask: np.ndarray | None, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        measure(x, y, mask=mask)
