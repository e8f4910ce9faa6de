"""NODER and geodesic regression on real scans, beside copying the last one: quality, seconds and memory.

    python Testing/benchmarks/deformation.py cases DATA [--only cardiac] [--out cases.csv]
    python Testing/benchmarks/deformation.py iterations DATA [--only "phase 9"]
    python Testing/benchmarks/deformation.py published DATA
    python Testing/benchmarks/deformation.py time DATA --cohort COHORT …
    python Testing/benchmarks/deformation.py start DATA --cohort COHORT --bundle BUNDLE

cases:      every case of `real_scans.py` that has two scans or more, on a coarse grid; one table for each kind of
            scans, and every row in a file. Heart phases and weeks of gestation are forecasts. A glioblastoma patient
            has two visits: a deformation forecasts the second from the first by copying, so what is measured there is
            the fit, the first visit out of the second, and says so. Labels are those of the brain in weeks of
            gestation: the Dice of the last week's, carried to the target.
iterations: skill of the forecast against iterations of the fit, and its seconds.
published:  the released settings, all 300 iterations, beside ours on the same grid, both deforming the last scan; and
            one iteration of each at the grid of the release, 144 x 176 x 144.
time:       how time reaches NODER's network, on validation patients and on real scans that `cases` does not report.
start:      forecasts of a trained start beside the cold one, after as many iterations, on the test patients of its
            cohort and on real scans.

Seconds are those of the processor; with OMP_NUM_THREADS=1, of one core. Those of the fit hold the first prediction;
those of the prediction, another date of the same patient. Memory is what comes on top of the process (Linux).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from cost import Cost, cost_of
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.evaluation.deformation import regularity
from CRONOSLib.evaluation.metrics import measure
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.deformable import DeformableMethod, Reference, Residual
from CRONOSLib.methods.interface import Members
from CRONOSLib.methods.registry import create_method
from deformation_cases import SPACING_MM, Prepared, other_cases, reported_cases, simulated_cases

FITS = (("geodesic-regression", Reference.LAST), ("geodesic-regression", Reference.FIRST), ("noder", Reference.LAST))
KINDS = ("cardiac cine", "fetal growth", "glioblastoma")
RELEASE_GRID = (144, 176, 144)


@dataclass(frozen=True)
class Row:
    """One forecast of one case. Fields as in the tables; a forecast without labels has no Dice."""

    case: str
    method: str
    nrmse: float
    ssim: float
    skill: float
    dice: float | None
    folding_percent: float
    fit_s: float
    fit_mb: float
    predict_s: float
    predict_mb: float


def main() -> None:
    """Measure the chosen part, and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("cases", "iterations", "published", "time", "start"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--spacing", type=float, default=SPACING_MM, help="mm, of the grid of real scans")
    parser.add_argument("--out", type=Path, default=Path("deformation.csv"), help="rows of the cases")
    parser.add_argument("--cohort", type=Path, nargs="+", default=[])
    parser.add_argument("--patients", type=int, default=5, help="of a cohort")
    parser.add_argument("--bundle", help="with a predictor of velocities")
    arguments = parser.parse_args()
    parts = {"cases": _cases, "iterations": _iterations, "published": _published, "time": _time, "start": _start}
    with tempfile.TemporaryDirectory() as scratch:
        for line in parts[arguments.part](arguments, Path(scratch)):
            print(line, flush=True)


def _cases(arguments: argparse.Namespace, scratch: Path) -> Iterator[str]:
    rows = []
    _warm_up()
    with arguments.out.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        for case in reported_cases(arguments.data, scratch, arguments.only, arguments.spacing):
            for row in _rows(case):
                table.writerow(asdict(row))
                file.flush()
                rows.append(row)
    for kind in KINDS:
        of_kind = [row for row in rows if row.case.startswith(kind)]
        if of_kind:
            yield from ("", *_table(kind, of_kind))


def _rows(case: Prepared) -> Iterator[Row]:
    still = torch.zeros(1, 3, *case.truth.shape)
    copied = cost_of(lambda: create_method("lci").forecast(case.batch))
    yield _row(case, "copying the last scan", copied, copied, still)
    for name, reference in FITS:
        if reference is Reference.FIRST and case.batch.horizon < 0:
            continue  # the target of a fit is the first scan itself
        method = create_method(name, {"reference": reference})
        fit = _forecast(method, case.batch)
        for residual in Residual:
            method.settings = replace(method.settings, residual=residual)
            found = _forecast(method, case.batch)
            label = f"{name} from the {reference.value}" + (", residual" if residual is Residual.RIDGE else "")
            yield _row(case, label, fit, found, found.result.displacement)


def _row(case: Prepared, method: str, fit: Cost, found: Cost, displacement: torch.Tensor) -> Row:
    forecast = found.result.forecast
    metrics = measure(forecast[0, 0].numpy(), case.truth)
    return Row(
        case=case.name,
        method=method,
        nrmse=metrics.nrmse,
        ssim=metrics.ssim.value,
        skill=case.skill(forecast),
        dice=case.dice(displacement),
        folding_percent=_folding(displacement),
        fit_s=fit.seconds,
        fit_mb=fit.peak_mb,
        predict_s=found.seconds,
        predict_mb=found.peak_mb,
    )


def _table(kind: str, rows: list[Row]) -> Iterator[str]:
    """One line for each method: the skill of every case, and means."""
    names = list(dict.fromkeys(row.case for row in rows))
    labelled = rows[0].dice is not None
    yield f"{kind}: {'; '.join(name.removeprefix(kind).strip(', ') for name in names)}"
    yield ""
    yield (
        f"| method | skill | mean | NRMSE | SSIM |{' Dice |' if labelled else ''} folding % | fit s | fit MB "
        "| predict s | predict MB |"
    )
    yield "|---" * (11 if labelled else 10) + "|"
    for method in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == method]
        mean = {
            field.name: np.mean([getattr(row, field.name) for row in mine])
            for field in fields(Row)[2:]
            if labelled or field.name != "dice"
        }
        skills = ", ".join(f"{row.skill:+.3f}" for row in mine)
        yield (
            f"| {method} | {skills} | {mean['skill']:+.3f} | {mean['nrmse']:.4f} | {mean['ssim']:.4f} "
            + (f"| {mean['dice']:.3f} " if labelled else "")
            + f"| {mean['folding_percent']:.3f} | {mean['fit_s']:.1f} | {mean['fit_mb']:.0f} "
            f"| {mean['predict_s']:.2f} | {mean['predict_mb']:.0f} |"
        )


