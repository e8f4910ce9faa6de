"""From folders to prepared cohorts: nothing lost in silence, nothing leaked, killed and resumed, in parallel."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cohort_trees as trees
import numpy as np
import pytest
import SimpleITK as sitk
from cli_driver import done, mistake
from CRONOSLib.cohorts.manifest import Cohort, Visit, read_cohort
from CRONOSLib.cohorts.parallel import each
from CRONOSLib.cohorts.readers.registry import LAYOUTS, find_cohort
from CRONOSLib.cohorts.usual_settings import read_usual_settings
from CRONOSLib.errors import CohortError, OutputError
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.collecting import CollectedCohort, collect_cohort
from CRONOSLib.training.patients import PreparedPatient, prepare_patients
from CRONOSLib.training.prepared_files import write_prepared
from CRONOSLib.training.settings import TrainSettings
from dicom_files import save_series

QUICK = Preprocessing(GridSpec(spacing_mm=8.0, multiple=2), alignment=Alignment.OFF)
WORDS = ("--align", "off", "--spacing", "8")


def collect(folder: Path, out: Path, **options) -> CollectedCohort:
    return collect_cohort(find_cohort(folder), out, **{"preprocessing": QUICK, **options})


def prepared(cohort: Cohort, preprocessing: Preprocessing = QUICK, **options) -> dict[str, PreparedPatient]:
    splits = (prepare_patients(cohort, split, preprocessing, **options) for split in ("train", "validation", "test"))
    return {patient.subject: patient for split in splits for patient in split}


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, except those with names of the places they were made from."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("visits.json", "cohort.json"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_folder_becomes_a_sealed_cohort_of_prepared_patients(tmp_path: Path) -> None:
    made = collect(trees.named(tmp_path / "data", patients=4), tmp_path / "out", seed=7)
    cohort = read_cohort(tmp_path / "out")
    assert cohort.patients == made.cohort.patients
    assert (cohort.generator, cohort.seed) == ("cronos prepare, layout folders", 7)
    assert cohort.parameters["channel"] == "T1w"
    assert sorted(patient.split for patient in cohort.patients) == ["test", "train", "train", "validation"]
    patient = prepared(cohort)["patient-01"]
    assert patient.times.tolist() == [0.0, 60.0, 196.0]
    assert patient.visits.shape[:2] == (3, 1)
    assert isinstance(patient.visits, np.memmap)
    in_units = patient.scales[2].invert(patient.visits[2, 0])
    middle = tuple(count // 2 for count in in_units.shape)
    assert in_units[middle] == pytest.approx(120, abs=25)


def test_patients_with_one_scan_are_learned_from_when_they_are_kept(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data", patients=3)
    trees.write(trees.head(7), folder / "once" / "2020-01-01_T1w.nii.gz")
    trees.cut(trees.write(trees.head(8), folder / "broken" / "2020-01-01_T1w.nii.gz"))
    found = find_cohort(folder, single_scans=True)
    made = collect_cohort(found, tmp_path / "out", preprocessing=QUICK)
    splits = {patient.subject: patient.split for patient in made.cohort.patients}
    assert splits.pop("once") == "train"
    assert sorted(splits.values()) == ["test", "train", "validation"]
    assert "broken" in {one.subject for one in made.skipped}
    assert collect_cohort(found, tmp_path / "out", preprocessing=QUICK).cohort.patients == made.cohort.patients
    with pytest.raises(CohortError, match="in another way"):
        collect(folder, tmp_path / "out")
    for patient in ("patient-01", "patient-02"):
        shutil.rmtree(folder / patient)
    with pytest.raises(CohortError, match="at least 3"):
        find_cohort(folder, single_scans=True)


def test_a_mask_lies_on_the_grid_of_its_visit_and_is_absent_elsewhere(tmp_path: Path) -> None:
    cohort = collect(trees.named(tmp_path / "data"), tmp_path / "out").cohort
    patient = prepared(cohort)["patient-01"]
    first, second, mask = patient.masks
    assert (first, second) == (None, None)
    assert mask.shape == patient.visits.shape[2:]
    depth = mask.shape[0]
    inside = mask[:, mask.shape[1] // 2, mask.shape[2] // 2]
    assert inside[depth // 4] == 1
    assert inside[-1 - depth // 4] == 0


def test_a_mask_moves_with_its_aligned_scan(tmp_path: Path) -> None:
    visits, images = [], []
    for number, origin in enumerate(((12.0, 0.0, 0.0), (0.0, 0.0, 0.0))):  # mm: the first scan lies 12 mm to the side
        image, mask = lopsided_head(), sitk.Cast(lopsided_head() > 100, sitk.sitkUInt8)
        image.SetOrigin(origin)
        mask.SetOrigin(origin)
        path = trees.write(mask, tmp_path / f"{number}.nii.gz")
        visits.append(Visit(float(number), path, mask=path))
        images.append(image)
    overlap = {}
    for alignment in (Alignment.OFF, Alignment.RIGID):
        preprocessing = Preprocessing(GridSpec(spacing_mm=4.0), alignment=alignment)
        write_prepared(tmp_path / alignment.value, visits, images, preprocessing, TimeUnit.DAY)
        first, last = np.load(tmp_path / alignment.value / "masks.npy").astype(bool)
        overlap[alignment] = (first & last).sum() / last.sum()
    assert overlap[Alignment.OFF] < 0.7
    assert overlap[Alignment.RIGID] > 0.9


def lopsided_head() -> sitk.Image:
    array = np.zeros((16, 24, 24), np.float32) + np.random.default_rng(0).normal(0, 2, (16, 24, 24))
    array[4:12, 5:19, 6:17] += 100
    array[6:10, 7:12, 8:11] += 80
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing((4.0, 4.0, 4.0))
    return image


def test_scans_that_do_not_overlap_cost_their_patient_only(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data", patients=4, days=("2020-01-01", "2020-03-01"))
    away = trees.head(1)
    away.SetOrigin((900.0, 0.0, 0.0))
    trees.write(away, folder / "patient-02" / "2020-01-01_T1w.nii.gz")
    made = collect(folder, tmp_path / "out", preprocessing=replace(QUICK, alignment=Alignment.RIGID))
    assert [patient.subject for patient in made.cohort.patients] == ["patient-01", "patient-03", "patient-04"]
    assert "do not overlap" in made.skipped[0].reason


def test_frames_of_a_4d_file_are_visits_and_official_splits_are_kept(tmp_path: Path) -> None:
    made = collect(trees.acdc(tmp_path / "data", training=4, testing=2), tmp_path / "out")
    cohort = read_cohort(tmp_path / "out")
    assert cohort.patients == made.cohort.patients
    assert [patient.subject for patient in cohort.split("test")] == ["patient101", "patient102"]
    assert len(cohort.split("validation")) == 1
    patient = prepared(cohort)["patient001"]
    assert patient.visits.shape[0] == 4
    assert [mask is not None for mask in patient.masks] == [True, False, False, True]
    assert "frame\tchannel\tmask" in (tmp_path / "out" / "manifest.tsv").read_text()


def test_what_cannot_be_read_is_left_out_and_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data", patients=6)
    trees.cut(folder / "patient-02" / "2020-03-01_T1w.nii.gz")
    for day in ("2020-01-01", "2020-03-01"):
        trees.cut(folder / "patient-03" / f"{day}_T1w.nii.gz")
    colours = sitk.Compose(*[trees.head(number) for number in range(3)])
    trees.write(colours, folder / "patient-04" / "2020-01-01_T1w.nii.gz")
    trees.write(trees.head(40, 3.0) * 0, folder / "patient-05" / "2020-01-01_T1w.nii.gz")
    trees.cut(folder / "patient-06" / "2020-07-15_seg.nii.gz")
    (folder / "patient-06" / "2020-09-01_T1w.nii.gz").symlink_to(tmp_path / "never fetched.nii.gz")
    made = collect(folder, tmp_path / "out")
    visits = {patient.subject: len(patient.visits) for patient in made.cohort.patients}
    assert visits == {"patient-01": 3, "patient-02": 2, "patient-04": 2, "patient-05": 2, "patient-06": 3}
    with (tmp_path / "out" / "skipped.csv").open(newline="") as file:
        rows = [(row["subject"], Path(row["path"]).name, row["reason"]) for row in csv.DictReader(file)]
    said = "\n".join(" ".join(row) for row in rows)
    assert "patient-02 2020-03-01_T1w.nii.gz '2020-03-01_T1w.nii.gz' is damaged or cut off" in said
    assert "patient-03  1 of its 3 scans can be used, but 2 are needed" in said
    assert "3 values per voxel" in said
    assert "Every voxel" in said
    assert "patient-06 2020-07-15_seg.nii.gz the scan is used without its mask" in said
    assert "patient-06 2020-09-01_T1w.nii.gz" in said
    assert len(rows) == 8


def test_too_few_readable_patients_write_no_manifest(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data")
    for day in ("2020-01-01", "2020-03-01"):
        trees.cut(folder / "patient-03" / f"{day}_T1w.nii.gz")
    with pytest.raises(CohortError, match="2 of the patients can be used"):
        collect(folder, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.tsv").exists()


def test_one_scan_under_two_names_is_refused(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data", patients=4)
    shutil.copy(folder / "patient-01" / "2020-01-01_T1w.nii.gz", folder / "patient-04" / "2020-03-01_T1w.nii.gz")
    with pytest.raises(CohortError, match="for the patients 'patient-01' and 'patient-04'"):
        collect(folder, tmp_path / "out")


def test_a_pair_of_header_and_voxels_is_known_by_both(tmp_path: Path) -> None:
    """The headers of OASIS-2 are all alike."""
    made = collect(trees.oasis2(tmp_path / "data"), tmp_path / "out")
    assert len({visit.sha256 for patient in made.cohort.patients for visit in patient.visits}) == 6


def test_examinations_that_share_a_dicom_folder_are_not_confused(tmp_path: Path) -> None:
    for number in range(3):
        for day in (1, 2):
            voxels = np.random.default_rng([number, day]).integers(0, 900, (4, 9, 9))
            tags = {"PatientID": f"P{number}", "StudyDate": f"2020010{day}", "SeriesInstanceUID": f"1.2.{number}.{day}"}
            save_series(tmp_path / "data" / f"P{number}", voxels, names=f"{day}-{{:03d}}", **tags)
    fine = Preprocessing(GridSpec(multiple=1), alignment=Alignment.OFF)
    collect(tmp_path / "data", tmp_path / "out", preprocessing=fine)
    cohort = read_cohort(tmp_path / "out")
    assert [len(patient.visits) for patient in cohort.patients] == [2, 2, 2]
    first, second = prepared(cohort, fine)["P1"].visits
    assert not np.array_equal(first, second)


def test_a_copy_within_a_patient_is_left_out(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data")
    shutil.copy(folder / "patient-01" / "2020-01-01_T1w.nii.gz", folder / "patient-01" / "2020-03-01_T1w.nii.gz")
    made = collect(folder, tmp_path / "out")
    assert [visit.time for visit in made.cohort.patients[0].visits] == [0.0, 196.0]
    assert "is a copy of" in made.skipped[0].reason


def test_jobs_change_nothing(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data", days=("2020-01-01", "2020-03-01"))
    aligned = replace(QUICK, alignment=Alignment.RIGID)
    one = collect(folder, tmp_path / "one" / "out", preprocessing=aligned)
    two = collect(folder, tmp_path / "two" / "out", preprocessing=aligned, jobs=2)
    assert one.cohort.manifest_sha256 == two.cohort.manifest_sha256
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_process_that_the_system_ends_is_one_sentence() -> None:
    with pytest.raises(CohortError, match="most likely because memory ran out"):
        list(each(os._exit, [9, 9, 9], jobs=2))


def test_a_killed_preparation_goes_on_to_the_same_cohort(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data", patients=16)
    trees.cut(folder / "patient-01" / "2020-01-01_T1w.nii.gz")
    out = tmp_path / "killed" / "out"
    words = [sys.executable, "-m", "CRONOSLib.cli", "prepare", str(folder), "--out", str(out), *WORDS]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("prepared/*/patient-*/visits.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the preparation ended before it could be killed"
    assert not (out / "manifest.tsv").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("prepared/*/patient-*/visits.npy")}
    assert kept
    same = replace(QUICK, grid=GridSpec(spacing_mm=8.0))
    resumed = collect(folder, out, preprocessing=same)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    whole = collect(folder, tmp_path / "whole" / "out", preprocessing=same)
    assert resumed.skipped == whole.skipped
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert not list(out.glob("prepared/*/.*"))


def test_a_finished_cohort_stays_as_it_is_and_can_be_prepared_otherwise(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data")
    first = collect(folder, tmp_path / "out")
    trees.named(tmp_path / "more", patients=4)
    shutil.copytree(tmp_path / "more" / "patient-04", folder / "patient-04")
    finer = replace(QUICK, grid=GridSpec(spacing_mm=4.0))
    again = collect(folder, tmp_path / "out", preprocessing=finer)
    assert again.cohort == first.cohort
    assert len(list((tmp_path / "out" / "prepared").iterdir())) == 2
    settings = TrainSettings.from_json(read_usual_settings(tmp_path / "out"))
    assert settings.cohort_preprocessing() == finer
    with pytest.raises(CohortError, match="another folder or in another way"):
        collect(folder, tmp_path / "out", seed=1)


def test_a_scan_that_changed_after_the_cohort_was_made_is_refused(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data")
    cohort = collect(folder, tmp_path / "out").cohort
    trees.write(trees.head(99), folder / "patient-01" / "2020-01-01_T1w.nii.gz")
    with pytest.raises(CohortError, match="was changed after the cohort was made"):
        prepared(cohort, replace(QUICK, grid=GridSpec(spacing_mm=4.0)))


def test_a_patient_is_prepared_again_when_its_rows_change(tmp_path: Path) -> None:
    cohort = collect(trees.named(tmp_path / "data"), tmp_path / "out").cohort
    patients = [replace(patient, visits=patient.visits[:2]) for patient in cohort.patients]
    assert prepared(replace(cohort, patients=tuple(patients)))["patient-01"].times.tolist() == [0.0, 60.0]
    assert prepared(cohort)["patient-01"].times.tolist() == [0.0, 60.0, 196.0]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    folder = trees.named(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Choose another place"):
        collect(folder, tmp_path / "file" / "out")


def test_a_full_disk_is_one_sentence_and_nothing_looks_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = trees.named(tmp_path / "data")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))  # bytes of one file
    try:
        with pytest.raises(OutputError, match="the disk may be full"):
            collect(folder, tmp_path / "out", preprocessing=replace(QUICK, grid=GridSpec(spacing_mm=4.0)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_says_what_was_found_and_how_to_go_on(tmp_path: Path) -> None:
    folder = trees.lumiere(tmp_path / "data", patients=4)
    trees.cut(folder / "Imaging" / "Patient-002" / "week-044" / "T2.nii.gz")
    out = tmp_path / "out"
    looked = done("prepare", folder, "--out", out, "--dry-run")
    assert "Found:  4 patients with 12 scans" in looked.stdout
    assert not out.exists()
    result = done("prepare", folder, "--out", out, "--channel", "t2", "--split", "50/25/25", *WORDS)
    assert "LUMIERE, glioblastomas over months" in result.stdout
    assert "damaged or cut off" in result.stdout
    assert f"cronos train --cohort {out} --out" in result.stdout
    cohort = read_cohort(out)
    assert {visit.channel for patient in cohort.patients for visit in patient.visits} == {"T2"}
    assert [len(cohort.split(split)) for split in ("train", "validation", "test")] == [2, 1, 1]


def test_the_help_names_every_layout() -> None:
    said = done("prepare", "--help").stdout
    assert not [layout.name for layout in LAYOUTS if layout.name not in said]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--split", "70/30"), "three percentages"),
        (("--split", "70/20/20"), "does not share out"),
        (("--align", "elastic"), "no alignment 'elastic'"),
        (("--size", "96"), "three numbers"),
        (("--size", "96x96x64", "--spacing", "3"), "exclude each other"),
        (("--layout", "acdc"), "not laid out like ACDC"),
        (("--channel", "PET"), "No scan has the channel 'PET'"),
    ],
)
def test_what_is_typed_wrongly_is_one_sentence(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    folder = trees.named(tmp_path / "data")
    assert complaint in mistake("prepare", folder, "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()
