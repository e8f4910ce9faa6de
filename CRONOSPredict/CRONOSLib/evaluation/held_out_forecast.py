"""One forecast of a held-out patient, measured: the rows of results.csv."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CRONOSLib.bundles.skill import Skill
from CRONOSLib.errors import CohortError
from CRONOSLib.evaluation.skill import Difference, skill_difference, skill_over_patients


@dataclass(frozen=True)
class HeldOutForecast:
    """Errors of one forecast in normalised intensity; the fields, in this order, are the columns of results.csv.

    subject:      patient
    contexts:     scans that the forecast looked at
    target_visit: which visit of the patient was forecast, counted from 1
    horizon:      from the last context to the target, in the time unit of the cohort
    mse, lci_mse: mean square error of the forecast and of the last scan, over the whole grid
    mse_changed, lci_mse_changed: the same over the 2 % of voxels that truly changed most
    nrmse, nrmse_euclidean, psnr, ssim: as `CRONOSLib.evaluation.metrics` defines them
    change_correlation, changed_auroc, edge_nrmse: as `CRONOSLib.evaluation.change` defines them
    sharpness:    `Sharpness.detail` beside the truth, decades; below 0 is blurrier
    crps, spread_skill: of the members, as `CRONOSLib.evaluation.ensemble` defines them; where they agree, the CRPS is
                  the mean absolute error, and there is no spread
    folding_percent: voxels that the deformation folds, %; None for a method that does not deform
    seconds:      that the forecast took, as `work_seconds` counts them
    error_in_spreads: quantiles of |error| / max(spread, floor) over the foreground, see `calibration`; None for a
                  forecast whose members agree; not in the table

    Those from `nrmse` to `seconds` are None unless they were asked for.
    """

    subject: str
    contexts: int
    target_visit: int
    horizon: float
    mse: float
    lci_mse: float
    mse_changed: float
    lci_mse_changed: float
    nrmse: float | None = None
    nrmse_euclidean: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    change_correlation: float | None = None
    changed_auroc: float | None = None
    edge_nrmse: float | None = None
    sharpness: float | None = None
    crps: float | None = None
    spread_skill: float | None = None
    folding_percent: float | None = None
    seconds: float | None = None
    error_in_spreads: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)


_COLUMNS = tuple(column.name for column in fields(HeldOutForecast) if column.name != "error_in_spreads")
_COUNTS = ("contexts", "target_visit")


def write_results(path: Path, results: Sequence[HeldOutForecast]) -> None:
    """One row per forecast, in the columns of `HeldOutForecast`; those that nobody asked for are left out."""
    columns = [column for column in _COLUMNS if any(getattr(result, column) is not None for result in results)]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows([getattr(result, column) for column in columns] for result in results)


def read_results(path: Path) -> list[HeldOutForecast]:
    """Rows of `write_results`, but for what is not in the table. Raises CohortError when the file is no such table."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_row(cells) for cells in csv.DictReader(file)]
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise CohortError(f"'{path}' is no table of results ({error}). Measure the method again.") from error


def skill_of(results: Sequence[HeldOutForecast], split: str, *, changed: bool = False) -> Skill:
    """Mean skill over patients with its bootstrap interval; a patient's forecasts are averaged first.

    Raises CohortError as `skill_over_patients`.
    """
    suffix = "_changed" if changed else ""
    _, (error, lci) = per_patient(results, f"mse{suffix}", f"lci_mse{suffix}")
    return skill_over_patients(error, lci, split=split)


def difference_of(results: Sequence[HeldOutForecast], others: Sequence[HeldOutForecast]) -> Difference:
    """Skill of the first minus skill of the second method on the same forecasts, paired over patients.

    Raises CohortError when they are not measured on the same patients and targets.
    """
    if [_what(result) for result in results] != [_what(other) for other in others]:
        raise CohortError("The methods were measured on different forecasts. Measure them on the same ones.")
    _, (error, lci) = per_patient(results, "mse", "lci_mse")
    _, (other,) = per_patient(others, "mse")
    return skill_difference(error, other, lci)


def per_patient(results: Sequence[HeldOutForecast], *columns: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    """Subjects, ascending, and of each column the (N,) means over each patient's forecasts."""
    subjects = sorted({result.subject for result in results})
    groups = [[result for result in results if result.subject == subject] for subject in subjects]
    means = [np.array([np.mean([getattr(one, column) for one in group]) for group in groups]) for column in columns]
    return subjects, means


def _row(cells: dict[str, str]) -> HeldOutForecast:
    numbers = {
        name: int(cells[name]) if name in _COUNTS else float(cells[name]) for name in _COLUMNS[1:] if cells.get(name)
    }
    return HeldOutForecast(cells["subject"], **numbers)  # type: ignore[arg-type]


def _what(result: HeldOutForecast) -> tuple[str, int, int]:
    return result.subject, result.contexts, result.target_visit
