"""The flow comes back to the last scan's own grid, and tells how straight it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.errors import MethodError
from CRONOSLib.flow.solvers import SOLVERS, Solver, integrate
from CRONOSLib.forecast import Forecast, forecast
from CRONOSLib.forecasting import native_flow
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.methods.cronos import Cronos
from CRONOSLib.methods.registry import create_method, method_entry, method_names
from CRONOSLib.series import LongitudinalSeries
from odd_worker import AS_IN_FILES

MakeSeries = Callable[..., LongitudinalSeries]


def flowing(series: LongitudinalSeries, bundle: Bundle, steps: int, solver: str = "euler") -> Forecast:
    options = replace(AS_IN_FILES, steps=steps, solver=solver, keep_trajectory=True, precision="fp32")
    return forecast(series, 180.0, bundle=bundle, options=options)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_tells_where_one_euler_step_ends(name: str) -> None:
    start = torch.tensor([1.0, 2.0])
    flow = integrate(lambda state, tau: -state + tau, start, Solver(name, 3), keep_trajectory=True)
    assert flow.one_step is not None
    torch.testing.assert_close(flow.one_step, torch.zeros(2))


def test_the_flow_of_the_last_scan_ends_at_the_forecast_on_its_own_grid(
    growing_series: MakeSeries, winding_bundle: Bundle
) -> None:
    series = growing_series()
    result = flowing(series, winding_bundle, 3)
    flow = result.flow
    assert flow is not None
    assert flow.taus == pytest.approx((0, 1 / 3, 2 / 3, 1))
    assert [len(states) for states in flow.states] == [4, 4, 4]
    assert {Grid.of(state) for states in flow.states for state in states} == {Grid.of(series.last.image)}
    assert {Grid.of(speed) for speeds in flow.speeds for speed in speeds} == {result.prepared.grid}
    arrived = sitk.GetArrayFromImage(flow.states[-1][-1])
    assert np.allclose(arrived, sitk.GetArrayFromImage(result.image), atol=1e-3)
    begun = sitk.GetArrayFromImage(flow.states[-1][0])
    assert np.allclose(begun, sitk.GetArrayFromImage(series.last.image), atol=1e-3)
    assert (flow.nfe, flow.solver) == (3, "euler")


def test_speed_times_time_is_the_way_of_a_flow(growing_series: MakeSeries, winding_bundle: Bundle) -> None:
    flow = flowing(growing_series((0, 60)), winding_bundle, 1).flow
    assert flow is not None
    assert flow.disagreement is not None
    way = np.abs(np.subtract(*(sitk.GetArrayFromImage(flow.states[-1][step]) for step in (1, 0))))
    fastest = sitk.GetArrayFromImage(flow.speeds[-1][0]).max()
    assert 0 < way.max() <= fastest * (1 + 1e-5)
    assert way.max() > 0.5 * fastest, "interpolation takes a little off the peaks"


def test_one_euler_step_is_straight_and_many_bend(growing_series: MakeSeries, winding_bundle: Bundle) -> None:
    series = growing_series()
    straight, bent = (flowing(series, winding_bundle, steps).flow for steps in (1, 6))
    assert straight is not None
    assert bent is not None
    assert straight.straightness == 1.0
    assert not sitk.GetArrayFromImage(straight.bend).any()
    assert 0 < bent.straightness < 1
    missed = sitk.GetArrayFromImage(flowing(series, winding_bundle, 6).image) - sitk.GetArrayFromImage(
        flowing(series, winding_bundle, 1).image
    )
    assert np.allclose(sitk.GetArrayFromImage(bent.bend), missed, atol=1e-2)


def test_a_flow_that_does_not_fit_into_memory_is_one_sentence(
    growing_series: MakeSeries, winding_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_flow, "_MOST_BYTES", 1e5)
    with pytest.raises(MethodError, match=r"Ask for fewer steps"):
        flowing(growing_series(), winding_bundle, 2)


def test_the_registry_knows_which_methods_flow() -> None:
    untrained = {name for name in method_names() if not method_entry(name).needs_bundle}
    assert not any(method_entry(name).flow for name in untrained)
    flowing_methods = {name for name in method_names() if method_entry(name).flow}
    assert {name for name in flowing_methods if isinstance(create_method(name), Cronos)} == flowing_methods
    assert "cronos-continuous" in flowing_methods
