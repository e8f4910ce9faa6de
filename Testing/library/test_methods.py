"""What every forecast must obey, and the mistakes of published code that ours must not repeat (METHODS 15)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import SlotGrid
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method, method_entry, method_names, presets
from method_cases import FLOWS, LEARNED, SAMPLING, SMALL, forecast, series, stirred, trained, untrained

FITTED = {name: {"descent": {"iterations": 4}} for name in ("noder", "geodesic-regression")}


def made(name: str) -> Method:
    """The method, stirred where it learns."""
    return stirred(name) if name in LEARNED else create_method(name, {**SMALL.get(name, {}), **FITTED.get(name, {})})


@pytest.mark.parametrize("name", LEARNED)
def test_untrained_is_the_last_scan(name):
    batch = series()
    torch.testing.assert_close(forecast(untrained(name), batch), batch.last_image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("aggregate", ["last", "mean", "learned"])
def test_untrained_is_the_last_scan_however_members_are_averaged(name, aggregate):
    batch = series()
    torch.testing.assert_close(
        forecast(untrained(name, aggregate=aggregate), batch), batch.last_image, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(("floor", "ratio"), [(1e-9, 1.0), (0.0, 100.0)])
def test_patients_who_change_little_teach_as_much(floor, ratio):
    method = untrained("cronos-continuous", at_start=1.0, error_floor=floor)
    batch = series(scans=1)
    change = torch.rand_like(batch.last_image)
    much, little = (method.loss(replace(batch, target=batch.last_image + scale * change)) for scale in (1.0, 0.1))
    assert (much / little).item() == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize("name", LEARNED)
def test_turning_the_target_time_changes_the_forecast(name):
    batch, method = series(), stirred(name)
    later = replace(batch, target_time=batch.target_time + 0.4)
    assert (forecast(method, batch) - forecast(method, later)).abs().max() > 1e-4


def test_the_release_is_blind_to_time():
    torch.manual_seed(1)
    method = create_method("cronos-continuous", {"solver": {"name": "euler", "steps": 2}}, preset="release").eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = series()
    later = replace(batch, target_time=batch.target_time + 0.4)
    assert torch.equal(forecast(method, batch), forecast(method, later))


@pytest.mark.parametrize(("name", "preset", "theirs"), [(n, p, p != "release") for n in FLOWS for p in presets(n)])
def test_only_the_releases_train_towards_the_target_of_another_patient(name, preset, theirs):
    first, second = series(0, target=True), series(1, target=True)
    both = SeriesBatch(*(torch.cat([getattr(first, n), getattr(second, n)]) for n in (*_FIELDS, "target")))
    method, losses = stirred(name, preset), []
    for batch in (both, replace(both, target=both.target.flip(0))):
        torch.manual_seed(0)
        losses.append(method.loss(batch).item())
    assert (losses[0] != pytest.approx(losses[1], rel=1e-5)) == theirs


@pytest.mark.parametrize("name", LEARNED)
def test_permuting_the_times_against_the_images_changes_the_forecast(name):
    batch, method = series(), stirred(name)
    swapped = replace(batch, images=batch.images[:, [1, 0, 2]])
    assert (forecast(method, batch) - forecast(method, swapped)).abs().max() > 1e-4


@pytest.mark.parametrize("name", [*LEARNED, *FITTED, "linear", "ridge", "mean", "lci"])
def test_permuting_times_and_images_together_changes_nothing(name):
    batch, method = series(), made(name)
    order = [2, 0, 1]
    shuffled = replace(batch, images=batch.images[:, order], times=batch.times[:, order])
    torch.testing.assert_close(forecast(method, shuffled), forecast(method, batch), atol=1e-5, rtol=0)


def padded_twice(batch: SeriesBatch) -> SeriesBatch:
    """As many places again that hold no scan."""
    return replace(
        batch,
        images=torch.cat([batch.images, 1e3 * torch.ones_like(batch.images)], dim=1),
        times=torch.cat([batch.times, batch.times + 7], dim=1),
        mask=torch.cat([batch.mask, ~batch.mask], dim=1),
    )


@pytest.mark.parametrize("name", method_names())
def test_padding_changes_nothing_whatever_it_holds(name):
    batch, method = series(), made(name)
    torch.testing.assert_close(forecast(method, padded_twice(batch)), forecast(method, batch), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in FLOWS for preset in presets(name)[1:]])
def test_padding_changes_no_published_form_though_scans_flow_in_it(name, preset):
    batch, method = series(), stirred(name, preset, solver={"name": "euler", "steps": 3})
    torch.testing.assert_close(forecast(method, padded_twice(batch)), forecast(method, batch), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", method_names())
def test_a_patient_alone_equals_the_same_patient_in_a_batch(name):
    first, second = series(0), series(1)
    method = made(name)
    both = SeriesBatch(*(torch.cat([getattr(first, n), getattr(second, n)]) for n in _FIELDS))
    torch.testing.assert_close(forecast(method, both)[:1], forecast(method, first), atol=1e-6, rtol=0)


_FIELDS = ("images", "times", "mask", "target_time")


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((name, {}) for name in LEARNED), *((name, {"solver": {"steps": 4}}) for name in FLOWS)],
)
def test_forecast_at_the_time_of_the_last_scan_is_the_last_scan(name, settings):
    batch, method = series(), stirred(name, **settings)
    now = replace(batch, target_time=batch.last_time)
    torch.testing.assert_close(forecast(method, now), batch.last_image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", LEARNED)
def test_the_target_is_never_looked_at(name):
    batch, method = series(target=True), stirred(name)
    other = replace(batch, target=batch.target + 1)
    assert torch.equal(forecast(method, batch), forecast(method, other))


@pytest.mark.parametrize("name", LEARNED)
def test_a_method_overfits_one_batch(name):
    batch = series(target=True)
    method = trained(untrained(name, **({"at_start": 1.0} if name in FLOWS else {})), batch, steps=80)
    copying = torch.mean((batch.last_image - batch.target) ** 2)
    assert torch.mean((forecast(method, batch) - batch.target) ** 2) < 0.5 * copying


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name in (*LEARNED, *SAMPLING) for preset in presets(name)]
)
def test_every_preset_trains_and_forecasts(name, preset):
    batch = series(target=True)
    few = {"solver": {"name": "euler", "steps": 2}} if name in FLOWS else {}
    method = untrained(name, preset, **few)
    method.loss(batch).backward()
    assert torch.isfinite(forecast(method, batch)).all()


@pytest.mark.parametrize("scans", [4, 10])
@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in FLOWS for preset in presets(name)])
def test_members_and_trajectory_belong_to_the_scans(name, preset, scans):
    batch = series(scans=scans)
    with torch.inference_mode():
        method = stirred(name, preset, solver={"name": "euler", "steps": 3})
        members = method.forecast(batch, keep_trajectory=True)
    assert members.images.shape == batch.images.shape
    assert members.trajectory.shape == (4, *batch.images.shape)
    torch.testing.assert_close(members.trajectory[0][:, -1], batch.last_image)
    torch.testing.assert_close(members.trajectory[-1], members.images)
    assert members.weights.sum() == pytest.approx(1)
    assert members.weights[~members.mask].sum() == 0
    assert members.nfe == 3


@pytest.mark.parametrize("name", ["cronos-continuous", "tfm"])
def test_the_releases_average_over_slots_and_so_over_the_copies_of_a_scan(name):
    batch = series()
    method = stirred(name, "release", solver={"name": "euler", "steps": 1})
    arranged = method.arrange(batch)
    at_start = torch.zeros_like(batch.target_time)
    with torch.inference_mode():
        slots = arranged.batch.images + method.velocity(arranged.batch.images, at_start, arranged.batch)
    torch.testing.assert_close(forecast(method, batch), slots.mean(dim=1))


def test_slots_count_from_the_target_and_the_later_scan_wins():
    grid = SlotGrid(length=1.0, before=3, after=1)
    slots = grid.slots_of(torch.tensor([[0.0, 6.2, 6.9, 8.0, 9.3]]), torch.tensor([8.0]))
    assert slots.tolist() == [[0, 1, 2, 3, 4]]
    method = untrained("cronos-discrete", grid={"length": 1.0, "before": 3, "after": 1})
    images = torch.arange(3.0).view(1, 3, 1, 1, 1, 1).expand(1, 3, 1, 8, 8, 8)
    batch = SeriesBatch(images, torch.tensor([[6.0, 6.9, 7.1]]), torch.ones(1, 3).bool(), torch.tensor([8.0]))
    arranged = method.arrange(batch)
    assert arranged.batch.mask.tolist() == [[True, False, True]]
    assert arranged.filling.scan.tolist() == [[0, 0, 2, 2, 2]]
    assert arranged.member.tolist() == [[0, 2, 2]]


def test_a_scan_carried_forward_flows_as_its_copies_do_in_one_step():
    batch = series(scans=4, target=True)
    once, repeated = (stirred("cronos-discrete", copies=copies) for copies in ("as-one", "alone"))
    torch.testing.assert_close(forecast(once, batch), forecast(repeated, batch))
    losses = []
    for method in (once, repeated):
        torch.manual_seed(0)
        losses.append(method.loss(batch))
        losses[-1].backward()
    torch.testing.assert_close(*losses)
    for name, parameter in once.named_parameters():
        torch.testing.assert_close(parameter.grad, repeated.get_parameter(name).grad, msg=name)


def test_linear_extrapolation_continues_a_line_and_is_capped():
    images = torch.tensor([0.2, 0.4]).view(1, 2, 1, 1, 1, 1).expand(1, 2, 1, 4, 4, 4)
    batch = SeriesBatch(images, torch.tensor([[0.0, 1.0]]), torch.ones(1, 2).bool(), torch.tensor([2.0]))
    wide = create_method("linear", {"clip": 10.0})
    assert forecast(wide, batch).mean() == pytest.approx(0.6)
    close = replace(batch, times=torch.tensor([[0.0, 1e-6]]))
    assert forecast(wide, close).mean() == pytest.approx(0.4 + 3 * 0.2)
    assert forecast(create_method("linear"), batch).mean() == pytest.approx(0.41)


def test_ridge_without_shrinkage_is_least_squares_through_the_last_scan():
    images = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1, 1, 1).expand(1, 3, 1, 4, 4, 4)
    batch = SeriesBatch(images, torch.tensor([[0.0, 1.0, 2.0]]), torch.ones(1, 3).bool(), torch.tensor([4.0]))
    assert forecast(create_method("ridge", {"shrinkage": 0.0, "clip": 10.0}), batch).mean() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["linear", "ridge"])
def test_a_line_is_the_same_in_days_and_in_years(name):
    days = series()
    years = replace(days, times=days.times / 365.25, target_time=days.target_time / 365.25)
    assert torch.allclose(forecast(create_method(name), days), forecast(create_method(name), years), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "preset", "sentence"),
    [
        ("chronos", None, "default", "no method 'chronos'"),
        ("lci", {"width": 3}, "default", "has no settings"),
        ("cronos-continuous", {"widht": 3}, "default", "no setting 'widht'"),
        ("cronos-continuous", {"network": {"encoder": "heap"}}, "default", "cannot be 'heap'"),
        ("cronos-continuous", None, "thesis", "no preset 'thesis'"),
        ("cronos-discrete", {"aggregate": "median"}, "default", "no aggregation 'median'"),
    ],
)
def test_an_impossible_method_is_one_sentence(name, settings, preset, sentence):
    with pytest.raises(MethodError, match=sentence):
        create_method(name, settings, preset)


@pytest.mark.parametrize("name", ["cronos-continuous", "sadm"])
def test_a_width_that_is_no_multiple_of_the_groups_is_taken(name):
    method = create_method(name, {"network": {"unet": {"width": 12, "multipliers": (1, 2), "groups": 8}}}).eval()
    batch = series()
    torch.testing.assert_close(forecast(method, batch), batch.last_image)


@pytest.mark.parametrize("name", method_names())
def test_only_methods_with_weights_need_a_bundle(name):
    assert method_entry(name).needs_bundle == any(True for _ in create_method(name).parameters())


@pytest.mark.parametrize("name", LEARNED)
def test_air_far_from_the_body_stays_still(name):
    batch = series(size=16)
    images = torch.zeros_like(batch.images)
    images[..., :8] = batch.images[..., :8]
    change = forecast(stirred(name), replace(batch, images=images)) - images[:, -1]
    assert change[..., :8].abs().max() > 1e-3
    assert change[..., 12:].abs().max() == 0
