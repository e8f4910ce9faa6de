"""A cohort of simulated patients on disk: made again byte for byte, interrupted and resumed, split by patient."""

from __future__ import annotations

import shutil

import pytest
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.errors import CohortError

pytest.importorskip("torch")
pytest.importorskip("nilearn")

from CRONOSLib.cohorts.simulators.anatomy import AnatomySettings
from CRONOSLib.cohorts.simulators.cohort import simulate_cohort
from CRONOSLib.cohorts.simulators.glioma_cohort import GLIOMA
from CRONOSLib.cohorts.simulators.growth import GrowthSettings
from CRONOSLib.cohorts.simulators.settings import GliomaSettings, ScanSettings
from CRONOSLib.cohorts.splits import draw_splits


@pytest.fixture(scope="module")
def settings():
    return GliomaSettings(
        anatomy=AnatomySettings(template_mm=3),
        growth=GrowthSettings(spacing_mm=4.0, front_width_mm=(2.0, 4.0)),
        scan=ScanSettings(size=(48, 48, 32), spacing_mm=(4.0, 4.0, 4.0)),
        window=(48, 48, 32),
    )


@pytest.fixture(scope="module")
def made(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "glioma"
    progress = []
    cohort = simulate_cohort(GLIOMA, out, 3, 5, settings, on_progress=lambda *done: progress.append(done))
    assert progress == [(1, 3), (2, 3), (3, 3)]
    return cohort


def test_what_was_made_can_be_read(made):
    cohort = read_cohort(made.folder)
    assert cohort.patients == made.patients
    assert {patient.split for patient in cohort.patients} == {"train", "validation", "test"}
    assert all(len(patient.visits) >= 3 for patient in cohort.patients)


def test_a_patient_is_the_same_to_the_byte_however_many_patients_and_jobs_there_are(made, settings, tmp_path):
    again = simulate_cohort(GLIOMA, tmp_path / "glioma", 2, 5, settings, jobs=2)
    for patient in ("sub-0001", "sub-0002"):
        files = [path.relative_to(made.folder) for path in (made.folder / patient).rglob("*") if path.is_file()]
        assert len(files) == sum(path.is_file() for path in (again.folder / patient).rglob("*"))
        for file in files:
            assert (made.folder / file).read_bytes() == (again.folder / file).read_bytes(), file


def test_an_interrupted_run_goes_on_where_it_stopped(made, settings, tmp_path):
    out = tmp_path / "glioma"
    shutil.copytree(made.folder, out)
    shutil.rmtree(out / "sub-0002")
    (out / "manifest.tsv").unlink()
    (out / ".sub-0002.part").mkdir()
    kept = (out / "sub-0001" / "truth" / "volumes.tsv").stat().st_mtime_ns
    progress = []
    cohort = simulate_cohort(GLIOMA, out, 3, 5, settings, on_progress=lambda *done: progress.append(done))
    assert progress == [(3, 3)]
    assert (out / "sub-0001" / "truth" / "volumes.tsv").stat().st_mtime_ns == kept
    assert cohort.manifest_sha256 == made.manifest_sha256
    assert not (out / ".sub-0002.part").exists()


def test_a_folder_of_another_seed_is_not_mixed_with_this_one(made, settings):
    with pytest.raises(CohortError, match="another seed or other settings"):
        simulate_cohort(GLIOMA, made.folder, 3, 6, settings)


def test_a_cohort_without_patients_is_refused(tmp_path):
    with pytest.raises(CohortError, match="at least one"):
        simulate_cohort(GLIOMA, tmp_path / "none", 0, 1)


def test_splits_are_seventy_fifteen_fifteen_and_follow_the_seed():
    splits = draw_splits(200, 1)
    assert [splits.count(name) for name in ("train", "validation", "test")] == [140, 30, 30]
    assert splits == draw_splits(200, 1)
    assert splits != draw_splits(200, 2)
    assert splits[:140] != ["train"] * 140
