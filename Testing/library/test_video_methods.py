"""The video and generative baselines, and the ablation without a flow: what holds for some of them alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.forecast import forecast as forecast_series
from CRONOSLib.forecasting.choice import override
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.methods.interface import MemberKind
from CRONOSLib.methods.registry import create_method
from CRONOSLib.training.fit import fit
from CRONOSLib.training.settings import TrainSettings
from method_cases import REGRESSIONS, SAMPLING, SMALL, forecast, series, stirred, trained, untrained
from torch import nn


def ball(shift: int) -> torch.Tensor:
    """(1, 1, 16, 16, 16) a soft ball, `shift` voxels off the centre."""
    axis = torch.arange(16.0) - 7.5
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + (axis - shift) ** 2
    return torch.exp(-square / 18)[None, None]


def moving_ball() -> SeriesBatch:
    """A ball that does not change but moves on."""
    times = torch.tensor([[0.0, 0.5, 1.0]])
    images = torch.stack([ball(shift) for shift in (-2, -1, 0)], dim=1)
    return SeriesBatch(images, times, torch.ones(1, 3, dtype=torch.bool), torch.tensor([2.0]), ball(2))


# --- methods that draw samples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLING)
def test_samples_of_an_untrained_method_are_the_last_scan(name):
    batch = series()
    torch.testing.assert_close(forecast(untrained(name), batch), batch.last_image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SAMPLING)
def test_every_sample_is_a_member_of_equal_weight_and_differs_from_the_others(name):
    batch = moving_ball()
    with torch.inference_mode():
        members = stirred(name, samples=3).forecast(batch)
    assert members.kind is MemberKind.SAMPLE
    assert members.images.shape == (1, 3, *batch.target.shape[1:])
    torch.testing.assert_close(members.weights, torch.full((1, 3), 1 / 3))
    assert members.spread.max() > 0


@pytest.mark.parametrize("name", SAMPLING)
def test_samples_depend_on_the_target_time_and_on_which_scan_was_when(name):
    batch, method = series(), stirred(name)
    later = replace(batch, target_time=batch.target_time + 0.4)
    swapped = replace(batch, images=batch.images[:, [1, 0, 2]])
    for other in (later, swapped):
        assert (forecast(method, batch) - forecast(method, other)).abs().max() > 1e-5


@pytest.mark.parametrize("name", SAMPLING)
def test_samples_depend_on_neither_padding_nor_other_patients_nor_the_target(name):
    first, second, method = series(0, target=True), series(1, target=True), stirred(name)
    alone = forecast(method, first)
    padded = replace(
        first,
        images=torch.cat([first.images, 1e3 * torch.ones_like(first.images)], dim=1),
        times=torch.cat([first.times, first.times + 7], dim=1),
        mask=torch.cat([first.mask, ~first.mask], dim=1),
    )
    both = SeriesBatch(*(torch.cat([getattr(first, name), getattr(second, name)]) for name in vars(first)))
    for other in (padded, both, replace(first, target=first.target + 1)):
        torch.testing.assert_close(forecast(method, other)[:1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "share"), [("vae", 0.5), ("med-ddpm", 0.8), ("diffusemorph", 0.5)])
def test_samples_come_closer_to_the_target_that_was_trained(name, share):
    batch = moving_ball()
    method = trained(untrained(name), batch, steps=40, rate=1e-2)
    copying = torch.mean((batch.last_image - batch.target) ** 2)
    assert torch.mean((forecast(method, batch) - batch.target) ** 2) < share * copying


def test_the_latent_variable_of_a_trained_vae_stays_near_its_prior():
    batch = moving_ball()
    loose, tight = (trained(stirred("vae", kl=kl), batch, steps=15, rate=1e-2) for kl in (0.0, 1.0))
    assert abs(tight._posterior(batch)[0]).mean() < 0.5 * abs(loose._posterior(batch)[0]).mean()


def test_the_number_of_samples_of_a_vae_may_differ_from_the_bundle():
    method = override(untrained("vae"), samples=5)
    assert method.forecast(series()).images.shape[1] == 5
    with pytest.raises(MethodError, match="integrates no flow"):
        override(method, steps=3)


def test_diffusemorph_makes_no_intensity_that_the_last_scan_lacks():
    batch, method = series(), stirred("diffusemorph", deformation={"channels": (4, 8, 8, 8), "final": (4,)})
    found, last = forecast(method, batch), batch.last_image
    assert (found - last).abs().max() > 1e-3
    assert found.min() >= last.min() - 1e-6
    assert found.max() <= last.max() + 1e-6


# --- the ablation -------------------------------------------------------------------------------------------------


def test_one_step_has_the_weights_the_loss_and_the_forecast_of_cronos_at_the_start():
    batch = series(target=True)
    one = stirred("one-step-unet")
    cronos = untrained("cronos-continuous", at_start=1.0, solver={"name": "euler", "steps": 1})
    cronos.load_state_dict({name.removeprefix("flow."): value for name, value in one.state_dict().items()})
    assert torch.equal(one.loss(batch), cronos.loss(batch))
    assert torch.equal(forecast(one, batch), forecast(cronos, batch))
    assert one.forecast(batch).nfe == 1


def test_one_step_has_no_more_steps_to_take():
    with pytest.raises(MethodError, match="integrates no flow"):
        override(untrained("one-step-unet"), steps=4)


def test_the_predecessor_is_told_no_time_but_the_slots():
    batch = series()
    within = replace(batch, target_time=batch.target_time + 1e-3)
    for preset in ("default", "release"):
        method = stirred("tfm", preset, solver={"name": "euler", "steps": 1})
        slots = [method.settings.grid.slots_of(one.times, one.target_time) for one in (batch, within)]
        assert torch.equal(*slots)
        torch.testing.assert_close(forecast(method, batch), forecast(method, within), atol=1e-5, rtol=0)


def test_slots_that_were_filled_count_in_the_release_of_the_predecessor():
    batch = series()
    assert untrained("tfm", "release").arrange(batch).batch.mask.all()
    assert not untrained("tfm").arrange(batch).batch.mask.all()


# --- video methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGRESSIONS)
def test_as_published_a_video_method_forecasts_the_image_itself(name):
    batch = series(target=True)
    method = stirred(name, "paper")
    bright = replace(batch, images=batch.images + 5)
    assert (forecast(method, bright) - bright.last_image).abs().mean() > 3
    later = replace(batch, target_time=batch.target_time + 0.4)
    assert torch.equal(forecast(method, batch), forecast(method, later)) == (name != "node-lstm")


@pytest.mark.parametrize("name", ["convlstm", "simvp", "vivit", "node-lstm"])
def test_as_published_the_order_of_the_scans_still_matters(name):
    batch, method = series(), stirred(name, "paper")
    swapped = replace(batch, images=batch.images[:, [1, 0, 2]])
    assert (forecast(method, batch) - forecast(method, swapped)).abs().max() > 1e-5


@pytest.mark.parametrize("name", REGRESSIONS)
@pytest.mark.parametrize("scans", [1, 9])
def test_any_number_of_scans_and_odd_sizes_are_taken(name, scans):
    batch = series(scans=scans)
    batch = replace(batch, images=batch.images[..., :7, :6, :5])
    assert forecast(stirred(name), batch).shape == (1, 1, 7, 6, 5)


@pytest.mark.parametrize("interval", [0.7, -0.3])
def test_the_state_between_scans_follows_its_ode(interval):
    class Decay(nn.Module):
        calls = 0

        def forward(self, hidden):
            self.calls += 1
            return -hidden

    network = untrained("node-lstm").network
    network.drift = decay = Decay()
    hidden = torch.rand(1, 8, 2, 2, 2)
    moved = network._moved(hidden, torch.tensor(interval), span=torch.tensor(1.4))
    torch.testing.assert_close(moved, hidden * math.exp(-interval), atol=0, rtol=4e-3)
    assert decay.calls == 2 * math.ceil(10 * abs(interval) / 1.4)


def test_a_target_before_the_only_scan_takes_as_many_steps_of_the_ode_as_one_after_it():
    method, calls = untrained("node-lstm"), []
    method.network.drift.register_forward_hook(lambda *_: calls.append(1))
    counts = []
    for target in (0.3, -0.3):
        calls.clear()
        forecast(method, replace(series(scans=1), target_time=torch.tensor([target])))
        counts.append(len(calls))
    assert counts == [20, 20]


def test_each_player_of_the_gan_gets_better_by_its_own_gradient():
    batch, start = series(target=True), stirred("gan", fidelity=0.0)
    players = {"generator": ("network", "norm", "head"), "discriminator": ("discriminator",)}

    def convinced(step_of: str) -> tuple[float, float]:
        """How much the discriminator takes the forecast and the scan for a scan, after a step of one player."""
        method = stirred("gan", fidelity=0.0)
        method.load_state_dict(start.state_dict())
        method.loss(batch).backward()
        with torch.no_grad():
            for name, parameter in method.named_parameters():
                if name.startswith(players.get(step_of, ("none",))):
                    parameter.sub_(0.02 * parameter.grad / parameter.grad.norm().clamp(min=1e-12))
            seen = (method._beside_last(image, batch) for image in (method.predict(batch), batch.target))
            return tuple(float(method.discriminator(image).mean()) for image in seen)

    before, fooled, told = convinced("nobody"), convinced("generator"), convinced("discriminator")
    assert fooled[0] > before[0]
    assert told[1] - told[0] > before[1] - before[0]


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_a_trained_method_becomes_a_bundle_that_forecasts(name, growing_cohort, growing_series, tmp_path: Path):
    settings = TrainSettings(
        steps=2,
        method_settings=SMALL[name],
        preprocessing=Preprocessing(GridSpec(spacing_mm=8.0)),
        validate_every=2,
        every_draw=False,
        precision="32-true",
    )
    fit(growing_cohort, name, tmp_path / "run", settings)
    bundle, samples = load_bundle(tmp_path / "run" / "bundle"), 4 if name == "vae" else None
    result = forecast_series(growing_series(), 120.0, bundle=bundle, options=ForecastOptions(samples=samples))
    assert (result.method, result.nfe) == (name, samples or 1)
    assert (result.member_kind, result.member_count) == (("sample", 4) if samples else ("scan", 3))


@pytest.mark.parametrize("name", ["one-step-unet", "convlstm", "simvp", "vivit", "node-lstm"])
def test_gradients_of_thin_volumes_hold_in_bfloat16(name):
    batch = series(target=True)
    batch = replace(batch, images=batch.images[:, :, :, :4], target=batch.target[:, :, :4])
    method = stirred(name).to(memory_format=torch.channels_last_3d)

    def gradient(*, bf16: bool) -> torch.Tensor:
        method.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            method.loss(batch).backward()
        return torch.cat([weight.grad.flatten() for weight in method.parameters() if weight.grad is not None])

    exact = gradient(bf16=False)
    assert (gradient(bf16=True) - exact).norm() < 0.1 * exact.norm()


def test_a_size_that_cannot_be_is_one_sentence():
    for settings, sentence in (({"width": 30, "heads": 4}, "shared by 4 heads"), ({"token": 3}, "power of 2")):
        with pytest.raises(MethodError, match=sentence):
            create_method("vivit", {"network": settings})
    for settings, sentence in (({"width": 5}, "even number"), ({"hidden": 100}, "multiple of 16")):
        with pytest.raises(MethodError, match=sentence):
            create_method("simvp", {"network": settings})
    with pytest.raises(MethodError, match="Ask for 1 or more"):
        create_method("vae", {"samples": 0})
