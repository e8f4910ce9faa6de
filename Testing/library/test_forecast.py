"""The one call: series and target time in, forecast out."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.calibration import UNCALIBRATED, CalibratedLevel, Calibration
from CRONOSLib.bundles.store import load_bundle, save_bundle
from CRONOSLib.errors import MethodError, SeriesError
from CRONOSLib.forecast import Forecast, ForecastOptions, forecast
from CRONOSLib.forecasting.times import method_time, most_useful_scans
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.methods.registry import create_method
from CRONOSLib.series import LongitudinalSeries, TimeUnit

MakeSeries = Callable[..., LongitudinalSeries]
AS_IN_FILES = ForecastOptions(alignment=Alignment.OFF, device="cpu")


def voxels(image: sitk.Image | None) -> np.ndarray:
    assert image is not None
    return sitk.GetArrayFromImage(image).astype(np.float64)


def opinionated(bundle: Bundle, folder: Path, **changes: object) -> Bundle:
    """The bundle with random weights, so that its forecast depends on everything it is told."""
    method = create_method(bundle.method, bundle.settings)
    torch.manual_seed(0)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return load_bundle(save_bundle(folder, replace(bundle, **changes), method).path)  # type: ignore[arg-type]


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    return opinionated(tiny_bundle, tmp_path / "opinionated")


def test_lci_copies_the_last_scan(growing_series: MakeSeries) -> None:
    series = growing_series()
    result = forecast(series, 180.0, method="lci", options=AS_IN_FILES)
    assert np.array_equal(voxels(result.image), voxels(series.last.image))
    assert not voxels(result.change).any()
    assert result.spread is None
    assert result.nfe == 0


def test_a_line_sees_the_lesion_grow(growing_series: MakeSeries, head: Callable[[float], sitk.Image]) -> None:
    series = growing_series((0, 60, 120))
    result = forecast(series, 150.0, method="linear", options=AS_IN_FILES)
    truth, last = voxels(head(10.0)), voxels(series.last.image)
    assert voxels(result.change).sum() > 0
    assert np.mean((voxels(result.image) - truth) ** 2) < np.mean((last - truth) ** 2)


def test_the_forecast_lies_on_the_last_scans_grid(growing_series: MakeSeries, bundle: Bundle) -> None:
    series = growing_series()
    result = forecast(series, 180.0, bundle=bundle, options=AS_IN_FILES)
    for image in (result.image, result.change, result.spread):
        assert image is not None
        assert image.GetPixelID() == sitk.sitkFloat32
        assert Grid.of(image) == Grid.of(series.last.image)
    assert np.allclose(voxels(result.image), voxels(series.last.image) + voxels(result.change), atol=1e-3)


def test_an_untrained_network_is_lci(growing_series: MakeSeries, tiny_bundle: Bundle) -> None:
    options = replace(AS_IN_FILES, precision="fp32")
    result = forecast(growing_series(), 180.0, bundle=tiny_bundle, options=options)
    assert np.abs(voxels(result.change)).max() < 1e-3


def test_turning_the_target_time_changes_the_forecast(growing_series: MakeSeries, bundle: Bundle) -> None:
    near, far = (forecast(growing_series(), time, bundle=bundle, options=AS_IN_FILES) for time in (150.0, 300.0))
    assert np.abs(voxels(near.image) - voxels(far.image)).max() > 1


def test_the_same_seed_gives_the_same_forecast(growing_series: MakeSeries, bundle: Bundle) -> None:
    once, again = (forecast(growing_series(), 180.0, bundle=bundle, options=AS_IN_FILES) for _ in range(2))
    assert np.array_equal(voxels(once.image), voxels(again.image))


def test_the_callers_random_numbers_are_left_alone(growing_series: MakeSeries, bundle: Bundle) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = draw()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    forecast(growing_series(), 180.0, bundle=bundle, options=replace(AS_IN_FILES, seed=99))
    assert draw() == expected


def test_bf16_stays_close_to_fp32(growing_series: MakeSeries, bundle: Bundle) -> None:
    exact, fast = (
        forecast(growing_series(), 180.0, bundle=bundle, options=replace(AS_IN_FILES, precision=precision))
        for precision in ("fp32", "bf16")
    )
    difference = np.abs(voxels(exact.image) - voxels(fast.image)).max()
    assert 0 < difference < 0.05 * np.abs(voxels(exact.change)).max()


def test_costs_are_measured(growing_series: MakeSeries, bundle: Bundle) -> None:
    seen: list[float] = []
    options = replace(AS_IN_FILES, solver="rk4", steps=2)
    result = forecast(
        growing_series(), 180.0, bundle=bundle, options=options, on_progress=lambda what, done: seen.append(done)
    )
    assert result.nfe == 8
    assert set(result.phases) == {"prepare", "load", "forecast", "bring back"}
    assert result.seconds == pytest.approx(sum(result.phases.values()))
    assert result.peak_memory_mb is None or 50 < result.peak_memory_mb < 50_000
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_progress_can_stop_the_forecast(growing_series: MakeSeries) -> None:
    def stop(what: str, done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forecast(growing_series(), 180.0, method="lci", options=AS_IN_FILES, on_progress=stop)


def test_members_and_trajectory_come_on_request(growing_series: MakeSeries, bundle: Bundle) -> None:
    options = replace(AS_IN_FILES, steps=3, keep_members=True, keep_trajectory=True, precision="fp32")
    result = forecast(growing_series(), 180.0, bundle=bundle, options=options)
    assert result.members is not None
    assert result.trajectory is not None
    assert result.members.shape == result.prepared.images[:, 0].shape
    assert result.trajectory.shape == (4, *result.members.shape)
    assert np.array_equal(result.trajectory[0], result.prepared.images[:, 0])
    assert np.array_equal(result.trajectory[-1], result.members)
    plain = forecast(growing_series(), 180.0, bundle=bundle, options=AS_IN_FILES)
    assert plain.members is None
    assert plain.trajectory is None


def test_averaging_the_members_changes_the_forecast(growing_series: MakeSeries, bundle: Bundle) -> None:
    last, mean = (
        forecast(growing_series(), 180.0, bundle=bundle, options=replace(AS_IN_FILES, aggregate=aggregate))
        for aggregate in ("last", "mean")
    )
    assert np.abs(voxels(last.image) - voxels(mean.image)).max() > 0.1


def test_one_scan_is_enough_for_a_network_and_has_no_spread(growing_series: MakeSeries, bundle: Bundle) -> None:
    result = forecast(growing_series((0,)), 100.0, bundle=bundle, options=AS_IN_FILES)
    assert result.spread is None
    assert result.alignments == (None,)


def test_a_target_at_the_last_scan_gives_the_last_scan(growing_series: MakeSeries, bundle: Bundle) -> None:
    options = replace(AS_IN_FILES, precision="fp32")
    result = forecast(growing_series(), 120.0, bundle=bundle, options=options)
    assert np.abs(voxels(result.change)).max() < 1e-3


@pytest.mark.parametrize(("target", "warns"), [(180.0, False), (130.0, True), (900.0, True), (90.0, True)])
def test_a_horizon_that_training_never_saw_is_a_warning(
    growing_series: MakeSeries, bundle: Bundle, target: float, warns: bool
) -> None:
    result = forecast(growing_series(), target, bundle=bundle, options=AS_IN_FILES)
    assert any("horizons of 30 to 200 days" in warning for warning in result.warnings) == warns


def test_weeks_are_understood_by_a_bundle_that_counts_days(growing_series: MakeSeries, bundle: Bundle) -> None:
    days = growing_series((0, 70))
    weeks = LongitudinalSeries(tuple(replace(scan, time=scan.time / 7) for scan in days), TimeUnit.WEEK)
    in_days, in_weeks = method_time(days, 140.0, bundle), method_time(weeks, 20.0, bundle)
    assert in_weeks.target == pytest.approx(in_days.target) == pytest.approx(70 / 365.25)
    assert in_weeks.times == pytest.approx(in_days.times)


def test_milliseconds_are_refused_by_a_bundle_that_counts_days_unless_rescaled(
    beating_series: LongitudinalSeries, bundle: Bundle
) -> None:
    with pytest.raises(MethodError, match=r"in ms.*cronos-continuous-sim-cine.*such as linear.*--rescale-time"):
        forecast(beating_series, 150.0, bundle=bundle)
    result = forecast(beating_series, 150.0, bundle=bundle, options=ForecastOptions(rescale_time=True, device="cpu"))
    assert any("mean gap of 50 ms counts as 60 days" in warning for warning in result.warnings)
    assert method_time(beating_series, 150.0, bundle, rescale=True).target == pytest.approx(60 / 365.25)


def test_scans_of_one_exam_are_not_aligned_unless_asked(beating_series: LongitudinalSeries) -> None:
    result = forecast(beating_series, 150.0, method="linear")
    assert result.preprocessing.alignment is Alignment.OFF
    assert result.preprocessing.intensity.scope == "shared"


def test_the_unit_does_not_matter_without_a_bundle(growing_series: MakeSeries) -> None:
    days = growing_series()
    years = LongitudinalSeries(tuple(replace(scan, time=scan.time / 365.25) for scan in days), TimeUnit.YEAR)
    for method in ("linear", "ridge"):
        a = forecast(days, 180.0, method=method, options=AS_IN_FILES)
        b = forecast(years, 180.0 / 365.25, method=method, options=AS_IN_FILES)
        assert np.allclose(voxels(a.image), voxels(b.image), atol=1e-2)


def test_more_scans_than_training_saw_are_left_out_with_a_warning(growing_series: MakeSeries) -> None:
    kept = most_useful_scans(growing_series((0, 60, 120, 180)), 240.0, 3)
    assert kept.times == (60.0, 120.0, 180.0)
    assert "1 of the 4 scans" in kept.warnings[-1]
    between = most_useful_scans(growing_series((0, 60, 120, 180)), 30.0, 3)
    assert between.times == (0.0, 60.0, 180.0)


def test_a_bundle_without_skill_says_so(growing_series: MakeSeries, tiny_bundle: Bundle) -> None:
    bare = replace(tiny_bundle, skill=None)
    result = forecast(growing_series(), 180.0, bundle=bare, options=AS_IN_FILES)
    assert any("was not measured" in warning for warning in result.warnings)


def expect(complaint: str, series: LongitudinalSeries, **arguments: object) -> None:
    with pytest.raises(MethodError, match=complaint):
        forecast(series, 180.0, **arguments)  # type: ignore[arg-type]


def test_what_does_not_suit_is_said_in_one_sentence(growing_series: MakeSeries, tiny_bundle: Bundle) -> None:
    series, single = growing_series(), growing_series((0,))
    expect("No method was chosen", series)
    expect("no method 'magic'", series, method="magic")
    expect("learns from a cohort", series, method="cronos-continuous")
    expect("but 'linear' was asked for", series, method="linear", bundle=tiny_bundle)
    expect("needs 2 scans or more, but there is 1", single, method="linear")
    expect("integrates no flow", series, method="lci", options=replace(AS_IN_FILES, steps=2))
    expect("no trajectory", series, method="lci", options=replace(AS_IN_FILES, keep_trajectory=True))
    for options, complaint in (
        (ForecastOptions(device="tpu"), "no device 'tpu'"),
        (ForecastOptions(device="cuda:77"), "no GPU 'cuda:77'"),
        (ForecastOptions(precision="int4"), "no precision 'int4'"),
        (ForecastOptions(solver="magic"), "no solver 'magic'"),
        (ForecastOptions(steps=0), "0 steps"),
        (ForecastOptions(aggregate="median"), "no aggregation 'median'"),
        (ForecastOptions(aggregate="learned"), "without learned weights"),
    ):
        expect(complaint, single, bundle=tiny_bundle, options=options)
    with pytest.raises(MethodError, match="no gap"):
        forecast(single, 180.0, bundle=tiny_bundle, options=ForecastOptions(rescale_time=True))
    with pytest.raises(SeriesError, match="before the first scan"):
        forecast(series, -1.0, method="lci")


def test_without_torch_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = None
import numpy as np, SimpleITK as sitk
from CRONOSLib.errors import MissingPackageError
from CRONOSLib.forecast import forecast
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource
image = sitk.GetImageFromArray(np.random.rand(8, 8, 8).astype("float32"))
try:
    forecast(LongitudinalSeries((Scan(image, 0.0, "a", TimeSource.TYPED),)), 1.0, method="lci")
except MissingPackageError as error:
    print(error)
"""
    library = Path(__file__).resolve().parents[2] / "CRONOSPredict"
    told = subprocess.run([sys.executable, "-c", code], cwd=library, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("Forecasting needs the package 'torch', which is not installed.")


def test_a_forecast_describes_itself(growing_series: MakeSeries, bundle: Bundle) -> None:
    result = forecast(growing_series(), 180.0, bundle=bundle, options=AS_IN_FILES)
    assert isinstance(result, Forecast)
    assert (result.method, result.bundle, result.device) == ("cronos-continuous", bundle, "cpu")
    assert result.series.describe_time(result.target_time) == "2020-06-29"


CALIBRATION = Calibration(0.01, 30, (CalibratedLevel(0.5, 2.0, 0.52, 0.5, 0.54), CalibratedLevel(0.9, 8.0, 0.93)), 30)


def test_a_calibrated_spread_is_the_range_that_held_the_truth(growing_series: MakeSeries, bundle: Bundle) -> None:
    plain = forecast(growing_series(), 180.0, bundle=bundle, options=AS_IN_FILES)
    calibrated = replace(bundle, calibration=CALIBRATION)
    ranged = forecast(growing_series(), 180.0, bundle=calibrated, options=AS_IN_FILES)
    assert ranged.spread_meaning == "± range that held the truth in 93% of the voxels of 30 test patients"
    assert plain.spread_meaning == UNCALIBRATED
    units = plain.prepared.scales[-1].scale
    centre = tuple(size // 2 for size in voxels(plain.spread).shape)
    assert voxels(ranged.spread)[centre] >= 8 * 0.01 * units * 0.999
    assert voxels(ranged.spread)[centre] >= 8 * voxels(plain.spread)[centre] * 0.999
    assert np.array_equal(voxels(ranged.image), voxels(plain.image))


def test_a_range_is_not_promised_for_members_it_was_not_measured_on(growing_series: MakeSeries, bundle: Bundle) -> None:
    calibrated = replace(bundle, calibration=CALIBRATION)
    other = forecast(growing_series(), 180.0, bundle=calibrated, options=replace(AS_IN_FILES, steps=3))
    assert other.spread_meaning == UNCALIBRATED
    assert forecast(growing_series((120,)), 180.0, bundle=calibrated, options=AS_IN_FILES).spread is None
