"""Simulated stroke patients on disk: one file per frame, the true maps beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.manifest import Visit
from CRONOSLib.cohorts.simulators.cohort import TRUTH, Simulator, frame_name, write_image
from CRONOSLib.cohorts.simulators.perfusion import PerfusionPatient, PerfusionSettings, simulate_perfusion_patient
from CRONOSLib.imaging.intensity import TISSUE_WINDOW_HU
from CRONOSLib.series import TimeUnit

_LABELS = Path(TRUTH) / "labels.nrrd"


def _write(patient: PerfusionPatient, folder: Path) -> dict[str, Any]:
    for number, frame in enumerate(patient.frames):
        write_image(frame, folder / frame_name(number))
    for name, image in patient.maps.items():
        write_image(image, folder / TRUTH / f"{name}.nrrd")
    write_image(patient.labels, folder / _LABELS)
    visits = [{"time": time, "file": frame_name(number)} for number, time in enumerate(patient.times_s)]
    return {"visits": visits, "parameters": patient.parameters}


def _visit(entry: Mapping[str, Any]) -> Visit:
    return Visit(float(entry["time"]), Path(entry["file"]), mask=_LABELS)


PERFUSION = Simulator(
    generator="cronos simulate perfusion, version 1",
    unit=TimeUnit.SECOND,
    settings=PerfusionSettings,
    simulate=simulate_perfusion_patient,
    write=_write,
    visit=_visit,
    usual={
        "preprocessing": {
            "grid": {"spacing_mm": 3.0},
            "intensity": {"scope": "shared", "window": list(TISSUE_WINDOW_HU)},
            "alignment": "off",
        }
    },
)
"""Strokes followed by CT perfusion; mirrors ISLES."""
