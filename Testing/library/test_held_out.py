"""What is said of a trained model: measured on patients it never saw, with ranges that hold what they promise."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.calibration import CalibratedLevel, Calibration
from CRONOSLib.bundles.store import load_bundle, redescribe_bundle, save_bundle
from CRONOSLib.errors import BundleError, CohortError
from CRONOSLib.evaluation.calibration import FLOOR, calibrate, coverage, error_in_spreads, measured
from CRONOSLib.evaluation.gallery import best_median_worst
from CRONOSLib.evaluation.held_out_forecast import (
    HeldOutForecast,
    difference_of,
    per_patient,
    read_results,
    skill_of,
    write_results,
)
from CRONOSLib.evaluation.skill_table import skill_table, write_skill_table
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.intensity import IntensityScale
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.registry import create_method
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.assessment import Assessment, assess, write_assessment
from CRONOSLib.training.draws import frozen_draws
from CRONOSLib.training.held_out import draw_of, evaluate
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings

SETTINGS = TrainSettings(preprocessing=Preprocessing(GridSpec(spacing_mm=4.0)), time_scale=365.25, precision="32-true")


def row(
    subject: str, mse: float, lci: float = 1.0, horizon: float = 60.0, contexts: int = 1, **more
) -> HeldOutForecast:
    return HeldOutForecast(subject, contexts, contexts + 1, horizon, mse, lci, mse, lci, **more)


def growing_patient(number: int, visits: int = 4) -> PreparedPatient:
    """A bright ball that grows by its own rate from visit to visit."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in (12, 14, 16)), indexing="ij")
    distance = np.sqrt(sum(axis**2 for axis in axes))
    times = np.cumsum([0, *(40 + 7 * ((number + visit) % 3) for visit in range(visits - 1))]).astype(float)
    images = [0.4 * (distance < 0.9) + 0.5 / (1 + np.exp((distance - 0.2 - 0.002 * t) / 0.08)) for t in times]
    volumes = np.stack(images)[:, None].astype(np.float16)
    return PreparedPatient(f"sub-{number}", times, volumes, (IntensityScale(0.0, 1.0),) * visits)


@pytest.fixture(scope="module")
def patients() -> list[PreparedPatient]:
    return [growing_patient(number) for number in range(4)]


@pytest.fixture(scope="module")
def assessment(patients: list[PreparedPatient], tiny_bundle: Bundle) -> Assessment:
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    calibration = calibrate(evaluate(method, patients, SETTINGS))
    return assess("cronos", method, patients, SETTINGS, split="test", unit=TimeUnit.DAY, calibration=calibration)


# --- per patient --------------------------------------------------------------------------------------------------


def test_a_patient_with_many_forecasts_counts_once() -> None:
    many = [row("a", 0.0)] + [row("b", 1.0, contexts=count) for count in range(1, 10)]
    assert skill_of(many, "test").mean == 0.5


def test_the_difference_of_two_methods_is_paired_by_patient() -> None:
    generator = np.random.default_rng(0)
    hard = generator.uniform(0.1, 0.9, 40)  # patients differ much, the methods by the same little
    better, worse = ([row(f"{n:02}", error + shift) for n, error in enumerate(hard)] for shift in (0.0, 0.02))
    difference = difference_of(better, worse)
    assert difference.mean == pytest.approx(0.02)
    assert difference.high - difference.low < 1e-9
    assert skill_of(better, "test").high - skill_of(better, "test").low > 0.1


def test_methods_measured_on_different_forecasts_are_not_compared() -> None:
    with pytest.raises(CohortError, match="different forecasts"):
        difference_of([row("a", 0.1)], [row("b", 0.1)])


def test_results_come_back_from_their_table(tmp_path: Path) -> None:
    rows = [row("a", 0.1, ssim=0.9), row("b", 0.25, horizon=12.5, contexts=3)]
    write_results(tmp_path / "results.csv", rows)
    assert read_results(tmp_path / "results.csv") == rows
    (tmp_path / "results.csv").write_text("subject\na\n")
    with pytest.raises(CohortError, match="no table of results"):
        read_results(tmp_path / "results.csv")


