"""Forecasts of real scans against the scan that was really taken, and against copying the last one.

    python Testing/benchmarks/real_scans.py DATA [--out real-scans.md]

DATA holds glioblastoma, multiple-sclerosis, cardiac-cine and fetal-growth, as their README describes. The bundles
were trained on simulated patients: a foetus or a whole head is nothing they ever saw. One that counts in another kind
of time is asked about hearts and foetuses only, with the gaps of the scans counted as its own. Seconds are those of the
whole forecast, alignment and way back included.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from CRONOSLib.bundles.store import list_bundles
from CRONOSLib.errors import CronosError
from CRONOSLib.evaluation.comparison import Comparison, compare
from CRONOSLib.forecast import Forecast, ForecastOptions, forecast
from CRONOSLib.imaging.sources import Source, read_series
from CRONOSLib.series import LongitudinalSeries, Scan, TimeUnit

GLIOBLASTOMA_SPACING_MM = (0.9, 0.9, 6.0)
"""Assumed: the true one was lost."""

UNTRAINED = ("mean", "linear", "ridge")


@dataclass(frozen=True)
class Case:
    """What to forecast: `scans` know nothing of `truth`; without a truth the forecast is only timed."""

    name: str
    scans: LongitudinalSeries
    target_time: float
    truth: Scan | None
    rescale_time: bool = False


def main() -> None:
    """Forecast every case by every method and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    lines = [
        "| case | method | NRMSE | LCI | SSIM | LCI | PSNR | LCI | skill | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(arguments.data, Path(folder)):
            for row in _rows(case):
                print(row, flush=True)
                lines.append(row)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def _rows(case: Case) -> Iterator[str]:
    choices = [(bundle.name, {"bundle": bundle}) for bundle in list_bundles()]
    choices += [(name, {"method": name}) for name in UNTRAINED]
    for name, choice in choices:
        result = _forecast(case, choice)
        if result is not None:
            yield _row(case.name, name, result, compare(result, case.truth) if case.truth else None)


def _forecast(case: Case, choice: dict[str, Any]) -> Forecast | None:
    """In the time of the scans, or else, where the case says so, in that of the bundle; None where neither can be."""
    for rescale_time in (False, True) if case.rescale_time else (False,):
        try:
            options = ForecastOptions(rescale_time=rescale_time)
            return forecast(case.scans, case.target_time, options=options, **choice)
        except CronosError:
            continue
    return None


def _row(case: str, method: str, result: Forecast, measured: Comparison | None) -> str:
    if measured is None:
        return f"| {case} | {method} | no truth | | | | | | | {result.seconds:.1f} |"
    ours, lci = measured.forecast, measured.lci
    return (
        f"| {case} | {method} | {ours.nrmse:.4f} | {lci.nrmse:.4f} | {ours.ssim.value:.4f} | {lci.ssim.value:.4f} "
        f"| {ours.psnr:.2f} | {lci.psnr:.2f} | {measured.skill:+.3f} | {result.seconds:.1f} |"
    )


def cases(data: Path, scratch: Path) -> Iterator[Case]:
    """All cases of the folder; copies with a spacing go into `scratch`."""
    yield from _glioblastoma(data / "glioblastoma", scratch)
    yield from _multiple_sclerosis(data / "multiple-sclerosis")
    yield from cardiac_cine(data / "cardiac-cine", targets=(6, 9, 12))
    yield from fetal_growth(data / "fetal-growth", targets=(30, 31))


def _glioblastoma(folder: Path, scratch: Path) -> Iterator[Case]:
    """The second visit from the first, and a third date, as far again, from both."""
    for patient in sorted(folder.glob("patient*")):
        sources = [Source(_respaced(path, scratch / patient.name)) for path in sorted(patient.glob("*_T1post.nii.gz"))]
        series = read_series(sources)
        yield _last_held_out(f"glioblastoma {patient.name}", series)
        again = 2 * series.times[-1] - series.times[-2]
        yield Case(f"glioblastoma {patient.name}, third date", series, again, None)


def _respaced(path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    image = sitk.ReadImage(str(path))
    image.SetSpacing(GLIOBLASTOMA_SPACING_MM)
    sitk.WriteImage(image, str(folder / path.name))
    return folder / path.name


def _multiple_sclerosis(folder: Path) -> Iterator[Case]:
    """The second study from the first; only the interval is known."""
    with (folder / "patient_info.csv").open() as file:
        days = {int(row["patient_id"]): row["days_between_studies"] for row in csv.DictReader(file)}
    for patient in sorted(folder.glob("patient[0-9]*/")):
        interval = days[int(patient.name.removeprefix("patient"))]
        sources = [Source(patient / "study1_FLAIR.nii.gz", "0"), Source(patient / "study2_FLAIR.nii.gz", interval)]
        yield _last_held_out(f"multiple sclerosis {patient.name}", read_series(sources, unit=TimeUnit.DAY))


def cardiac_cine(folder: Path, targets: Iterable[int]) -> Iterator[Case]:
    """Phases, each from the five before it; 6, 9 and 12 lie in contraction and past the turn at end systole."""
    phases = read_series([Source(folder)]).scans
    for target in targets:
        series = LongitudinalSeries(phases[target - 5 : target + 1], TimeUnit.MILLISECOND)
        yield _last_held_out(f"cardiac cine, phase {target}", series, rescale_time=True)


def fetal_growth(folder: Path, targets: Iterable[int]) -> Iterator[Case]:
    """Weeks of gestation, each from the weeks before it from 25 to 29."""
    for last in targets:
        weeks = [*range(25, min(last, 30)), last]
        sources = [Source(folder / f"GA{week}" / "srr.nii.gz", str(week)) for week in weeks]
        yield _last_held_out(f"fetal growth, week {last}", read_series(sources, unit=TimeUnit.WEEK))


def _last_held_out(name: str, series: LongitudinalSeries, rescale_time: bool = False) -> Case:
    context = LongitudinalSeries(series.scans[:-1], series.unit, series.epoch)
    return Case(name, context, series.last.time, series.last, rescale_time)


if __name__ == "__main__":
    main()
