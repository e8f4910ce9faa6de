"""Change, deformation, sharpness and ensembles are measured as their definitions say, on answers known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from CRONOSLib.errors import ImageError
from CRONOSLib.evaluation.change import change_correlation, changed_auroc, edge_nrmse
from CRONOSLib.evaluation.deformation import jacobian_determinant, regularity
from CRONOSLib.evaluation.ensemble import crps, spread_skill_ratio
from CRONOSLib.evaluation.sharpness import sharpness
from scipy.ndimage import gaussian_filter, sobel
from scipy.stats import mannwhitneyu, pearsonr

SHAPE = (14, 16, 18)
RANDOM = np.random.default_rng(5)
LAST = gaussian_filter(RANDOM.random(SHAPE), 1)
TRUTH = np.clip(LAST + 0.3 * gaussian_filter(RANDOM.normal(size=SHAPE), 1.5), 0, 1)
FORECAST = np.clip(LAST + 0.4 * (TRUTH - LAST) + 0.02 * RANDOM.normal(size=SHAPE), 0, 1)


def grid() -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(size, dtype=float) for size in SHAPE), indexing="ij"))


# --- change -------------------------------------------------------------------------------------------------------


def test_the_correlation_of_change_is_pearsons() -> None:
    expected = pearsonr((FORECAST - LAST).ravel(), (TRUTH - LAST).ravel()).statistic
    assert change_correlation(FORECAST, TRUTH, LAST) == pytest.approx(expected)


def test_copying_the_last_scan_has_no_correlation_and_the_auroc_of_a_coin() -> None:
    assert change_correlation(LAST, TRUTH, LAST) is None
    assert changed_auroc(LAST, TRUTH, LAST, threshold=0.02) == 0.5


def test_the_auroc_is_that_of_mann_and_whitney_with_ties() -> None:
    changed = np.abs(TRUTH - LAST) > 0.02
    coarse = LAST + np.round(TRUTH - LAST + 0.02 * RANDOM.normal(size=SHAPE), 2)
    coarse = np.clip(coarse, 0, 1)
    score = np.abs(coarse - LAST)
    expected = mannwhitneyu(score[changed], score[~changed]).statistic / (changed.sum() * (~changed).sum())
    assert changed_auroc(coarse, TRUTH, LAST, threshold=0.02) == pytest.approx(expected)
    assert changed_auroc(TRUTH, TRUTH, LAST, threshold=0.02) == 1
    assert changed_auroc(FORECAST, TRUTH, LAST, threshold=5) is None


def test_edges_are_those_of_sobel() -> None:
    def edges(volume: np.ndarray) -> np.ndarray:
        return np.sqrt(sum(sobel(volume, axis, mode="nearest") ** 2 for axis in range(3)))

    expected = np.linalg.norm(edges(FORECAST) - edges(TRUTH)) / np.linalg.norm(edges(TRUTH))
    assert edge_nrmse(FORECAST, TRUTH) == pytest.approx(expected, rel=1e-5)
    assert edge_nrmse(np.zeros(SHAPE), TRUTH) == pytest.approx(1)
    assert edge_nrmse(TRUTH, np.zeros(SHAPE)) is None


# --- deformation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_affine_map_has_its_own_determinant_everywhere(seed: int) -> None:
    matrix = np.eye(3) + 0.3 * np.random.default_rng(seed).normal(size=(3, 3))
    displacement = np.tensordot(matrix - np.eye(3), grid(), axes=1)
    determinant = jacobian_determinant(displacement)
    assert determinant.shape == tuple(size - 2 for size in SHAPE)
    assert determinant == pytest.approx(np.linalg.det(matrix))
    measured = regularity(displacement)
    assert measured.folding_percent == (0 if np.linalg.det(matrix) > 0 else 100)
    assert np.linalg.det(matrix) <= 0 or measured.sd_log_jacobian == pytest.approx(0, abs=1e-9)


def test_a_fold_is_counted_where_it_is() -> None:
    displacement = np.zeros((3, *SHAPE))
    displacement[2, :, :, 9:] = -3.0  # one column onto its neighbours: central differences fold two columns
    expected = 100 * 2 / (SHAPE[2] - 2)
    assert regularity(displacement).folding_percent == pytest.approx(expected)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, :, 12:] = True
    assert regularity(displacement, mask=mask).folding_percent == 0


def test_growth_along_one_axis_has_its_analytic_unevenness() -> None:
    displacement = np.zeros((3, *SHAPE))
    displacement[0] = 0.01 * grid()[0] ** 2  # det J = 1 + 0.02 z; central differences are exact for a parabola
    expected = np.log(1 + 0.02 * np.arange(1, SHAPE[0] - 1)).std()
    assert regularity(displacement).sd_log_jacobian == pytest.approx(expected)


def test_what_is_no_displacement_field_is_said() -> None:
    with pytest.raises(ImageError, match="displacement field"):
        regularity(np.zeros((2, 5, 5, 5)))
    with pytest.raises(ImageError, match="mask is empty"):
        regularity(np.zeros((3, 5, 5, 5)), mask=np.zeros((5, 5, 5)))


# --- sharpness ----------------------------------------------------------------------------------------------------


def test_the_spectrum_tells_a_gain_a_blur_and_noise_apart() -> None:
    same = sharpness(TRUTH, TRUTH)
    assert (same.distance, same.detail) == (0, 0)
    darker = sharpness(0.1 * TRUTH, TRUTH)
    assert darker.distance == pytest.approx(2)  # power is amplitude squared: two decades
    assert darker.detail == pytest.approx(-2)
    assert sharpness(gaussian_filter(TRUTH, 1), TRUTH).detail < -0.5
    assert sharpness(TRUTH + 0.05 * RANDOM.normal(size=SHAPE), TRUTH).detail > 0.3


# --- ensembles ----------------------------------------------------------------------------------------------------


def test_one_sample_scores_its_absolute_error() -> None:
    assert crps(FORECAST[None], TRUTH) == pytest.approx(np.abs(FORECAST - TRUTH).mean())


def test_the_empirical_score_is_the_integral_over_the_step_function() -> None:
    samples, truth = np.array([0.1, 0.5, 0.6, 0.9]), 0.55
    points = np.linspace(-1, 2, 300_001)
    step = (samples[:, None] <= points).mean(axis=0)
    expected = np.trapezoid((step - (points >= truth)) ** 2, points)
    assert crps(samples[:, None], np.array([truth]), estimator="empirical") == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_the_fair_score_of_a_reliable_ensemble_does_not_depend_on_its_size(count: int) -> None:
    generator = np.random.default_rng(count)
    samples, truth = generator.normal(size=(count, 200_000)), generator.normal(size=200_000)
    assert crps(samples, truth) == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)
    assert spread_skill_ratio(samples, truth) == pytest.approx(1, abs=0.01)
    assert spread_skill_ratio(0.5 * samples, truth) < 0.95


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ImageError, match="do not fit"):
        crps(np.zeros((2, 3)), np.zeros(4))
    with pytest.raises(ImageError, match="One sample"):
        spread_skill_ratio(np.zeros((1, 4)), np.zeros(4))
    with pytest.raises(ImageError, match="mask"):
        crps(np.zeros((2, 4)), np.zeros(4), mask=np.zeros(4))