def test_skill_is_told_by_horizon_and_by_number_of_contexts(tmp_path: Path) -> None:
    def errors(scale: float) -> list[HeldOutForecast]:
        return [
            row(f"p{patient}", scale * (0.2 + 0.002 * horizon), horizon=horizon, contexts=contexts)
            for patient in range(5)
            for horizon, contexts in ((50, 1), (100, 1), (150, 2), (200, 2))
        ]

    rows = skill_table({"ours": errors(1.0), "ridge": errors(1.5)}, "test")
    ours = {one.group: one for one in rows if one.method == "ours"}
    assert list(ours) == ["all", "50 to 50 day", "100 to 100 day", "150 to 150 day", "200 to 200 day", "1 context",
                          "2 contexts"]  # fmt: skip
    assert ours["50 to 50 day"].skill.mean == pytest.approx(0.7)
    assert ours["2 contexts"].skill.mean == pytest.approx(1 - (0.5 + 0.6) / 2)
    assert ours["2 contexts"].forecasts == 10
    ridge = next(one for one in rows if (one.method, one.group) == ("ridge", "50 to 50 day"))
    assert ridge.ahead is not None
    assert ridge.ahead.mean == pytest.approx(0.15)
    write_skill_table(tmp_path / "skill.csv", rows)
    table = list(csv.DictReader((tmp_path / "skill.csv").open()))
    assert len(table) == len(rows) == 14
    assert float(table[0]["skill"]) == pytest.approx(ours["all"].skill.mean)


# --- ranges -------------------------------------------------------------------------------------------------------


