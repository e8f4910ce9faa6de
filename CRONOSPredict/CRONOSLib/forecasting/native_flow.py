"""The flow from every context scan to the forecast, in the last scan's space and units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from CRONOSLib.errors import MethodError
from CRONOSLib.imaging.preparation import PreparedSeries
from CRONOSLib.series import LongitudinalSeries

_MOST_BYTES = 4e9
"""Of all states together; a scene holds them twice."""


@dataclass(frozen=True)
class Transport:
    """What a method that integrates a flow did, in normalised intensity on its grid.

    states:   (S, T, D, H, W), X_τ at S equidistant flow steps τ from 0 to 1
    one_step: (T, D, H, W), where a single Euler step ends: X₀ + v(X₀, 0)
    weights:  (T,), how the members make the forecast
    solver:   its name
    nfe:      evaluations of the network
    """

    states: np.ndarray
    one_step: np.ndarray
    weights: np.ndarray
    solver: str
    nfe: int

    @property
    def bend(self) -> np.ndarray:
        """(D, H, W), the forecast minus the one that a single Euler step makes."""
        return np.tensordot(self.weights, self.states[-1] - self.one_step, axes=1)

    @property
    def straightness(self) -> float:
        """1 − ‖X₁ − X₁(one Euler step)‖ / ‖X₁ − X₀‖ over all members; 1: straight, one step is enough."""
        whole = float(np.linalg.norm(self.states[-1] - self.states[0]))
        return 1 - float(np.linalg.norm(self.states[-1] - self.one_step)) / whole if whole else 1.0

    def speed(self, scan: int, step: int) -> np.ndarray:
        """(D, H, W), |dX/dτ| over the interval that begins at a state; at the last state, over the one that ended."""
        begin = min(step, len(self.states) - 2)
        return np.abs(self.states[begin + 1, scan] - self.states[begin, scan]) * (len(self.states) - 1)


@dataclass(frozen=True)
class Flow:
    """How the flow carried every context scan to the forecast: float32 images in the last scan's space and units.

    taus:         S flow steps from 0 to 1
    times:        of the scans that flow, in the unit of the series, oldest first: a method may leave scans out
    states:       for each scan, S images X_τ on the last scan's own grid: the aligned scan, and what the flow added
    speeds:       for each scan, S images |dX/dτ| on the method's grid, the units of the scan per flow of length 1
    disagreement: standard deviation of the members; None with one scan
    bend:         the forecast minus the one that a single Euler step makes, signed
    straightness, solver, nfe: as in `Transport`
    """

    taus: tuple[float, ...]
    times: tuple[float, ...]
    states: tuple[tuple[sitk.Image, ...], ...] = field(repr=False)
    speeds: tuple[tuple[sitk.Image, ...], ...] = field(repr=False)
    disagreement: sitk.Image | None
    bend: sitk.Image
    straightness: float
    solver: str
    nfe: int


def native_flow(transport: Transport, prepared: PreparedSeries, series: LongitudinalSeries) -> Flow:
    """The flow of a series on the last scan's own grid.

    A state is the aligned scan at full resolution plus the change along the flow, so that nothing sharp is lost where
    nothing flows; the last scan's state at τ = 1 is the forecast made from it.

    Raises MethodError when the states would take too much memory.
    """
    count, scans = transport.states.shape[:2]
    size = 4.0 * count * scans * np.prod(prepared.native.size)
    if size > _MOST_BYTES:
        raise MethodError(
            f"{count} states of {scans} scans would take {size / 1e9:.1f} GB. Ask for fewer steps, or use fewer scans."
        )
    last = prepared.scales[-1]
    spread = transport.states[-1].std(axis=0) if scans > 1 else None
    return Flow(
        taus=tuple(float(tau) for tau in np.linspace(0, 1, count)),
        times=series.times,
        states=tuple(
            _states(transport.states[:, index], prepared, prepared.scan_to_native(scan.image, index))
            for index, scan in enumerate(series)
        ),
        speeds=tuple(
            tuple(prepared.grid.to_image(last.invert_change(transport.speed(scan, step))) for step in range(count))
            for scan in range(scans)
        ),
        disagreement=None if spread is None else prepared.spread_to_native(spread),
        bend=prepared.change_to_native(transport.bend),
        straightness=transport.straightness,
        solver=transport.solver,
        nfe=transport.nfe,
    )


def _states(states: np.ndarray, prepared: PreparedSeries, start: sitk.Image) -> tuple[sitk.Image, ...]:
    return tuple(start + prepared.change_to_native(state - states[0]) for state in states)
