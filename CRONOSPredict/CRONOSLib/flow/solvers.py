"""Integrating dX/dτ = v(X, τ) from τ = 0 to 1, or through several times, with torchdiffeq."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from CRONOSLib.errors import MethodError

_TORCHDIFFEQ_NAMES = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4": "rk4", "dopri5": "dopri5"}
SOLVERS = tuple(_TORCHDIFFEQ_NAMES)
ADAPTIVE = frozenset({"dopri5"})


@dataclass(frozen=True)
class Solver:
    """How the flow is integrated.

    name:      euler, midpoint, heun, rk4 (the 3/8 rule of torchdiffeq) with `steps` equal steps, or adaptive dopri5
    steps:     steps from τ = 0 to 1 of a fixed-step solver, ≥ 1; number of stored states of dopri5
    tolerance: relative and absolute tolerance of dopri5; its error norm couples the patients of a batch, so that
               only fixed steps make a patient's forecast independent of the others

    Raises MethodError for an unknown name or fewer than one step.
    """

    name: str = "euler"
    steps: int = 1
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if self.name not in SOLVERS:
            raise MethodError(f"There is no solver '{self.name}'. Choose one of {', '.join(SOLVERS)}.")
        if self.steps < 1:
            raise MethodError(f"A solver cannot take {self.steps} steps. Ask for 1 or more.")


@dataclass(frozen=True)
class Integration:
    """Where the flow ended.

    state:      like the initial state, at τ = 1
    trajectory: (S, …) states at `steps` + 1 equidistant τ from 0 to 1, or None
    one_step:   like the state, where a single Euler step ends, X₀ + v(X₀, 0); None without the trajectory
    nfe:        evaluations of the velocity
    """

    state: Tensor
    trajectory: Tensor | None
    nfe: int
    one_step: Tensor | None = None


def integrate(
    velocity: Callable[[Tensor, Tensor], Tensor], initial: Tensor, solver: Solver, *, keep_trajectory: bool = False
) -> Integration:
    """Integrate from τ = 0 to 1.

    velocity: (state, τ of shape ()) ↦ dX/dτ, same shape as the state
    initial:  X at τ = 0, float32
    """
    from torchdiffeq import odeint

    evaluations = 0
    one_step: Tensor | None = None

    def derivative(tau: Tensor, state: Tensor) -> Tensor:
        nonlocal evaluations, one_step
        evaluations += 1
        rate = velocity(state, tau)
        if keep_trajectory and one_step is None:  # every solver looks at the beginning first
            one_step = initial + rate
        return rate

    grid = torch.linspace(0, 1, solver.steps + 1, device=initial.device)
    times = grid if keep_trajectory else grid[[0, -1]]
    if solver.name in ADAPTIVE:
        accuracy: dict = {"rtol": solver.tolerance, "atol": solver.tolerance}
    else:
        accuracy = {"options": {"grid_constructor": lambda func, y0, t: grid}}
    states = odeint(derivative, initial, times, method=_TORCHDIFFEQ_NAMES[solver.name], **accuracy)
    return Integration(states[-1], states if keep_trajectory else None, evaluations, one_step)


@dataclass(frozen=True)
class Stepping:
    """How a flow is integrated through several times, with a fixed-step solver.

    name:           euler, midpoint, heun or rk4
    steps_per_unit: no step is longer than one over this; 0: one step from each time to the next
    adjoint:        gradients by integrating backwards: constant memory, slower, and inexact for coarse steps

    Raises MethodError for a solver that has no fixed steps.
    """

    name: str = "rk4"
    steps_per_unit: float = 4.0
    adjoint: bool = False

    def __post_init__(self) -> None:
        if self.name not in SOLVERS or self.name in ADAPTIVE:
            fixed = ", ".join(name for name in SOLVERS if name not in ADAPTIVE)
            raise MethodError(f"'{self.name}' is no solver with fixed steps. Choose one of {fixed}.")


def integrate_through(
    velocity: nn.Module, initial: Tensor, times: Tensor, stepping: Stepping, knots: Tensor | None = None
) -> Tensor:
    """(K, …) states at `times` of a flow that is at `initial` at time 0.

    velocity: (t of shape (), state) ↦ dX/dt; a module, whose parameters the adjoint needs
    times:    (K,), any order, on both sides of 0
    knots:    (N,), times at which a step ends, too, on the way to the farthest time: where a flow was fitted at other
              times, coarse steps of other lengths would lead elsewhere
    """
    from torchdiffeq import odeint, odeint_adjoint

    knots = times if knots is None else knots

    def grid(func: object, state: object, points: Tensor) -> Tensor:
        return torch.cat([points[:1], *(_stretch(a, b, stepping.steps_per_unit) for a, b in pairwise(points))])

    states = initial.expand(len(times), *initial.shape).clone()
    for side in (-1, 1):
        chosen = times * side > 0
        if chosen.any():
            asked = times[chosen] * side
            passed = knots[(knots * side > 0) & (knots * side < asked.max())] * side
            distances, place = torch.unique(torch.cat([asked, passed]), return_inverse=True)  # sorted
            points = side * torch.cat([distances.new_zeros(1), distances])
            solve = odeint_adjoint if stepping.adjoint else odeint
            options = {"grid_constructor": grid}
            found = solve(velocity, initial, points, method=_TORCHDIFFEQ_NAMES[stepping.name], options=options)
            states = states.index_put((chosen.nonzero().squeeze(1),), found[1:][place[: len(asked)]])
    return states


def _stretch(start: Tensor, end: Tensor, steps_per_unit: float) -> Tensor:
    """Ends of the equal steps from one time to the next."""
    count = max(1, math.ceil(abs(float(end - start)) * steps_per_unit - 1e-6))
    between = start + (end - start) * torch.arange(1, count, device=start.device) / count
    return torch.cat([between, end[None]])