def noisy_patients(count: int, seed: int) -> list[HeldOutForecast]:
    """Errors are Gaussian and 30 times the spread; every patient is harder or easier as a whole."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        spread = generator.uniform(FLOOR, 10 * FLOOR, (6, 6, 6))
        hardness = generator.lognormal(0, 0.5)
        for contexts in (2, 3):
            error = 30 * hardness * spread * generator.normal(size=spread.shape)
            ratios = error_in_spreads(error, spread, np.ones(spread.shape))
            found.append(row(f"{number:03}", 0.5, contexts=contexts, error_in_spreads=ratios))
    return found


@pytest.mark.parametrize("count", [19, 60])
def test_a_new_patient_is_covered_as_promised(count: int) -> None:
    """Over many cohorts: a factor of few patients is wide enough because patients, not voxels, are counted."""
    held = []
    for seed in range(12):
        calibration = calibrate(noisy_patients(count, seed))
        assert calibration is not None
        assert [level.level for level in calibration.levels] == [0.5, 0.8, 0.9, 0.95]
        new = noisy_patients(10, 1000 + seed)
        held.append([coverage(new, level.factor).mean() for level in calibration.levels])
    mean, standard_error = np.mean(held, axis=0), np.std(held, axis=0) / np.sqrt(len(held))
    assert (mean > np.array([0.5, 0.8, 0.9, 0.95]) - 2.5 * standard_error).all()
    assert (mean < np.array([0.5, 0.8, 0.9, 0.95]) + 1.5 / count + 2.5 * standard_error).all()


def test_too_few_patients_promise_no_more_than_they_can() -> None:
    calibration = calibrate(noisy_patients(5, 0))
    assert calibration is not None
    assert [level.level for level in calibration.levels] == [0.5, 0.8]
    assert calibration.shown.level == 0.8
    assert calibration.patients == 5
    with pytest.raises(BundleError, match="no calibrated range of 95%"):
        calibration.at(0.95)


def test_forecasts_whose_members_agree_have_no_range(patients: list[PreparedPatient]) -> None:
    results = evaluate(create_method("linear"), patients, SETTINGS)
    assert all(result.error_in_spreads is None for result in results)
    assert calibrate(results) is None


def test_the_spread_below_the_floor_counts_as_the_floor() -> None:
    error = np.full((2, 2, 2), 3 * FLOOR)
    quantiles = error_in_spreads(error, np.zeros((2, 2, 2)), np.ones((2, 2, 2)))
    assert quantiles == pytest.approx(3)
    only = error_in_spreads(np.arange(8.0).reshape(2, 2, 2), np.ones((2, 2, 2)), np.arange(8).reshape(2, 2, 2) == 5)
    assert only == pytest.approx(5)


def test_coverage_of_the_test_patients_stands_beside_the_factor() -> None:
    calibration = calibrate(noisy_patients(30, 0))
    assert calibration is not None
    tested = measured(calibration, noisy_patients(12, 7))
    assert (tested.patients, tested.tested) == (30, 12)
    level = tested.at(0.9)
    assert level.coverage is not None
    assert level.low is not None
    assert level.low < level.coverage < level.high
    assert level.coverage == pytest.approx(0.9, abs=0.06)


# --- what a model leaves ------------------------------------------------------------------------------------------


def test_every_method_is_measured_on_the_same_forecasts(assessment: Assessment) -> None:
    assert list(assessment.results) == ["cronos", "mean", "linear", "ridge"]
    assert {len(rows) for rows in assessment.results.values()} == {4 * 5}
    copied = next(one for one in assessment.table if one.method == "cronos")
    assert copied.skill.mean == pytest.approx(0)  # untrained: it copies
    linear = next(one for one in assessment.table if one.method == "linear")
    assert linear.skill.mean > 0.3
    assert linear.ahead is not None
    assert linear.ahead.high < 0


def test_further_metrics_are_measured_on_request(patients: list[PreparedPatient]) -> None:
    (result,) = evaluate(create_method("linear"), patients[:1], SETTINGS, every_draw=False, further=True)
    assert result.nrmse is not None
    assert result.nrmse == pytest.approx(np.sqrt(result.mse), rel=0.02)
    assert result.change_correlation is not None
    assert result.change_correlation > 0.5
    assert result.crps is not None
    assert 0 < result.crps <= np.sqrt(result.mse), "the mean absolute error, as a line has one member"
    assert result.spread_skill is None
    assert evaluate(create_method("lci"), patients[:1], SETTINGS, every_draw=False)[0].ssim is None


def test_members_that_disagree_are_scored_as_an_ensemble(patients: list[PreparedPatient], tiny_bundle: Bundle) -> None:
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    torch.manual_seed(0)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    (result,) = evaluate(method, patients[:1], SETTINGS, every_draw=False, further=True)
    assert result.crps is not None
    assert result.spread_skill is not None
    assert result.error_in_spreads is not None
    assert 0 < result.crps < 1
    assert result.spread_skill > 0


def test_a_forecast_tells_its_draw(patients: list[PreparedPatient]) -> None:
    results = evaluate(create_method("lci"), patients[:1], SETTINGS)
    drawn = [draw_of(result, patients[0]) for result in results]
    assert drawn == list(frozen_draws(len(patients[0].times), SETTINGS.max_context))


def test_a_patient_is_shown_with_the_skill_of_all_its_forecasts(assessment: Assessment) -> None:
    subjects, (error, lci) = per_patient(assessment.results[assessment.method], "mse", "lci_mse")
    skills = dict(zip(subjects, 1 - error / lci))
    for picture in assessment.pictures:
        subject, skill = picture.caption.split(": ")[1].split(", skill ")
        assert float(skill) == pytest.approx(skills[subject], abs=1e-3)


def test_the_gallery_shows_best_median_and_worst(assessment: Assessment, tmp_path: Path) -> None:
    assert best_median_worst([0.1, 0.5, -0.2, 0.3]) == (("best", 1), ("median", 0), ("worst", 2))
    assert best_median_worst([0.4]) == (("worst", 0),)
    assert [picture.caption.split(":")[0] for picture in assessment.pictures] == ["best", "median", "worst"]
    write_assessment(tmp_path, assessment)
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "skill.csv", "gallery.png"}
    drawn = matplotlib.image.imread(tmp_path / "gallery.png")[..., :3]
    dark = np.array([0x10, 0x13, 0x16]) / 255
    assert (np.abs(drawn - dark).max(axis=-1) > 0.05).mean() > 0.2


# --- the bundle ---------------------------------------------------------------------------------------------------

CALIBRATION = Calibration(0.002, 30, (CalibratedLevel(0.5, 6.0, 0.52, 0.5, 0.54), CalibratedLevel(0.9, 24.5)), 30)


def test_a_calibration_comes_back_with_its_bundle(tiny_bundle: Bundle) -> None:
    calibrated = replace(tiny_bundle, calibration=CALIBRATION)
    assert Bundle.from_json(json.loads(json.dumps(calibrated.to_json())), tiny_bundle.path) == calibrated
    assert "calibration" not in tiny_bundle.to_json(), "an older bundle stays as it was"


@pytest.mark.parametrize("broken", [{"floor": 1}, {"floor": 0.1, "patients": 3, "levels": []}, [3]])
def test_a_broken_calibration_is_refused(tiny_bundle: Bundle, broken: object) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.from_json({**tiny_bundle.to_json(), "calibration": broken})


def test_a_card_is_written_anew_without_touching_the_weights(
    tiny_bundle: Bundle, assessment: Assessment, tmp_path: Path
) -> None:
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    saved = save_bundle(tmp_path / "bundle", tiny_bundle, method)
    weights = (tmp_path / "bundle" / "weights.safetensors").read_bytes()
    redescribe_bundle(replace(saved, calibration=CALIBRATION), assessment.for_card)
    assert (tmp_path / "bundle" / "weights.safetensors").read_bytes() == weights
    assert load_bundle(tmp_path / "bundle").calibration == CALIBRATION
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "by horizon" in card
    assert "by contexts" in card
    assert "| linear | " in card
    assert "gallery.png" in card
    assert (tmp_path / "bundle" / "gallery.png").is_file()
