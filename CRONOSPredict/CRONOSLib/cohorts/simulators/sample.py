"""The sample patient: four dated scans to forecast from, and the true fifth.

Made again with `python -m CRONOSLib.cohorts.simulators.sample Resources/sample`.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from CRONOSLib.cohorts.simulators.acquisition import AcquisitionSettings
from CRONOSLib.cohorts.simulators.cohort import write_image
from CRONOSLib.cohorts.simulators.fields import one_thread
from CRONOSLib.cohorts.simulators.glioma import SimulatedPatient, simulate_glioma_patient
from CRONOSLib.cohorts.simulators.glioma_cohort import scan_name, write_volumes
from CRONOSLib.cohorts.simulators.settings import NATIVE_GLIOMA
from CRONOSLib.cohorts.simulators.visits import VisitSettings
from CRONOSLib.errors import OutputError

SAMPLE_SEED = (2016, 12, 7)
"""Three numbers: the patients of cohorts are seeded by two, so none of them is this one."""

SAMPLE_SETTINGS = replace(
    NATIVE_GLIOMA,
    acquisition=AcquisitionSettings(
        shift_mm=2.0, turn_degrees=2.0, noise=(0.012, 0.012), bias=(0.08, 0.08), full_scale=400.0
    ),
    visits=VisitSettings(count=(5, 5)),
)
"""An unregistered patient of a clinical scanner; few grey values, so that the files stay small."""


def write_sample_patient(folder: Path) -> SimulatedPatient:
    """Write the sample patient to `folder`: four scans there, the fifth and all labels in `folder/truth`.

    Scans and truth of an earlier sample in the folder are replaced. Raises OutputError when it cannot be written.
    """
    truth = folder / "truth"
    try:
        shutil.rmtree(truth, ignore_errors=True)
        truth.mkdir(parents=True)
        for earlier in folder.glob(scan_name("*")):
            earlier.unlink()
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be written. Choose another place for the sample.") from error
    with one_thread():
        patient = simulate_glioma_patient(SAMPLE_SEED, SAMPLE_SETTINGS)
    target = patient.visits[-1]
    for visit in patient.visits:
        day = visit.date.date().isoformat()
        write_image(visit.scan, (truth if visit is target else folder) / scan_name(day))
        write_image(visit.labels, truth / f"{day}_labels.nrrd")
    write_volumes(patient, truth / "volumes.tsv")
    return patient


if __name__ == "__main__":
    write_sample_patient(Path(sys.argv[1]))
