"""report.json: what was forecast, from what, how, and how well."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import SimpleITK as sitk

from CRONOSLib import __version__
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.evaluation.comparison import Comparison
from CRONOSLib.evaluation.deformation import regularity
from CRONOSLib.forecast import Forecast
from CRONOSLib.imaging.registration import AlignmentReport
from CRONOSLib.series import LongitudinalSeries, Scan

RESEARCH_ONLY = "For research use only. Not for diagnosis or treatment decisions."
Digest = Callable[[Scan], Mapping[str, str]]
_PACKAGES = ("torch", "torchdiffeq", "SimpleITK", "numpy", "monai")


def report(
    forecast: Forecast,
    comparison: Comparison | None = None,
    warnings: Iterable[str] = (),
    *,
    digest: Digest | None = None,
) -> dict[str, Any]:
    """Plain values of report.json.

    warnings: come after the forecast's own
    digest:   stands in for `scan_digest` where the same scans are reported many times
    """
    digest = digest or scan_digest
    series = forecast.series
    return {
        "use": RESEARCH_ONLY,
        **how_reached(forecast),
        "bundle": _bundle(forecast.bundle),
        "target": {
            "date": series.describe_time(forecast.target_time) if series.epoch else None,
            "time": forecast.target_time,
            "horizon": series.horizon(forecast.target_time),
            "unit": series.unit.value,
        },
        "scans": [_scan(series, scan, digest(scan), alignment) for scan, alignment in zip(series, forecast.alignments)],
        "preprocessing": forecast.preprocessing.to_json(),
        "spread": None if forecast.spread is None else forecast.spread_meaning,
        "phases": {name: round(seconds, 3) for name, seconds in forecast.phases.items()},
        "peak_memory_mb": forecast.peak_memory_mb and round(forecast.peak_memory_mb, 1),
        "seed": forecast.seed,
        "metrics": _metrics(series, comparison),
        "warnings": [*forecast.warnings, *warnings],
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
    }


def how_reached(forecast: Forecast) -> dict[str, Any]:
    """The part of the report that tells how the forecast was reached; it reads no scan."""
    return {
        "method": forecast.method,
        "preset": forecast.preset,
        "members": {"of": forecast.member_kind, "count": forecast.member_count},
        "nfe": forecast.nfe,
        "seconds": round(forecast.seconds, 3),
        "device": forecast.device,
        "deformation": _deformation(forecast),
    }


def scan_digest(scan: Scan) -> dict[str, str]:
    """SHA-256 of the scan's file; of its voxels (float32, x fastest) when it is a folder or never was a file."""
    digest = hashlib.sha256()
    if scan.path is not None and scan.path.is_file():
        with scan.path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return {"sha256": digest.hexdigest(), "sha256_of": "file"}
    digest.update(sitk.GetArrayFromImage(sitk.Cast(scan.image, sitk.sitkFloat32)).tobytes())
    return {"sha256": digest.hexdigest(), "sha256_of": "voxels"}


def _bundle(bundle: Bundle | None) -> dict[str, Any] | None:
    if bundle is None:
        return None
    return {
        "name": bundle.name,
        "title": bundle.title,
        "weights_sha256": bundle.weights_sha256,
        "licence": bundle.licence,
        "skill": asdict(bundle.skill) if bundle.skill else None,
    }


def _scan(
    series: LongitudinalSeries, scan: Scan, digest: Mapping[str, str], alignment: AlignmentReport | None
) -> dict[str, Any]:
    return {
        "name": scan.name,
        "path": str(scan.path) if scan.path else None,
        **digest,
        "date": series.describe_time(scan.time) if scan.date else None,
        "time": scan.time,
        "unit": series.unit.value,
        "source": scan.source.value,
        "patient": scan.patient,
        "modality": scan.modality,
        "alignment": alignment.to_json() if alignment else None,
    }


def _deformation(forecast: Forecast) -> dict[str, float | None] | None:
    """Folding of a forecast that deforms the last scan; None for others, and for stacks too thin to fold."""
    if forecast.displacement is None or min(forecast.displacement.shape[1:]) < 3:
        return None
    values = asdict(regularity(forecast.displacement))
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _metrics(series: LongitudinalSeries, comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    scan = comparison.true_scan
    truth = {"name": scan.name, "path": str(scan.path) if scan.path else None, **scan_digest(scan)}
    return {**comparison.to_json(), "truth": truth}


def _versions() -> dict[str, str]:
    found = {"cronos": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
