"""Volume nodes with dates in, result nodes out: the one call of the panel and the Python console."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from CRONOSLib.bundles.store import chosen_bundle
from CRONOSLib.scene.results import ResultNodes, add_results
from CRONOSLib.scene.series import Date, NodeSeries, as_datetime

if TYPE_CHECKING:
    from CRONOSLib.forecast import ForecastOptions


def forecast_nodes(
    scans: NodeSeries,
    target: Date | float,
    *,
    bundle: Path | str | None = None,
    method: str | None = None,
    options: ForecastOptions | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> ResultNodes:
    """Forecast the scans of volume nodes, wait for it, and add the result to their scene.

    target: a date, or a time in the unit of the series
    bundle: name or folder of a trained method; None: the best that comes with CRONOS, unless `method` needs none

    The other arguments are those of `CRONOSLib.forecast.forecast`, and so are the errors.
    """
    from CRONOSLib.forecast import ForecastOptions, forecast

    target_time = float(target) if isinstance(target, (int, float)) else scans.series.time_at(as_datetime(target))
    result = forecast(
        scans.series,
        target_time,
        bundle=chosen_bundle(bundle, method),
        method=method,
        options=options or ForecastOptions(),
        on_progress=on_progress,
    )
    return add_results(scans.last_node.GetScene(), result, scans.last_node)
