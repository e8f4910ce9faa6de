"""Simulated glioma patients on disk: scans named by their dates, the tumour's truth beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.manifest import Visit
from CRONOSLib.cohorts.simulators.cohort import TRUTH, Simulator, write_image
from CRONOSLib.cohorts.simulators.glioma import SimulatedPatient, simulate_glioma_patient
from CRONOSLib.cohorts.simulators.settings import GliomaSettings
from CRONOSLib.series import TimeUnit


def write_volumes(patient: SimulatedPatient, path: Path) -> None:
    """Write the volumes of the tumour's regions in ml, one line per visit."""
    lines = ["date\tday\tnecrosis_ml\toedema_ml\tenhancing_ml"]
    for visit in patient.visits:
        volumes = "\t".join(f"{visit.volumes_ml[name]:.3f}" for name in ("necrosis", "oedema", "enhancing"))
        lines.append(f"{visit.date.date().isoformat()}\t{visit.day}\t{volumes}")
    path.write_bytes(("\n".join(lines) + "\n").encode())


def scan_name(date: str) -> str:
    """File name of the scan of an ISO date."""
    return f"{date}_T1Gd.nrrd"


def _write(patient: SimulatedPatient, folder: Path) -> dict[str, Any]:
    truth = folder / TRUTH
    for visit in patient.visits:
        day = visit.date.date().isoformat()
        write_image(visit.scan, folder / scan_name(day))
        write_image(visit.density, truth / f"{day}_density.nrrd")
        write_image(visit.labels, truth / f"{day}_labels.nrrd")
        if visit.clean is not None:
            write_image(visit.clean, truth / f"{day}_clean.nrrd")
    write_volumes(patient, truth / "volumes.tsv")
    visits = [{"day": visit.day, "date": visit.date.date().isoformat()} for visit in patient.visits]
    return {"visits": visits, "parameters": patient.parameters}


def _visit(entry: Mapping[str, Any]) -> Visit:
    return Visit(float(entry["day"]), Path(scan_name(entry["date"])), date.fromisoformat(entry["date"]))


GLIOMA = Simulator(
    generator="cronos simulate glioma, version 1",
    unit=TimeUnit.DAY,
    settings=GliomaSettings,
    simulate=simulate_glioma_patient,
    write=_write,
    visit=_visit,
)
"""Gliomas that grow in the MNI152 brain, scanned at irregular dates; mirrors LUMIERE."""
