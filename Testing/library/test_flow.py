"""Paths, solvers and aggregation on problems with a known answer."""

from __future__ import annotations

import math

import pytest
import torch
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.aggregation import LearnedWeights, last_weights, mean_weights
from CRONOSLib.flow.coupling import optimal_transport_resampled, paired
from CRONOSLib.flow.path import NoiseSchedule, StraightPath, draw_flow_steps
from CRONOSLib.flow.solvers import SOLVERS, Solver, integrate
from CRONOSLib.flow.time_codes import fourier_features, ordered_features, shifted_times, slope_weights


def test_path_starts_at_the_context_and_ends_at_the_target():
    context, target = torch.randn(2, 3, 1, 2, 2, 2), torch.randn(2, 1, 2, 2, 2)
    start = StraightPath().sample(context, target, torch.zeros(2))
    end = StraightPath().sample(context, target, torch.ones(2))
    torch.testing.assert_close(start.point, context)
    torch.testing.assert_close(end.point, target.unsqueeze(1).expand_as(context))
    torch.testing.assert_close(start.velocity, target.unsqueeze(1) - context)


def test_bridge_noise_vanishes_at_both_ends_and_constant_noise_does_not():
    context, target = torch.zeros(2, 1, 1, 8, 8, 8), torch.zeros(2, 1, 8, 8, 8)
    ends = torch.tensor([0.0, 1.0])
    bridge = StraightPath(0.5, NoiseSchedule.BRIDGE)
    assert bridge.sample(context, target, ends).point.abs().max() == 0
    assert bridge.sample(context, target, torch.full((2,), 0.5)).point.std() == pytest.approx(0.25, rel=0.1)
    assert StraightPath(0.5).sample(context, target, ends).point.std() == pytest.approx(0.5, rel=0.1)


def test_share_of_flow_steps_at_the_start_is_as_asked():
    tau = draw_flow_steps(20_000, 0.5, torch.device("cpu"))
    assert (tau == 0).float().mean() == pytest.approx(0.5, abs=0.02)
    assert tau[tau > 0].mean() == pytest.approx(0.5, abs=0.02)


def test_coupling_is_the_identity_and_the_release_mixes_patients():
    context, target = torch.randn(4, 2, 1, 2, 2, 2), torch.randn(4, 1, 2, 2, 2)
    same_context, same_target = paired(context, target)
    assert same_context is context
    assert same_target is target
    torch.manual_seed(0)
    survivors = [len(optimal_transport_resampled(context, target)[0].flatten(1).unique(dim=0)) for _ in range(200)]
    assert sum(survivors) / len(survivors) == pytest.approx(2.73, abs=0.2)  # METHODS 0.3


@pytest.mark.parametrize("name", SOLVERS)
def test_constant_velocity_is_solved_exactly_in_one_step(name):
    start, velocity = torch.zeros(2, 3), torch.randn(2, 3)
    flow = integrate(lambda state, tau: velocity, start, Solver(name, 1))
    torch.testing.assert_close(flow.state, velocity)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_error_shrinks_with_the_order_of_the_solver(name, order):
    def error(steps: int) -> float:
        start = torch.ones(1, dtype=torch.double)
        return abs(float(integrate(lambda state, tau: -state, start, Solver(name, steps)).state) - math.exp(-1))

    assert math.log2(error(4) / error(8)) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize(("name", "per_step"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
@pytest.mark.parametrize("steps", [1, 3, 49])
def test_evaluations_are_counted_and_steps_are_as_asked(name, per_step, steps):
    flow = integrate(lambda state, tau: state, torch.ones(1), Solver(name, steps))
    assert flow.nfe == per_step * steps


def test_trajectory_holds_every_step_and_ends_at_the_state():
    flow = integrate(
        lambda state, tau: torch.ones_like(state), torch.zeros(2), Solver("euler", 4), keep_trajectory=True
    )
    torch.testing.assert_close(flow.trajectory[:, 0], torch.linspace(0, 1, 5))
    torch.testing.assert_close(flow.trajectory[-1], flow.state)


@pytest.mark.parametrize(("name", "steps"), [("leapfrog", 1), ("euler", 0)])
def test_impossible_solver_is_one_sentence(name, steps):
    with pytest.raises(MethodError, match=r"Choose one of|Ask for 1 or more"):
        Solver(name, steps)


def test_padding_never_counts_in_any_weights():
    times = torch.tensor([[0.0, 1.0, 9.0]])
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(last_weights(times, mask), torch.tensor([[0.0, 1.0, 0.0]]))
    torch.testing.assert_close(mean_weights(mask), torch.tensor([[0.5, 0.5, 0.0]]))
    learned = LearnedWeights()(1 - times, torch.ones(1), mask)
    torch.testing.assert_close(learned, torch.tensor([[0.5, 0.5, 0.0]]))
    assert slope_weights(times, mask, 0.0)[0, 2] == 0


def test_slope_weights_recover_the_slope_of_a_line():
    times = torch.tensor([[0.0, 1.0, 3.0, 7.0]])
    mask = torch.tensor([[True, True, True, False]])
    values = 2.5 * times - 4
    assert float((slope_weights(times, mask, 0.0) * values).sum()) == pytest.approx(2.5, rel=1e-5)


def test_shifted_times_forget_the_target_at_the_start_and_ordered_features_do_not():
    times, mask, start = torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1)
    near, far = torch.tensor([2.0]), torch.tensor([5.0])
    torch.testing.assert_close(shifted_times(times, near, start), shifted_times(times, far, start))
    assert not torch.equal(
        ordered_features(times, mask, near, start, (0.5,)), ordered_features(times, mask, far, start, (0.5,))
    )


def test_fourier_features_are_sines_and_cosines_of_full_cycles():
    features = fourier_features(torch.tensor([0.25]), (1.0, 2.0))
    torch.testing.assert_close(features, torch.tensor([[1.0, 0.0, 0.0, -1.0]]), atol=1e-6, rtol=0)
