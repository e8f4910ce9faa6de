"""Volume nodes with dates in, result nodes out: what the Python console calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.bundles.store import chosen_bundle
from CRONOSLib.errors import SeriesError
from CRONOSLib.scene.aligned import adding_aligned
from CRONOSLib.scene.carried import add_carried, masks_of
from CRONOSLib.scene.flow import adding_flow
from CRONOSLib.scene.results import ResultNodes, add_results
from CRONOSLib.scene.series import Date, NodeSeries, as_datetime
from CRONOSLib.scene.steps import finished
from CRONOSLib.scene.timeline import TimelineNodes, add_timeline

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
    show_aligned: bool = False,
    segmentation: slicer.vtkMRMLSegmentationNode | None = None,
) -> ResultNodes:
    """Forecast the scans of volume nodes, wait for it, and add the result to their scene.

    target: a date, or a time in the unit of the series
    bundle: name or folder of a trained method; None: the best that comes with CRONOS, unless `method` needs none
    show_aligned: add the earlier scans as they were aligned as well
    segmentation: of the last scan, to be carried along; MethodError when the method does not deform

    The other arguments are those of `CRONOSLib.forecast.forecast`, and so are the errors. When the options keep the
    trajectory, its states come as nodes, too.
    """
    from CRONOSLib.forecast import ForecastOptions, forecast
    from CRONOSLib.timeline import aligned_frames

    last = scans.last_node
    result = forecast(
        scans.series,
        _time_of(scans, target),
        bundle=chosen_bundle(bundle, method),
        method=method,
        options=options or ForecastOptions(),
        labels=() if segmentation is None else masks_of(segmentation, scans.series.last.image),
        on_progress=on_progress,
    )
    nodes = add_results(last.GetScene(), result, last)
    carried = None if segmentation is None else add_carried(result.carried, segmentation, nodes.forecast)
    aligned = finished(adding_aligned(aligned_frames(result), result.series, last)) if show_aligned else ()
    flow = finished(adding_flow(result.flow, result.series, result.target_time, last)) if result.flow else None
    return replace(nodes, flow=flow, aligned=aligned, carried=carried)


def forecast_through_time(
    scans: NodeSeries,
    targets: Sequence[Date | float],
    *,
    bundle: Path | str | None = None,
    method: str | None = None,
    options: ForecastOptions | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> TimelineNodes:
    """Forecast the scans of volume nodes at several times, wait for it, and add all as a sequence to their scene.

    The scans stand among the forecasts, at their own times; where a scan was taken, nothing is forecast. An earlier
    sequence of the same last scan is replaced.

    targets: dates, or times in the unit of the series

    Raises SeriesError when no target is left; else as `forecast_nodes`.
    """
    from CRONOSLib.forecast import ForecastOptions, forecast
    from CRONOSLib.forecasting.kept import Kept
    from CRONOSLib.timeline import frames_of, share_of_progress

    series = scans.series
    times = sorted({_time_of(scans, target) for target in targets} - set(series.times))
    if not times:
        raise SeriesError("A scan was taken at each of these dates. Choose at least one other date.")
    chosen, kept = chosen_bundle(bundle, method), Kept()
    tell = on_progress or (lambda what, fraction: None)

    def at(time: float, on_progress: Callable[[str, float], None]):
        return forecast(
            series,
            time,
            bundle=chosen,
            method=method,
            options=options or ForecastOptions(),
            on_progress=on_progress,
            kept=kept,
        )

    first = at(times[-1], share_of_progress(tell, 0, len(times)))
    frames = list(frames_of(series, first, times, at, tell))
    return add_timeline(frames, series, scans.last_node)


def _time_of(scans: NodeSeries, target: Date | float) -> float:
    return float(target) if isinstance(target, (int, float)) else scans.series.time_at(as_datetime(target))
