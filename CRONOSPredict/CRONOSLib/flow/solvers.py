"""Integrating dX/dτ = v(X, τ) from τ = 0 to 1 with torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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
    nfe:        evaluations of the velocity
    """

    state: Tensor
    trajectory: Tensor | None
    nfe: int


def integrate(
    velocity: Callable[[Tensor, Tensor], Tensor], initial: Tensor, solver: Solver, *, keep_trajectory: bool = False
) -> Integration:
    """Integrate from τ = 0 to 1.

    velocity: (state, τ of shape ()) ↦ dX/dτ, same shape as the state
    initial:  X at τ = 0, float32
    """
    from torchdiffeq import odeint

    evaluations = 0

    def derivative(tau: Tensor, state: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        return velocity(state, tau)

    grid = torch.linspace(0, 1, solver.steps + 1, device=initial.device)
    times = grid if keep_trajectory else grid[[0, -1]]
    if solver.name in ADAPTIVE:
        accuracy: dict = {"rtol": solver.tolerance, "atol": solver.tolerance}
    else:
        accuracy = {"options": {"grid_constructor": lambda func, y0, t: grid}}
    states = odeint(derivative, initial, times, method=_TORCHDIFFEQ_NAMES[solver.name], **accuracy)
    return Integration(states[-1], states if keep_trajectory else None, evaluations)
