"""Displacement fields, kernels, similarity and the flows that make them: problems with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.deformation import compose, exponential, inverse, resized, squared_gradient, voxel_cloud, warp
from CRONOSLib.flow.similarity import Dissimilarity, Measure
from CRONOSLib.flow.smoothing import Kernel, Smoothing, box_mean
from CRONOSLib.flow.solvers import Stepping, integrate_through
from CRONOSLib.imaging.deformation import displacement_transform
from CRONOSLib.imaging.grid import Grid
from torch import nn

SHAPE = (12, 14, 16)
INNER = (..., slice(3, -3), slice(3, -3), slice(3, -3))


def points() -> torch.Tensor:
    return voxel_cloud(SHAPE, torch.zeros(1))


def centred() -> torch.Tensor:
    """Voxel places around the centre of the grid."""
    return points() - (torch.tensor(SHAPE).view(1, 3, 1, 1, 1) - 1) / 2


def smooth(largest: float = 0.8) -> torch.Tensor:
    """A smooth field that moves nothing at the border."""
    torch.manual_seed(0)
    field = Smoothing(Kernel.GAUSSIAN, 2.0)(torch.randn(1, 3, *SHAPE))
    window = torch.stack([torch.sin(math.pi * p / (n - 1)) for p, n in zip(points()[0], SHAPE)]).prod(dim=0)
    return largest * window * field / field.abs().max()


def test_a_whole_shift_moves_whole_voxels():
    images = torch.rand(1, 2, *SHAPE)
    shift = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    for nearest in (False, True):
        moved = warp(images, shift, nearest=nearest)
        torch.testing.assert_close(moved[..., :-1, 2:, :-3], images[..., 1:, :-2, 3:], atol=1e-5, rtol=0)


def test_the_exponential_of_a_constant_velocity_is_itself():
    shift = torch.tensor([1.5, -0.5, 2.0]).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    torch.testing.assert_close(exponential(shift), shift, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", [-0.2, 0.2])
def test_the_exponential_of_growth_is_growth(rate):
    displacement = exponential(rate * centred())
    expected = (math.exp(rate) - 1) * centred()
    torch.testing.assert_close(displacement[INNER], expected[INNER], atol=0.02, rtol=0)


def test_an_inverse_brings_every_voxel_back():
    field = smooth()
    assert compose(field, inverse(field)).abs().max() < 1e-4
    assert compose(inverse(field), field)[INNER].abs().max() < 0.05


def test_the_exponential_of_the_negative_is_the_inverse():
    velocity = smooth()
    torch.testing.assert_close(exponential(-velocity), inverse(exponential(velocity)), atol=0.05, rtol=0)


def test_a_field_is_the_same_map_on_another_grid():
    fine = resized(0.1 * centred(), [2 * size for size in SHAPE])
    place = voxel_cloud(fine.shape[2:], fine) - (torch.tensor(fine.shape[2:]).view(1, 3, 1, 1, 1) - 1) / 2
    torch.testing.assert_close(fine[INNER], (0.1 * place)[INNER], atol=1e-5, rtol=0)


def test_the_gradient_of_growth_is_its_rate():
    assert squared_gradient(0.1 * centred()).item() == pytest.approx(3 * 0.1**2 / 3, rel=1e-4)


@pytest.mark.parametrize("smoothing", [Smoothing(Kernel.BOX, 5), Smoothing(Kernel.BOX, 21), Smoothing(size=2.0)])
def test_smoothing_keeps_constants_and_calms_noise(smoothing):
    constant = torch.full((2, 3, *SHAPE), 0.7)
    torch.testing.assert_close(smoothing(constant), constant)
    noise = torch.rand(1, 1, *SHAPE)
    assert smoothing(noise).std() < 0.3 * noise.std()


def test_a_box_is_the_mean_of_what_lies_inside():
    values = torch.rand(1, 1, *SHAPE)
    mean = box_mean(values, 5)
    assert mean[0, 0, 6, 6, 6].item() == pytest.approx(values[0, 0, 4:9, 4:9, 4:9].mean().item(), abs=1e-6)
    assert mean[0, 0, 0, 0, 15].item() == pytest.approx(values[0, 0, :3, :3, 13:].mean().item(), abs=1e-6)


@pytest.mark.parametrize(("measure", "blind"), [(Measure.MSE, False), (Measure.NCC, True), (Measure.LOCAL_NCC, True)])
def test_correlation_is_blind_to_gain_and_mean_square_error_is_not(measure, blind):
    torch.manual_seed(0)
    images, others = torch.rand(2, 1, *SHAPE), torch.rand(2, 1, *SHAPE)
    unlike = Dissimilarity(measure, window=5)
    assert unlike(images, images).abs().max() < 2e-3
    assert (unlike(images, others) > 0.1).all()
    assert (unlike(images, 0.5 * images + 0.2).max() < 3e-3) == blind


class Wave(nn.Module):
    """dX/dt = a X cos t, whose solution is X₀ exp(a sin t)."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, time: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return self.rate * state * torch.cos(time)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_a_solver_has_its_order_through_times_on_both_sides(solver, order):
    times = torch.tensor([0.5, -1.0, 0.0, 1.0], dtype=torch.float64)
    initial = torch.ones(2, dtype=torch.float64)
    exact = torch.exp(torch.sin(times))[:, None].expand(4, 2)
    errors = []
    for steps in (16, 32):
        states = integrate_through(Wave(), initial, times, Stepping(solver, steps_per_unit=steps))
        assert torch.equal(states[2], initial)
        errors.append((states - exact).abs().max().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_no_steps_per_unit_is_one_step_to_each_time():
    evaluations = []
    wave = Wave()
    wave.register_forward_hook(lambda *_: evaluations.append(1))
    times = torch.tensor([0.1, 3.0], dtype=torch.float64)
    integrate_through(wave, torch.ones(1, dtype=torch.float64), times, Stepping("euler", steps_per_unit=0))
    assert len(evaluations) == 2


def test_a_knot_ends_a_step_where_the_flow_passes_it_and_nowhere_else():
    one, stepping = torch.ones(1, dtype=torch.float64), Stepping("euler", steps_per_unit=0)
    times = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    through = integrate_through(Wave(), one, times, stepping)[2:]
    alone = integrate_through(Wave(), one, times[2:], stepping)
    knots = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.equal(integrate_through(Wave(), one, times[2:], stepping, knots=knots), through)
    assert not torch.equal(alone, through)


def test_the_adjoint_gives_the_gradient_of_back_propagation():
    gradients = []
    for adjoint in (False, True):
        wave = Wave()
        stepping = Stepping("rk4", steps_per_unit=20, adjoint=adjoint)
        times = torch.tensor([0.5, 1.0, -0.5], dtype=torch.float64)
        integrate_through(wave, torch.ones(3, dtype=torch.float64), times, stepping).square().sum().backward()
        gradients.append(wave.rate.grad.item())
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-6)


@pytest.mark.parametrize("name", ["dopri5", "leapfrog"])
def test_a_solver_without_fixed_steps_is_one_sentence(name):
    with pytest.raises(MethodError, match="fixed steps"):
        Stepping(name)


def test_a_displacement_is_the_same_in_physical_space():
    direction = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    grid = Grid((6, 5, 4), (0.5, 2.0, 3.0), (10.0, -20.0, 30.0), direction)
    displacement = np.zeros((3, *grid.shape))
    displacement[:] = np.array([1.0, 0.5, -2.0])[:, None, None, None]  # z, y, x
    transform = displacement_transform(displacement, grid)
    there = transform.TransformPoint(grid.point(np.array([3.0, 2.0, 1.0])).tolist())
    np.testing.assert_allclose(there, grid.point(np.array([1.0, 2.5, 2.0])), atol=1e-9)
