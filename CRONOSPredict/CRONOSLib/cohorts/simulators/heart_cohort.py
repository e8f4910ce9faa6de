"""Simulated heart patients on disk: one file per frame, the heart's truth beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.manifest import Visit
from CRONOSLib.cohorts.simulators.cohort import TRUTH, Simulator, frame_name, write_image
from CRONOSLib.cohorts.simulators.heart import HeartPatient, HeartSettings, simulate_heart_patient
from CRONOSLib.series import TimeUnit


def _write(patient: HeartPatient, folder: Path) -> dict[str, Any]:
    lines = ["time_ms\tactivation\tright_blood_ml\tmyocardium_ml\tleft_blood_ml"]
    for number, frame in enumerate(patient.frames):
        name = frame_name(number)
        write_image(frame.scan, folder / name)
        write_image(frame.labels, folder / _labels_of(name))
        volumes = "\t".join(f"{value:.2f}" for value in frame.volumes_ml.values())
        lines.append(f"{frame.time_ms:.1f}\t{frame.activation:.5f}\t{volumes}")
    (folder / TRUTH / "volumes.tsv").write_bytes(("\n".join(lines) + "\n").encode())
    visits = [{"time": frame.time_ms, "file": frame_name(number)} for number, frame in enumerate(patient.frames)]
    return {"visits": visits, "parameters": patient.parameters}


def _labels_of(name: str) -> Path:
    return Path(TRUTH) / name.replace(".nrrd", "_labels.nrrd")


def _visit(entry: Mapping[str, Any]) -> Visit:
    return Visit(float(entry["time"]), Path(entry["file"]), mask=_labels_of(entry["file"]))


CINE = Simulator(
    generator="cronos simulate cine, version 1",
    unit=TimeUnit.MILLISECOND,
    settings=HeartSettings,
    simulate=simulate_heart_patient,
    write=_write,
    visit=_visit,
    usual={"preprocessing": {"grid": {"spacing_mm": 3.0}, "intensity": {"scope": "shared"}, "alignment": "off"}},
)
"""Beating hearts, imaged from end-diastole to end-systole; mirrors ACDC."""
