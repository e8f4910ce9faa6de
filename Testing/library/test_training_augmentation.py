"""Augmentation: one geometry for all scans of a patient, noise on contexts alone, nothing that was not asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.training.augmentation import augment
from CRONOSLib.training.settings import AugmentationSettings
from torch.nn import functional

STILL = AugmentationSettings(flip=False)


def patients(count: int = 4) -> SeriesBatch:
    """Smooth random heads whose target is their only scan; the second scan of each is padding."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 1, 4, 4, 4, generator=generator)
    scan = functional.interpolate(coarse, size=(16, 16, 16), mode="trilinear")
    return SeriesBatch(
        images=torch.stack([scan, torch.zeros_like(scan)], dim=1),
        times=torch.tensor([[-0.0, 0.0]] * count),
        mask=torch.tensor([[True, False]] * count),
        target_time=torch.full((count,), 0.5),
        target=scan.clone(),
    )


def augmented(batch: SeriesBatch, seed: int = 1, **settings) -> SeriesBatch:
    return augment(batch, replace(STILL, **settings), torch.Generator().manual_seed(seed))


def change(batch: SeriesBatch) -> torch.Tensor:
    return (batch.target - batch.images[:, 0]).abs().amax()


GEOMETRY = [{"flip": True}, {"rotation": 20.0}, {"scale": 0.2}, {"shift": 0.1}, {"elastic": 0.03}]


@pytest.mark.parametrize("switch", GEOMETRY, ids=lambda switch: next(iter(switch)))
def test_scans_and_target_move_alike(switch):
    batch = patients()
    moved = augmented(batch, **switch)
    assert change(moved) == 0
    assert not torch.equal(moved.images, batch.images)


def test_nothing_is_varied_unless_asked():
    batch = patients()
    torch.testing.assert_close(augmented(batch).images, batch.images, rtol=0, atol=0)


def test_a_quarter_turn_brings_each_voxel_where_it_belongs():
    """The amounts are uniform, so that the largest seed found near 90° must agree with a turn of the array."""
    batch = patients(64)
    turned = augmented(batch, rotation=90.0)
    exact = torch.stack([torch.rot90(batch.target, k, dims=(-2, -1)) for k in (1, -1)])
    closest = (exact - turned.target).abs().mean(dim=(2, 3, 4, 5)).min()
    assert closest < 0.02


@pytest.mark.parametrize("shape", [(16, 16), (14, 28)])
def test_a_rotation_leaves_distances_in_the_plane(shape):
    """A disc stays a disc although the field of view is no square."""
    y, x = torch.meshgrid(*(torch.arange(length) - (length - 1) / 2 for length in shape), indexing="ij")
    disc = torch.sigmoid(2 - (x**2 + y**2).sqrt()).expand(4, 1, 2, *shape)
    batch = replace(patients(), images=disc.unsqueeze(1).repeat(1, 2, 1, 1, 1, 1), target=disc.clone())
    assert (augmented(batch, rotation=180.0).target - disc).abs().amax() < 0.08


def test_noise_is_on_true_contexts_only():
    batch = patients()
    noisy = augmented(batch, noise=0.1)
    assert torch.equal(noisy.target, batch.target)
    assert not noisy.images[:, 1].any()
    assert (noisy.images - batch.images)[:, 0].std() == pytest.approx(0.1, rel=0.1)


def test_the_target_is_as_bright_as_the_last_context():
    batch = replace(patients(), mask=torch.ones(4, 2, dtype=torch.bool), times=torch.tensor([[-1.0, 0.0]] * 4))
    batch = replace(batch, images=batch.target.unsqueeze(1).repeat(1, 2, 1, 1, 1, 1))
    varied = augmented(batch, gain=0.3, bias=0.1)
    assert torch.equal(varied.target, varied.images[:, 1])
    assert not torch.allclose(varied.images[:, 0], varied.images[:, 1])


def test_the_same_seed_varies_alike():
    everything = {"flip": True, "rotation": 9.0, "elastic": 0.01, "gain": 0.1, "noise": 0.1, "synthetic": 0.5}
    first, again, other = (augmented(patients(), seed, **everything).images for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def visits(times: list[float]) -> SeriesBatch:
    """A still head, scanned at these times and at 1."""
    scan = patients(1).target
    return SeriesBatch(
        images=scan.unsqueeze(1).repeat(1, len(times), 1, 1, 1, 1),
        times=torch.tensor([times]),
        mask=torch.ones(1, len(times), dtype=torch.bool),
        target_time=torch.tensor([1.0]),
        target=scan,
    )


def test_synthetic_growth_keeps_the_last_scan_and_goes_both_ways_in_time():
    batch = visits([-1.0, -0.5, 0.0])
    for seed in range(5):
        grown = augmented(batch, seed, synthetic=1.0)
        torch.testing.assert_close(grown.last_image, batch.last_image)
        past, half, future = (image - batch.target for image in (grown.images[:, 0], grown.images[:, 1], grown.target))
        assert future.abs().amax() > 1e-3
        assert half.square().mean() < past.square().mean()
        assert (past * future).sum() < 0


def test_a_share_of_the_patients_is_synthetic():
    still = visits([-1.0, 0.0])
    batch = SeriesBatch(**{name: value.repeat_interleave(200, dim=0) for name, value in vars(still).items()})
    changed = (augmented(batch, synthetic=0.3).target - batch.target).flatten(1).any(dim=1)
    assert 0.2 < changed.float().mean() < 0.4


@pytest.mark.parametrize("wrong", [{"rotation": -1.0}, {"synthetic": 1.5}, {"scale": 2.0}])
def test_amounts_without_sense_are_refused(wrong):
    with pytest.raises(MethodError, match=next(iter(wrong))):
        AugmentationSettings(**wrong)