def _iterations(arguments: argparse.Namespace, scratch: Path) -> Iterator[str]:
    _warm_up()
    for case in reported_cases(arguments.data, scratch, arguments.only, arguments.spacing):
        both = [(name, count) for name in ("geodesic-regression", "noder") for count in (10, 30, 100, 300)]
        yield from _quality(case, [(name, "default", count) for name, count in both])


def _quality(case: Prepared, runs: list[tuple[str, str, int]]) -> Iterator[str]:
    """What is reached after how many iterations: name and preset of the method, iterations."""
    yield f"{case.name}, {' × '.join(map(str, case.truth.shape))} voxels"
    yield ""
    yield "| method | iterations | skill | folding % | fit s | fit MB |"
    yield "|---|---|---|---|---|---|"
    for run in runs:
        yield _after(case, *run)
    yield ""


def _after(case: Prepared, name: str, preset: str, iterations: int) -> str:
    settings = {"descent": {"iterations": iterations, "patience": iterations}, "reference": "last"}
    found = _forecast(create_method(name, settings, preset), case.batch)
    skill, folding = case.skill(found.result.forecast), _folding(found.result.displacement)
    label = name if preset == "default" else f"{name}, {preset}"
    return f"| {label} | {iterations} | {skill:+.3f} | {folding:.3f} | {found.seconds:.1f} | {found.peak_mb:.0f} |"


def _published(arguments: argparse.Namespace, scratch: Path) -> Iterator[str]:
    """A real fit on the coarse grid; at the full one noise will do: an iteration costs the same whatever is seen."""
    _warm_up()
    only = arguments.only or "glioblastoma patient01"
    case = next(reported_cases(arguments.data, scratch, only, arguments.spacing))
    ours = [("noder", "default", iterations) for iterations in (10, 20, 40, 100)]
    yield from _quality(case, [*ours, *(("noder", "release", iterations) for iterations in (30, 100, 300))])
    yield "| settings at the grid of the release | scans | s per iteration | s of all | peak MB |"
    yield "|---|---|---|---|---|"
    batch = SeriesBatch(
        images=torch.rand(1, 2, 1, *RELEASE_GRID),
        times=torch.linspace(0, 1, 2)[None],
        mask=torch.ones(1, 2, dtype=torch.bool),
        target_time=torch.tensor([1.2]),
    )
    for preset, iterations in (("release", 300), ("default", 100)):
        one, two = (
            _forecast(create_method("noder", {"descent": {"iterations": count}}, preset), batch) for count in (1, 2)
        )
        each = two.seconds - one.seconds
        yield f"| {preset} | 2 | {each:.2f} | {one.seconds + (iterations - 1) * each:.0f} | {two.peak_mb:.0f} |"


