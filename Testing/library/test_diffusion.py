"""Schedules and samplers on distributions that are known, and what the methods that sample must obey."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import SimpleITK as sitk
import torch
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import load_bundle, save_bundle
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.diffusion.prediction import Prediction
from CRONOSLib.flow.diffusion.sampler import SAMPLERS, Sampler, sample
from CRONOSLib.flow.diffusion.schedule import DiffusionSchedule, Schedule, alpha_sigma
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.solvers import Solver, integrate
from CRONOSLib.forecast import ForecastOptions, forecast
from CRONOSLib.forecasting.choice import override
from CRONOSLib.forecasting.devices import seeded
from CRONOSLib.methods.diffusion import Diffusion
from CRONOSLib.methods.interface import MemberKind, Members
from CRONOSLib.methods.registry import create_method, presets
from CRONOSLib.methods.settings import settings_to_json
from CRONOSLib.report import report

METHODS = ("sadm", "conditional-diffusion")
SIZE = 16
SMALL = {"network": {"unet": {"width": 8, "multipliers": (1, 2), "embedding": 16, "groups": 4}}}
ATTENTION = {"sequence": {"width": 16, "blocks": 1}}
FAST = {"sampler": {"steps": 4}}
COUNT, MEAN, SD = 20_000, 1.3, 0.4


def patient(seed: int = 0, target: bool = False) -> SeriesBatch:
    """One patient with three irregular visits."""
    torch.manual_seed(seed)
    times = torch.rand(1, 3).cumsum(dim=1) * 0.4
    return SeriesBatch(
        images=torch.rand(1, 3, 1, SIZE, SIZE, SIZE),
        times=times,
        mask=torch.ones(1, 3, dtype=torch.bool),
        target_time=times[:, -1] + 0.3,
        target=torch.rand(1, 1, SIZE, SIZE, SIZE) if target else None,
    )


def untrained(name: str, preset: str = "default", **settings) -> Diffusion:
    """A small method as it is made."""
    torch.manual_seed(1)
    given = {**SMALL, **FAST, **(ATTENTION if name == "sadm" else {}), **settings}
    method = create_method(name, given, preset).eval()
    assert isinstance(method, Diffusion)
    return method


def stirred(name: str, preset: str = "default", **settings) -> Diffusion:
    """A small method with every weight moved away from its start, so that nothing is 0 by chance."""
    method = untrained(name, preset, **settings)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return method


def members(method: Diffusion, batch: SeriesBatch, seed: int = 0) -> Members:
    with torch.inference_mode(), seeded(seed):
        return method.forecast(batch)


def exact_normal(z, level):
    """E[x | z] of x ~ N(MEAN, SD²)."""
    kept, lost = level.alpha**2 * SD**2, level.sigma**2
    return (MEAN * lost + SD**2 * level.alpha * z) / (kept + lost)


def exact_two_peaks(z, level):
    """E[x | z] of x that is −1 or 2 with equal probability."""
    return 3 * torch.sigmoid(level.alpha / level.sigma**2 * (3 * z - level.alpha * 1.5)) - 1


@pytest.mark.parametrize("kind", Schedule)
@pytest.mark.parametrize(
    ("sampler", "sd_error"),
    [(Sampler("ancestral", 1000), 0.02), (Sampler("ddim", 200), 0.02), (Sampler("dpm++", 25), 0.05)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_exact_denoiser_samples_the_known_normal_distribution(kind, sampler, sd_error):
    torch.manual_seed(0)
    drawn = sample(exact_normal, lambda: torch.randn(COUNT), DiffusionSchedule(kind), sampler)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(drawn.std()) == pytest.approx(SD, rel=sd_error)


def test_few_steps_reach_the_peaks_that_a_thousand_ancestral_steps_reach():
    torch.manual_seed(0)
    schedule = DiffusionSchedule()
    slow = sample(exact_two_peaks, lambda: torch.randn(COUNT), schedule, Sampler("ancestral", 1000))
    fast = sample(exact_two_peaks, lambda: torch.randn(COUNT), schedule, Sampler("dpm++", 25))
    assert float(slow.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(slow.std()) == pytest.approx(1.5, abs=0.05)
    assert float(fast.mean()) == pytest.approx(float(slow.mean()), abs=0.05)
    assert float(fast.std()) == pytest.approx(float(slow.std()), abs=0.05)


def test_the_second_order_sampler_needs_fewer_steps():
    """Against the map from noise to image that endless steps make: z ↦ MEAN + SD · z."""
    noise = torch.linspace(-2, 2, 101)

    def error(name: str, steps: int) -> float:
        drawn = sample(exact_normal, lambda: noise, DiffusionSchedule(), Sampler(name, steps))
        return float((drawn - (MEAN + SD * noise)).abs().max())

    assert error("dpm++", 20) < error("ddim", 20) < error("ddim", 10)
    assert error("dpm++", 20) < 0.03


def test_the_exact_velocity_carries_the_context_to_the_known_normal_distribution():
    """Flow matching: X₀ ~ N(0, 1), X₁ = 2 + X₀/2 + 0.6 ε, so that X₁ ~ N(2, 0.61)."""

    def velocity(x, tau):
        """E[X₁ − X₀ | X_τ = x]: linear, as X₀ and X₁ are jointly normal."""
        variance = (1 - tau) ** 2 + 2 * tau * (1 - tau) * 0.5 + tau**2 * 0.61
        covariance = -(1 - tau) + (1 - 2 * tau) * 0.5 + tau * 0.61
        return 2 + covariance / variance * (x - 2 * tau)

    torch.manual_seed(0)
    moved = integrate(velocity, torch.randn(COUNT), Solver("rk4", 8)).state
    assert float(moved.mean()) == pytest.approx(2, abs=0.02)
    assert float(moved.std()) == pytest.approx(math.sqrt(0.61), rel=0.02)


@pytest.mark.parametrize("prediction", Prediction)
def test_the_goal_of_every_prediction_stands_for_the_clean_image(prediction):
    clean, noise = torch.randn(2, 5), torch.randn(2, 5)
    alpha, sigma = alpha_sigma(torch.tensor(0.7))
    goal = prediction.goal(clean, noise, alpha, sigma)
    found = prediction.clean(goal, alpha * clean + sigma * noise, float(alpha), float(sigma))
    torch.testing.assert_close(found, clean)


def test_schedules_go_from_the_image_to_noise():
    for schedule in (DiffusionSchedule(), DiffusionSchedule(Schedule.LINEAR)):
        assert (schedule.log_snr().diff() < 0).all()
        first, *_, last = schedule.levels(1000)
        assert first.share == 1
        assert first.alpha < 0.01
        assert last.alpha > 0.999
        assert last.alpha**2 + last.sigma**2 == pytest.approx(1)
    linear = DiffusionSchedule(Schedule.LINEAR).levels(1000)
    assert linear[-1].sigma ** 2 == pytest.approx(1e-4)
    assert (linear[0].alpha / linear[1].alpha) ** 2 == pytest.approx(1 - 0.02)


class ExactDenoiser(torch.nn.Module):
    """What a denoiser of changes that are N(MEAN, SD²) in every voxel learns in the end, told the share k/K alone."""

    def __init__(self, schedule: DiffusionSchedule) -> None:
        super().__init__()
        self.schedule, self.levels = schedule, []

    def forward(self, noisy, share, guide):
        step = (share * self.schedule.steps).round().long()
        alpha, sigma = alpha_sigma(self.schedule.log_snr()[step - 1].view(-1, 1, 1, 1, 1))
        self.levels.append((alpha, sigma))
        return (MEAN * sigma**2 + SD**2 * alpha * noisy) / (alpha**2 * SD**2 + sigma**2)


def test_training_and_sampling_mean_the_same_noise_by_a_step():
    """The exact denoiser has the least loss there is, the variance of x given z, and samples the known normal."""
    schedule, sampler = DiffusionSchedule(steps=8), Sampler("ddim", 8)
    told = {"schedule": {"kind": schedule.kind.value, "steps": 8}, "sampler": {"name": "ddim", "steps": 8}}
    method = untrained("conditional-diffusion", **told, drop=0.0, at_start=0.3, samples=1)
    batch = patient()
    many = batch.taking(torch.arange(3)[None])
    many = replace(
        many,
        images=many.images.expand(12, *many.images.shape[1:]),
        times=many.times.expand(12, -1),
        mask=many.mask.expand(12, -1),
        target_time=many.target_time.expand(12),
    )
    unit = method.settings.change_scale
    many = replace(many, target=many.last_image + unit * (MEAN + SD * torch.randn_like(many.last_image)))
    method.denoiser = exact = ExactDenoiser(schedule)
    with torch.inference_mode():
        found = method.denoised(many)
    alpha, sigma = exact.levels[0]
    least = (SD**2 * sigma**2 / (alpha**2 * SD**2 + sigma**2)).flatten()
    loss = (found.output - found.goal).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(loss, least, rtol=0.1, atol=0)
    assert least.max() > 1.5 * least.min()  # patients at several steps
    expected = sample(exact_normal, lambda: torch.randn(COUNT), schedule, sampler)
    drawn = (members(method, many).images[:, 0] - many.last_image) / unit
    assert float(drawn.mean()) == pytest.approx(float(expected.mean()), abs=0.02)
    assert float(drawn.std()) == pytest.approx(float(expected.std()), rel=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_an_untrained_change_is_the_last_scan_in_every_sample(name):
    batch = patient()
    found = members(untrained(name), batch)
    torch.testing.assert_close(found.images, batch.last_image.unsqueeze(1).expand_as(found.images))
    assert float(found.spread.max()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_a_forecast_is_the_mean_of_its_samples_and_the_spread_their_deviation(name):
    found = members(stirred(name, samples=5), patient())
    assert found.images.shape == (1, 5, 1, SIZE, SIZE, SIZE)
    assert found.mask.all()
    assert found.kind is MemberKind.SAMPLE
    torch.testing.assert_close(found.forecast, found.images.mean(dim=1))
    torch.testing.assert_close(found.spread, found.images.std(dim=1, correction=0), atol=1e-5, rtol=1e-4)
    assert found.spread.max() > 1e-3
    assert found.nfe == 4


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_decides_the_samples_and_more_samples_keep_the_first(name):
    method, batch = stirred(name, samples=2), patient()
    assert torch.equal(members(method, batch).images, members(method, batch).images)
    assert not torch.equal(members(method, batch).images, members(method, batch, seed=1).images)
    more = members(stirred(name, samples=3), batch)
    torch.testing.assert_close(more.images[:, :2], members(method, batch).images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_padding_changes_nothing_whatever_it_holds(name, preset):
    batch, method = patient(), stirred(name, preset)
    padded = replace(
        batch,
        images=torch.cat([1e3 * torch.ones_like(batch.images[:, :2]), batch.images], dim=1),
        times=torch.cat([batch.times[:, :2] + 7, batch.times], dim=1),
        mask=torch.cat([~batch.mask[:, :2], batch.mask], dim=1),
    )
    torch.testing.assert_close(members(method, padded).images, members(method, batch).images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("preset", "tolerance"), [("default", 1e-5), ("paper", 1e-3)])  # ε is divided by a small α
def test_a_patient_alone_equals_the_same_patient_in_a_batch(name, preset, tolerance):
    first, second, method = patient(0), patient(1), stirred(name, preset)
    fields = ("images", "times", "mask", "target_time")
    both = SeriesBatch(*(torch.cat([getattr(first, field), getattr(second, field)]) for field in fields))
    together = members(method, both).images
    torch.testing.assert_close(together[:1], members(method, first).images, atol=tolerance, rtol=0)
    torch.testing.assert_close(together[1:], members(method, second).images, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_guidance_of_0_equals_no_guidance_and_more_changes_the_forecast(name):
    batch = patient()
    none = members(stirred(name), batch).images
    hardly = members(stirred(name, guidance=1e-9), batch).images  # through the evaluation of both
    torch.testing.assert_close(hardly, none, atol=1e-5, rtol=0)
    assert (members(stirred(name, guidance=2.0), batch).images - none).abs().max() > 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_guidance_leads_on_from_what_is_said_without_the_guide(name):
    """x̂ = (1 + w) x̂(z, guide) − w x̂(z, nothing), which at w = −1 knows no target time."""
    batch = patient()
    later = replace(batch, target_time=batch.target_time + 0.5)

    def after_one_step(w: float, batch: SeriesBatch) -> torch.Tensor:
        return members(stirred(name, guidance=w, sampler={"steps": 1}, samples=1, bound=1e6), batch).images

    alone, guided = after_one_step(-1.0, batch), after_one_step(0.0, batch)
    torch.testing.assert_close(after_one_step(-1.0, later), alone)
    assert not torch.allclose(after_one_step(0.0, later), guided)
    torch.testing.assert_close(after_one_step(2.0, batch), guided + 2 * (guided - alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_trains_and_forecasts(name):
    batch = patient(target=True)
    for preset in presets(name):
        method = untrained(name, preset)
        method.loss(batch).backward()
        assert torch.isfinite(members(method, batch).forecast).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_one_patient_and_then_heeds_the_target_time(name):
    batch = patient()
    images = batch.images.expand(2, -1, -1, -1, -1, -1)
    change = 0.1 * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)
    both = SeriesBatch(
        images, batch.times.expand(2, -1), batch.mask.expand(2, -1),
        target_time=batch.target_time + torch.tensor([0.0, 0.6]), target=batch.last_image + change,
    )  # fmt: skip
    method = untrained(name)
    optimiser = torch.optim.Adam(method.parameters(), lr=5e-3)
    losses = []
    for _ in range(80):
        optimiser.zero_grad()
        loss = method.loss(both)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    soon, later = (members(method, both).forecast - both.last_image).mean(dim=(1, 2, 3, 4))
    assert float(soon) > 0.03
    assert float(later) < -0.03


def test_permuting_the_times_against_the_images_changes_the_forecast():
    batch = patient()
    swapped = replace(batch, images=batch.images[:, [1, 0, 2]])
    for name in METHODS:
        method = stirred(name)
        assert (members(method, batch).images - members(method, swapped).images).abs().max() > 1e-4


def test_a_slot_without_a_scan_is_zeros_that_keep_their_place():
    batch = replace(patient(), times=torch.tensor([[0.0, 1.1, 2.9]]), target_time=torch.tensor([4.0]))
    method = untrained("sadm", frames="slots", grid={"length": 1.0, "before": 4, "after": 0})
    slots = method._in_slots(batch)
    assert [float(image.abs().max()) > 0 for image in slots.images[0]] == [True, True, False, True, False]
    assert slots.mask.all()
    torch.testing.assert_close(slots.times, torch.arange(5.0)[None])


@pytest.mark.parametrize(("after", "seen"), [(0, False), (1, True)])
def test_on_a_grid_that_ends_at_the_target_no_later_scan_passes_for_it(after, seen):
    batch = replace(patient(), target_time=patient().times[:, 1] + 1e-3)
    other = replace(batch, images=torch.cat([batch.images[:, :2], 1 - batch.images[:, 2:]], dim=1))
    method = stirred("sadm", "release", grid={"after": after}, sequence={"width": 16, "patch": 4})
    first, second = members(method, batch).images, members(method, other).images
    assert torch.equal(first, second) != seen


def test_missing_scans_are_sampled_first_and_the_target_is_sampled_from_them():
    batch = replace(patient(), times=torch.tensor([[0.0, 1.0, 2.0]]), target_time=torch.tensor([4.0]))
    grid = {"length": 1.0, "before": 6, "after": 0}
    rolled = members(stirred("sadm", rollout="autoregressive", grid=grid), batch)
    direct = members(stirred("sadm", grid=grid), batch)
    assert (direct.nfe, rolled.nfe) == (4, 8)  # one slot, at 3, lies between the scans and the target
    assert (rolled.images - direct.images).abs().max() > 1e-4
    next_slot = replace(batch, target_time=torch.tensor([3.0]))
    assert members(stirred("sadm", rollout="autoregressive", grid=grid), next_slot).nfe == 4


def test_quantiles_leave_padding_out_and_interpolate_between_members():
    images = torch.randn(2, 4, 1, 2, 2, 2)
    mask = torch.tensor([[True, True, True, True], [True, False, True, True]])
    found = Members(images, mask, mask / mask.sum(1, keepdim=True)).quantiles((0.0, 0.25, 0.5, 1.0))
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0])
    torch.testing.assert_close(found[:, 0], images[0].quantile(levels, dim=0))
    torch.testing.assert_close(found[:, 1], images[1, [0, 2, 3]].quantile(levels, dim=0))


def test_steps_sampler_and_number_of_samples_may_differ_from_the_bundle():
    found = members(override(stirred("sadm"), solver="ancestral", steps=3, samples=2), patient())
    assert (found.nfe, found.images.shape[1]) == (3, 2)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"solver": "rk4"}, f"Choose one of {', '.join(SAMPLERS)}"),
        ({"steps": 2000}, "Ask for 1 to 1000"),
        ({"samples": 0}, "Ask for 1 or more"),
        ({"aggregate": "last"}, "Leave the aggregation out"),
    ],
)
def test_an_impossible_way_to_sample_is_one_sentence(asked, sentence):
    with pytest.raises(MethodError, match=sentence.replace("+", r"\+")):
        override(untrained("sadm"), **asked)


def test_a_method_that_draws_no_samples_says_so():
    with pytest.raises(MethodError, match="draws no samples"):
        override(create_method("lci"), samples=4)


@pytest.fixture(scope="module")
def sampling_bundle(tiny_bundle: Bundle, tmp_path_factory) -> Bundle:
    """SADM with weights that were stirred, not trained, on disk."""
    method = stirred("sadm", samples=3)
    bundle = replace(tiny_bundle, name="stirred", method="sadm", settings=settings_to_json(method.settings), skill=None)
    folder = tmp_path_factory.mktemp("bundles") / "stirred"
    save_bundle(folder, bundle, method)
    return load_bundle(folder)


def test_a_forecast_has_as_many_members_as_samples_whatever_the_number_of_scans(sampling_bundle, growing_series):
    found = forecast(growing_series((0, 60)), 120.0, bundle=sampling_bundle, options=ForecastOptions(keep_members=True))
    assert found.members.shape[0] == 3
    assert report(found)["members"] == {"of": "sample", "count": 3}
    assert sitk.GetArrayViewFromImage(found.spread).max() > 0


def test_quantiles_of_a_forecast_lie_in_order_around_its_median(sampling_bundle, growing_series):
    found = forecast(growing_series(), 150.0, bundle=sampling_bundle, options=ForecastOptions(keep_members=True))
    low, median, high = (sitk.GetArrayFromImage(found.quantile(level)) for level in (0.1, 0.5, 0.9))
    assert (low <= median).all()
    assert (median <= high).all()
    assert (low < high).any()
    assert found.quantile(0.5).GetSpacing() == found.image.GetSpacing()
    with pytest.raises(MethodError, match="keep_members"):
        forecast(growing_series(), 150.0, bundle=sampling_bundle).quantile(0.5)


def test_the_same_seed_gives_the_same_forecast_and_another_seed_another(sampling_bundle, growing_series):
    def voxels(seed: int):
        options = ForecastOptions(seed=seed, samples=2, steps=2)
        made = forecast(growing_series(), 150.0, bundle=sampling_bundle, options=options)
        return sitk.GetArrayFromImage(made.image)

    first = voxels(0)
    assert (first == voxels(0)).all()
    assert not (first == voxels(1)).all()
