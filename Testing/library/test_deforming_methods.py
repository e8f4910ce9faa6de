"""NODER and geodesic regression: growth with a known answer, and what every fit must obey."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.errors import MethodError
from CRONOSLib.evaluation.deformation import regularity
from CRONOSLib.flow.deformation import exponential, voxel_cloud
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.forecast import ForecastOptions, forecast
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.deformable import Visits, slope_through_reference
from CRONOSLib.methods.interface import Members
from CRONOSLib.methods.registry import create_method, method_entry, presets
from CRONOSLib.methods.settings import settings_to_json
from CRONOSLib.networks.voxel_cloud import CloudSettings, CloudVelocity, TimeInject
from CRONOSLib.report import report
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit

DEFORMING = ("noder", "geodesic-regression")
SIZE, RATE = 16, 0.12
QUICK = {"descent": {"iterations": 3, "learning_rate": 0.005}}
NETWORK = {"predictor": {"channels": (4, 8, 8, 8), "final": (4,)}}


def grown(time: float) -> torch.Tensor:
    """(1, 1, D, H, W) a textured ball that grows by exp(rate · time) around the centre."""
    place = (voxel_cloud((SIZE,) * 3, torch.zeros(1)) - (SIZE - 1) / 2) * np.exp(-RATE * time)
    z, y, x = place[:, 0:1], place[:, 1:2], place[:, 2:3]
    radius = place.square().sum(dim=1, keepdim=True).sqrt()
    return torch.sigmoid((0.28 * SIZE - radius) / 1.2) * (
        0.6 + 0.25 * torch.sin(1.1 * z) * torch.cos(0.9 * y) * x.cos()
    )


def growth(times: tuple[float, ...] = (0.0, 1.0, 2.0), target: float = 3.0) -> SeriesBatch:
    """A patient whose scans know nothing of the target."""
    return SeriesBatch(
        images=torch.stack([grown(time) for time in times], dim=1),
        times=torch.tensor([times]),
        mask=torch.ones(1, len(times), dtype=torch.bool),
        target_time=torch.tensor([target]),
        target=grown(target),
    )


def run(name: str, batch: SeriesBatch, preset: str = "default", **settings) -> Members:
    with torch.inference_mode():
        return create_method(name, settings, preset).eval().forecast(batch)


@pytest.mark.parametrize("name", DEFORMING)
def test_growth_is_recovered_without_folding_at_every_time(name):
    torch.manual_seed(0)
    method = create_method(name, {"shrinkage": 0.0, "smoothness": 0.01, "descent": {"iterations": 60}})
    for time in (1.5, 2.5, 3.0, 4.0):
        batch = growth(target=time)
        found = method.forecast(batch)
        truth = (voxel_cloud((SIZE,) * 3, torch.zeros(1)) - (SIZE - 1) / 2) * (np.exp(-RATE * (time - 2)) - 1)
        inside = grown(time)[:, 0] > 0.3
        error, size = (
            (field.square().sum(dim=1).sqrt())[inside].mean() for field in (found.displacement - truth, truth)
        )
        assert error < 0.3 * size  # 0.17 voxels of 0.55 at time 3
        assert regularity(found.displacement[0].numpy()).folding_percent == 0
        copying = torch.mean((batch.last_image - batch.target) ** 2)
        assert torch.mean((found.forecast - batch.target) ** 2) < 0.3 * copying


@pytest.mark.parametrize("name", DEFORMING)
def test_no_iterations_are_the_last_scan(name):
    batch = growth()
    found = run(name, batch, descent={"iterations": 0})
    torch.testing.assert_close(found.forecast, batch.last_image, atol=1e-6, rtol=0)
    assert found.displacement.abs().max() == 0


@pytest.mark.parametrize("name", DEFORMING)
def test_one_scan_is_the_last_scan(name):
    batch = growth(times=(2.0,))
    torch.testing.assert_close(run(name, batch).forecast, batch.last_image)


@pytest.mark.parametrize("name", DEFORMING)
def test_the_target_is_never_looked_at(name):
    batch = growth()
    blind = replace(batch, target=None)
    assert torch.equal(run(name, batch, **QUICK).forecast, run(name, blind, **QUICK).forecast)


@pytest.mark.parametrize("name", DEFORMING)
def test_a_fit_can_be_stopped_while_it_runs(name):
    told = []

    def stop(done: float) -> None:
        told.append(done)
        if len(told) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        create_method(name).forecast(growth(), on_step=stop)
    assert 0 < told[0] < told[1] < 1


@pytest.mark.parametrize("name", DEFORMING)
def test_a_fit_ends_when_nothing_gets_better(name):
    told = []
    batch = growth()
    still = replace(batch, images=batch.images[:, :1].expand_as(batch.images).clone())
    create_method(name, {"descent": {"patience": 3}}).forecast(still, on_step=told.append)
    assert len(told) < 10


@pytest.mark.parametrize("name", DEFORMING)
def test_another_date_of_the_same_patient_needs_no_other_fit(name):
    method, batch = create_method(name, QUICK), growth()
    told: list[float] = []
    method.forecast(batch, on_step=told.append)
    first = len(told)
    later = method.forecast(replace(batch, target_time=batch.target_time + 1), on_step=told.append)
    assert (first, len(told) - first) == (4, 1)
    fresh = create_method(name, QUICK).forecast(replace(batch, target_time=batch.target_time + 1))
    torch.testing.assert_close(later.forecast, fresh.forecast)


def test_evaluations_count_for_every_date():
    method, batch = create_method("noder", {**QUICK, "shrinkage": 0.0}), growth()
    first = method.forecast(batch)
    assert first.nfe == 3 * 4 + 2  # Euler steps of a quarter span: back to the first scan in each iteration, then ahead
    assert method.forecast(replace(batch, target_time=torch.tensor([4.0]))).nfe == 4
    predicted = create_method("noder", {**QUICK, **NETWORK, "shrinkage": 0.0}, "amortised")
    assert predicted.forecast(batch).nfe == first.nfe + 2


@pytest.mark.parametrize("name", DEFORMING)
def test_what_no_deformation_explains_goes_on_by_itself(name):
    batch = growth()
    gains = torch.tensor([0.6, 0.7, 0.8]).view(1, 3, 1, 1, 1, 1)
    brighter = replace(batch, images=grown(0.0).unsqueeze(1) * gains, target=0.9 * grown(0.0))
    settings = {**QUICK, "shrinkage": 0.0}
    errors = {
        residual: torch.mean((run(name, brighter, residual=residual, **settings).forecast - brighter.target) ** 2)
        for residual in ("off", "ridge")
    }
    assert errors["ridge"] < 0.5 * errors["off"]


@pytest.mark.parametrize("name", DEFORMING)
def test_the_displacement_leads_from_the_last_scan_whatever_the_reference(name):
    found = {
        reference: run(name, growth(), reference=reference, descent={"iterations": 25}).displacement
        for reference in ("first", "last")
    }
    inside = (grown(3.0)[:, 0] > 0.5).unsqueeze(1).expand_as(found["last"])
    first, last = (found[reference][inside] for reference in ("first", "last"))
    assert torch.nn.functional.cosine_similarity(first, last, dim=0) > 0.8


@pytest.mark.parametrize("name", DEFORMING)
def test_every_preset_forecasts(name):
    for preset in presets(name):
        chosen = NETWORK if method_entry(name).learns(preset) else {}
        if name == "noder":
            chosen = {**chosen, "pretraining": 2}
        assert torch.isfinite(run(name, growth(), preset, **QUICK, **chosen).forecast).all()


@pytest.mark.parametrize(("name", "preset"), [("noder", "amortised"), ("geodesic-regression", "fast")])
def test_a_trained_network_shortens_the_fit(name, preset):
    torch.manual_seed(0)
    settings = {**NETWORK, "fit_size": SIZE, "descent": {"iterations": 0}, "dissimilarity": {"measure": "mse"}}
    settings |= {"smoothness": 0.001, "shrinkage": 0.0}
    method, batch = create_method(name, settings, preset), growth()
    torch.testing.assert_close(method.forecast(batch).forecast, batch.last_image, atol=1e-6, rtol=0)
    pairs = [growth((1.0,), 2.0), growth((2.0,), 1.0), growth((2.0,), 0.0)]
    optimiser = torch.optim.Adam(method.parameters(), lr=5e-3)
    for step in range(60):
        optimiser.zero_grad()
        method.loss(pairs[step % 3]).backward()
        optimiser.step()
    copying = torch.mean((batch.last_image - batch.target) ** 2)
    assert torch.mean((method.forecast(batch).forecast - batch.target) ** 2) < 0.8 * copying


def test_half_precision_around_a_predictor_changes_nothing():
    torch.manual_seed(0)
    settings = {"predictor": {"channels": (4, 8, 8, 8)}}  # two voxels thin at its coarsest level
    method, batch = create_method("geodesic-regression", settings, "fast"), growth()
    for value in method.parameters():
        torch.nn.init.normal_(value, std=0.1)
    thin = replace(batch, images=batch.images[..., :8, :, :], target=batch.target[..., :8, :, :])
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = method.loss(thin)
        method.zero_grad()
        loss.backward()
        gradients.append(torch.cat([value.grad.flatten() for value in method.parameters()]))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("name", "preset"), [(name, p) for name in DEFORMING for p in ("default", "paper")])
def test_as_published_a_horizon_is_as_long_as_it_is(name, preset):
    method, spans = create_method(name, preset=preset), torch.tensor([0.0, 0.5, 1.0])
    times = spans if preset == "paper" else spans - 1
    reached = method._reached(times, torch.tensor(5.0)) - times[-1]
    assert (reached == 5) == (preset == "paper")


@pytest.mark.parametrize("preset", ["paper", "release"])
def test_a_forecast_steps_through_the_visits_as_its_fit_did(preset):
    cloud = {"levels": 2, "smoothing": {"size": 3}}
    method = create_method("noder", {"cloud": cloud, "pretraining": 1, **QUICK}, preset)
    images = growth((0.0, 0.5, 1.2, 2.0)).images[0]
    visits = Visits(images, torch.tensor([0.0, 0.25, 0.6, 1.0]), reference=0)
    flow = method.fit(visits, None, lambda done: None)
    assert torch.equal(flow.at(visits.times[-1:]), flow.at(visits.times)[-1:])


def test_a_cloud_stays_where_it_is_at_time_0_and_a_constant_field_is_its_exponential():
    torch.manual_seed(0)
    shape = (8, 9, 10)
    network = CloudVelocity(shape, CloudSettings(time=TimeInject.NONE))
    shift = torch.tensor([0.5, -1.0, 2.0]).view(1, 3, 1, 1, 1)
    network.begin_with(shift.expand(1, 3, *shape) * 1.0)
    velocity = network(torch.tensor(0.3), torch.zeros(1, 3, *shape))
    torch.testing.assert_close(velocity, exponential(shift.expand(1, 3, *shape)), atol=1e-4, rtol=0)


def test_a_slope_is_weighted_least_squares_through_the_reference():
    times = torch.tensor([0.0, 1.0, 3.0])
    values = torch.tensor([[0.0], [2.5], [6.5]])
    expected = np.linalg.lstsq(times[:, None].numpy(), values.numpy(), rcond=None)[0]
    assert slope_through_reference(times, values).item() == pytest.approx(expected.item())


def test_pairwise_and_joint_velocities_of_a_steady_motion_agree():
    batch = growth()
    found = [run("geodesic-regression", batch, velocities=velocities) for velocities in ("joint", "pairwise")]
    inside = (grown(3.0)[:, 0] > 0.3).unsqueeze(1).expand_as(found[0].displacement)
    assert (found[0].displacement - found[1].displacement)[inside].abs().mean() < 0.1


def test_visits_know_whom_the_reference_is_compared_with():
    visits = Visits(torch.zeros(3, 1, 4, 4, 4), torch.tensor([-1.0, -0.5, 0.0]), 2)
    assert visits.followed.tolist() == [0, 1]


# --- through the one call that everybody uses ---------------------------------------------------------------------


def patient() -> LongitudinalSeries:
    """The growing ball as scans with space."""
    scans = []
    for day in (0.0, 1.0, 2.0):
        image = sitk.GetImageFromArray(1000 * grown(day)[0, 0].numpy())
        image.SetSpacing((0.9, 0.9, 2.0))
        image.SetOrigin((-20.0, 30.0, 5.0))
        scans.append(Scan(image, day, f"day {day:g}", TimeSource.TYPED))
    return LongitudinalSeries(tuple(scans), TimeUnit.DAY)


@pytest.fixture(scope="module")
def result():
    return forecast(patient(), 8.0, method="geodesic-regression")


def test_labels_of_the_last_scan_grow_with_it(result):
    labels = sitk.GetImageFromArray((3 * (grown(2.0)[0, 0] > 0.3)).to(torch.uint8).numpy())
    labels.CopyInformation(result.series.last.image)
    carried = result.carry(labels)
    before, after = (sitk.GetArrayFromImage(image) for image in (labels, carried))
    assert set(np.unique(after)) == {0, 3}
    assert carried.GetPixelID() == labels.GetPixelID()
    assert (after > 0).sum() > 1.2 * (before > 0).sum()
    assert (after[before > 0] > 0).mean() > 0.98


def test_the_report_says_how_much_folds(result):
    written = json.loads(json.dumps(report(result), allow_nan=False))
    assert written["deformation"]["folding_percent"] == 0
    assert written["deformation"]["sd_log_jacobian"] > 0
    assert report(forecast(patient(), 8.0, method="linear"))["deformation"] is None


def test_labels_need_a_method_that_deforms():
    copied = forecast(patient(), 8.0, method="linear")
    with pytest.raises(MethodError, match="cannot carry labels"):
        copied.carry(sitk.Image(4, 4, 4, sitk.sitkUInt8))


def test_labels_are_refused_before_anything_is_computed():
    heard = []
    labels = [sitk.Image(4, 4, 4, sitk.sitkUInt8)]
    with pytest.raises(MethodError, match="cannot carry labels"):
        forecast(patient(), 8.0, method="linear", labels=labels, on_progress=lambda *news: heard.append(news))
    assert not heard


@pytest.mark.parametrize(
    ("method", "preset", "sentence"),
    [("noder", "thesis", "no preset 'thesis'"), ("noder", "amortised", "learns from a cohort")],
)
def test_a_preset_that_cannot_be_had_is_one_sentence(method, preset, sentence):
    with pytest.raises(MethodError, match=sentence):
        forecast(patient(), 8.0, method=method, options=ForecastOptions(preset=preset))


# --- with a network that learns from a cohort ---------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFORMING)
def test_settings_come_back_from_a_bundle_as_they_were(name):
    for preset in presets(name):
        settings = create_method(name, preset=preset).settings
        written = json.loads(json.dumps(settings_to_json(settings), allow_nan=False))
        assert create_method(name, written).settings == settings


def test_a_trained_start_becomes_a_bundle_that_forecasts(growing_cohort, tmp_path):
    from CRONOSLib.training.fit import fit
    from CRONOSLib.training.settings import TrainSettings

    chosen = {**NETWORK, "fit_size": 16, "descent": {"iterations": 2}}
    settings = TrainSettings(
        steps=2,
        preset="amortised",
        method_settings=chosen,
        preprocessing=Preprocessing(GridSpec(spacing_mm=4.0)),
        validate_every=2,
        precision="32-true",
    )
    made = fit(growing_cohort, "noder", tmp_path / "run", settings)
    method = load_method(made.bundle, torch.device("cpu"))
    assert method.settings.descent.iterations == 2
    assert torch.isfinite(method.forecast(growth()).forecast).all()
