"""What `cronos forecast` prints at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from rich.console import Group
from rich.table import Table
from rich.text import Text

from CRONOSLib.commands.console import table
from CRONOSLib.evaluation.comparison import Comparison
from CRONOSLib.evaluation.metrics import Metrics
from CRONOSLib.forecast import Forecast
from CRONOSLib.report import RESEARCH_ONLY, how_reached
from CRONOSLib.series import LongitudinalSeries

_MANY = 6  # times that fit on one line


def summary(forecast: Forecast, folder: Path, comparison: Comparison | None) -> Group:
    """Facts of the forecast, metrics beside those of LCI, and the use it is for."""
    parts: list[Table | Text] = [_facts(forecast, folder)]
    if comparison is not None:
        parts += [Text(""), _metrics(comparison)]
    return Group(*parts, Text(""), Text(RESEARCH_ONLY, style="dim"))


def _facts(forecast: Forecast, folder: Path) -> Table:
    series, bundle = forecast.series, forecast.bundle
    change = np.abs(sitk.GetArrayViewFromImage(forecast.change))
    horizon = series.horizon(forecast.target_time)
    side = "after" if horizon >= 0 else "before"
    memory = "" if forecast.peak_memory_mb is None else f", {forecast.peak_memory_mb:.0f} MB"
    rows = {
        "Forecast": (
            f"{series.describe_time(forecast.target_time)}, {abs(horizon):g} {series.unit.plural} {side} the last scan"
        ),
        "Scans": _scans(series),
        "Method": f"{forecast.method}, bundle {bundle.name}" if bundle else forecast.method,
        "Its skill": str(bundle.skill or "not measured") if bundle else "",
        "Change": f"mean {change.mean():.4g}, largest {change.max():.4g} (scan units)",
        "Spread": _spread(forecast),
        "Deformation": _deformation(forecast),
        "Cost": f"{forecast.seconds:.1f} s on {forecast.device}{memory}, {forecast.nfe} evaluations of the network",
        "Results": str(folder),
    }
    made = table("", "")
    made.show_header = False
    for name, value in rows.items():
        if value:
            made.add_row(Text(name, style="bold"), Text(value))
    return made


def _spread(forecast: Forecast) -> str:
    """Its mean where it is not 0, since nothing is forecast outside the bundle's grid, and what it is."""
    if forecast.spread is None:
        return ""
    voxels = sitk.GetArrayViewFromImage(forecast.spread)
    return f"mean {voxels[voxels != 0].mean():.4g} (scan units), {forecast.spread_meaning}"


def _deformation(forecast: Forecast) -> str:
    found = how_reached(forecast)["deformation"]
    return f"{found['folding_percent']:.3g} % of the voxels fold" if found else ""


def _scans(series: LongitudinalSeries) -> str:
    times = [series.describe_time(scan.time) for scan in series]
    if len(times) > _MANY:
        times = [*times[:2], "…", times[-1]]
    return f"{len(series)}: {', '.join(times)}"


def _metrics(comparison: Comparison) -> Table:
    made = table("Against the truth", "NRMSE", "PSNR dB", "SSIM", "skill")
    skill = "–" if comparison.skill is None else f"{comparison.skill:+.3f}"
    worse = comparison.skill is not None and comparison.skill < 0
    made.add_row(*_row("forecast", comparison.forecast), Text(skill, style="bold red" if worse else "bold green"))
    made.add_row(*_row("LCI (copy of the last scan)", comparison.lci), "0")
    return made


def _row(name: str, metrics: Metrics) -> tuple[str, ...]:
    return name, f"{metrics.nrmse:.4f}", f"{metrics.psnr:.2f}", f"{metrics.ssim.value:.4f}"
