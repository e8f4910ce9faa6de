"""A cohort on disk: sealed, split by patient, and made again byte for byte."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from CRONOSLib.cohorts.manifest import Patient, Visit, read_cohort, write_cohort
from CRONOSLib.errors import CohortError
from CRONOSLib.series import TimeUnit


def a_patient(folder: Path, subject: str, split: str, days: tuple[float, ...] = (0.0, 50.0, 120.0)) -> Patient:
    visits = []
    for day in days:
        path = folder / subject / f"day{day:g}.nrrd"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        visits.append(Visit(day, path, date(2020, 1, 1)))
    return Patient(subject, split, tuple(visits))


@pytest.fixture
def folder(tmp_path):
    patients = [a_patient(tmp_path, "sub-2", "test"), a_patient(tmp_path, "sub-1", "train")]
    write_cohort(tmp_path, patients, name="toy", generator="by hand", parameters={"noise": 0.1}, seed=4)
    return tmp_path


def reseal(folder: Path, text: str) -> None:
    """Change the manifest and the seal on it."""
    (folder / "manifest.tsv").write_bytes(text.encode())
    record = json.loads((folder / "cohort.json").read_text())
    record["manifest_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "cohort.json").write_text(json.dumps(record))


def test_a_cohort_comes_back_as_it_was_written(folder):
    cohort = read_cohort(folder)
    assert [patient.subject for patient in cohort.patients] == ["sub-1", "sub-2"]
    assert cohort.patients[0] == a_patient(folder, "sub-1", "train")
    assert (cohort.name, cohort.unit, cohort.seed) == ("toy", TimeUnit.DAY, 4)
    assert cohort.parameters == {"noise": 0.1}
    assert [patient.subject for patient in cohort.split("test")] == ["sub-2"]
    assert cohort.split("validation") == ()


def test_the_manifest_can_move_with_its_images(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "cohort"
    folder.rename(elsewhere)
    assert read_cohort(elsewhere).patients[0].visits[0].path.is_relative_to(elsewhere)


def test_an_edited_manifest_is_refused(folder):
    manifest = folder / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("train", "test"))
    with pytest.raises(CohortError, match="was changed"):
        read_cohort(folder)


@pytest.mark.parametrize("name", ["manifest.tsv", "cohort.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CohortError, match=name):
        read_cohort(folder)


def test_a_missing_scan_is_named(folder):
    (folder / "sub-1" / "day50.nrrd").unlink()
    with pytest.raises(CohortError, match="day50"):
        read_cohort(folder)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "sub-1\t50\tday\t2020-01-01\tsub-1/day50.nrrd\ttrain",
            "sub-1\t50\tday\t\tsub-1/day50.nrrd\ttest",
            "several splits",
        ),
        ("\ttest", "\tholdout", "has the split 'holdout'"),
        ("sub-1\t50\t", "sub-1\t0\t", "do not ascend"),
        ("sub-1\t50\t", "sub-1\tsoon\t", "not readable"),
        ("sub-1\t50\tday", "sub-1\t50\tweek", "one known time unit"),
        ("subject\ttime", "patient\ttime", "lacks one of the columns"),
        ("sub-2", "sub-1", "listed twice|several splits"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_even_when_sealed(folder, old, new, complaint):
    text = (folder / "manifest.tsv").read_text()
    assert old in text
    reseal(folder, text.replace(old, new))
    with pytest.raises(CohortError, match=complaint):
        read_cohort(folder)


@pytest.mark.parametrize("text", ["not json", "[]", '{"schema": 99, "manifest_sha256": ""}'])
def test_a_cohort_file_that_is_not_ours_is_refused(folder, text):
    (folder / "cohort.json").write_text(text)
    with pytest.raises(CohortError, match="Make the cohort again"):
        read_cohort(folder)


def test_a_patient_cannot_be_written_into_two_splits(tmp_path):
    twice = [a_patient(tmp_path, "sub-1", "train"), a_patient(tmp_path, "sub-1", "test")]
    with pytest.raises(CohortError, match="listed twice"):
        write_cohort(tmp_path, twice, name="leaky")
    assert not (tmp_path / "manifest.tsv").exists()


def test_frames_channels_masks_and_digests_come_back(tmp_path):
    patients = []
    for number, split in enumerate(("train", "validation", "test")):
        series, mask = tmp_path / f"{number}_4d.nii.gz", tmp_path / f"{number}_gt.nii.gz"
        series.touch()
        mask.touch()
        visits = (
            Visit(0.0, series, frame=0, channel="cine", mask=mask, sha256=f"{number}ab"),
            Visit(33.3, series, frame=1, channel="cine", sha256=f"{number}ab"),
        )
        patients.append(Patient(f"patient{number}", split, visits))
    write_cohort(tmp_path, patients, name="hearts", unit=TimeUnit.MILLISECOND)
    cohort = read_cohort(tmp_path)
    assert cohort.patients == tuple(patients)
    assert cohort.unit is TimeUnit.MILLISECOND


def test_files_elsewhere_are_listed_by_their_whole_path(folder, tmp_path_factory):
    cohort = tmp_path_factory.mktemp("cohort")
    patients = [a_patient(folder, f"sub-{number}", "train") for number in (1, 2)]
    write_cohort(cohort, patients, name="toy")
    assert str(folder / "sub-1" / "day50.nrrd") in (cohort / "manifest.tsv").read_text()
    assert read_cohort(cohort).patients == tuple(patients)


def test_one_scan_cannot_stand_for_two_patients(folder):
    text = (folder / "manifest.tsv").read_text()
    reseal(folder, text.replace("sub-2/day50.nrrd", "sub-1/day50.nrrd"))
    with pytest.raises(CohortError, match="for the patients 'sub-1' and 'sub-2'"):
        read_cohort(folder)


def test_one_content_cannot_stand_for_two_patients(tmp_path):
    patients = [a_patient(tmp_path, "sub-1", "train"), a_patient(tmp_path, "sub-2", "test")]
    same = [replace(p, visits=(replace(p.visits[0], sha256="1f"), *p.visits[1:])) for p in patients]
    with pytest.raises(CohortError, match="learned from and measured on"):
        write_cohort(tmp_path, same, name="leaky")
    assert not (tmp_path / "manifest.tsv").exists()


def test_one_scan_cannot_stand_for_two_visits(tmp_path):
    patient = a_patient(tmp_path, "sub-1", "train")
    twice = replace(patient, visits=(patient.visits[0], replace(patient.visits[1], path=patient.visits[0].path)))
    with pytest.raises(CohortError, match="stands for two visits"):
        write_cohort(tmp_path, [twice], name="twice")


def test_channels_are_not_mixed(tmp_path):
    patient = a_patient(tmp_path, "sub-1", "train")
    visits = (replace(patient.visits[0], channel="T1"), replace(patient.visits[1], channel="T2"))
    with pytest.raises(CohortError, match="mixes the channels 'T1', 'T2'"):
        write_cohort(tmp_path, [replace(patient, visits=visits)], name="mixed")


def test_an_unknown_split_is_refused(folder):
    with pytest.raises(CohortError, match="no split 'holdout'"):
        read_cohort(folder).split("holdout")