def _time(arguments: argparse.Namespace, scratch: Path) -> Iterator[str]:
    ways = ("film", "none")
    yield f"| cases | {' | '.join(ways)} |"
    yield "|---" * (1 + len(ways)) + "|"
    groups: list[tuple[str, Iterable[Prepared]]] = [
        (f"{cohort.name}, validation patients", simulated_cases(cohort, "validation", arguments.patients))
        for cohort in arguments.cohort
    ]
    real = other_cases(arguments.data)
    groups += [(kind, list(found)) for kind, found in groupby(real, lambda case: case.name.split(",")[0])]
    for kind, prepared in groups:
        skills: dict[str, list[float]] = {way: [] for way in ways}
        for case in prepared:
            for way in ways:
                method = create_method("noder", {"cloud": {"time": way}})
                skills[way].append(case.skill(_forecast(method, case.batch).result.forecast))
        each = (f"{np.mean(found):+.3f} ({', '.join(f'{skill:+.2f}' for skill in found)})" for found in skills.values())
        yield f"| {kind} | {' | '.join(each)} |"


def _start(arguments: argparse.Namespace, scratch: Path) -> Iterator[str]:
    trained = load_method(load_bundle(arguments.bundle))
    assert isinstance(trained, DeformableMethod)
    groups: list[tuple[str, Iterable[Prepared]]] = [
        (f"{cohort.name}, test patients", simulated_cases(cohort, "test", arguments.patients))
        for cohort in arguments.cohort
    ]
    if arguments.only:
        groups.append((arguments.only, reported_cases(arguments.data, scratch, arguments.only, arguments.spacing)))
    yield "| cases | method | start | iterations | skill | folding % | fit s |"
    yield "|---|---|---|---|---|---|---|"
    for kind, prepared in groups:
        cases = list(prepared)
        yield _started(kind, cases, "geodesic-regression", "fast", 0, trained)
        for iterations in (5, 20, 60):
            yield _started(kind, cases, "geodesic-regression", "default", iterations, trained)
        for iterations in (0, 10, 20, 40):
            for preset in ("default", "amortised"):
                yield _started(kind, cases, "noder", preset, iterations, trained)


def _started(
    kind: str, cases: list[Prepared], name: str, preset: str, iterations: int, trained: DeformableMethod
) -> str:
    chosen = {"descent": {"iterations": iterations, "patience": 40}, "fit_size": trained.settings.fit_size}
    if preset == "default":
        method = create_method(name, chosen)
    else:
        method = create_method(name, {**chosen, "predictor": asdict(trained.settings.predictor)}, preset)
        method.load_state_dict(trained.state_dict())
    found = [_forecast(method, case.batch) for case in cases]
    skill = np.mean([case.skill(one.result.forecast) for case, one in zip(cases, found)])
    folding = np.mean([_folding(one.result.displacement) for one in found])
    start = "cold" if preset == "default" else "predicted"
    seconds = np.mean([one.seconds for one in found])
    return f"| {kind} | {name} | {start} | {iterations} | {skill:+.3f} | {folding:.3f} | {seconds:.2f} |"


def _warm_up() -> None:
    """What is loaded at the first use belongs to no method."""
    for name in ("noder", "geodesic-regression"):
        images, times = torch.rand(1, 2, 1, 8, 8, 8), torch.tensor([[-1.0, 0.0]])
        batch = SeriesBatch(images, times, torch.ones(1, 2, dtype=torch.bool), torch.tensor([1.0]))
        _forecast(create_method(name, {"descent": {"iterations": 2}}), batch)


def _forecast(method, batch: SeriesBatch) -> Cost[Members]:
    torch.manual_seed(0)
    return cost_of(lambda: method.forecast(batch))


def _folding(displacement: torch.Tensor) -> float:
    return regularity(displacement[0].numpy()).folding_percent


if __name__ == "__main__":
    main()
