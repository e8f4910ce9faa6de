"""Data sets in their official layouts: who was found, when, what of it, and what a wrong folder is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cohort_trees as trees
import numpy as np
import pytest
from CRONOSLib.cohorts.images import read_images
from CRONOSLib.cohorts.readers.patients import FoundCohort
from CRONOSLib.cohorts.readers.registry import LAYOUTS, find_cohort, layout_of
from CRONOSLib.cohorts.splits import Shares, complete_splits
from CRONOSLib.errors import CohortError
from CRONOSLib.series import TimeUnit
from dicom_files import save_cine, save_series


def times(found: FoundCohort) -> list[list[float]]:
    return [[visit.time for visit in patient.visits] for patient in found.patients]


def reasons(found: FoundCohort) -> str:
    return "\n".join(f"{one.subject} {one.path}: {one.reason}" for one in found.skipped)


def voxels(number: int, shape: tuple[int, int, int] = (3, 8, 9)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 900, shape)


def dicom(folder: Path) -> Path:
    """Three patients; both examinations of one lie in the same folder."""
    for number in range(1, 4):
        for day in ("20200101", "20200401"):
            tags = {"PatientID": f"P{number}", "StudyDate": day, "SeriesInstanceUID": f"1.2.{number}.{day}"}
            save_series(folder / f"export{number}", voxels(number + int(day)), names=f"{day}-{{:04d}}", **tags)
    return folder


TREES: dict[str, Callable[[Path], Path]] = {
    "acdc": trees.acdc,
    "isles": trees.isles,
    "lumiere": trees.lumiere,
    "adni": trees.adni,
    "oasis": trees.oasis2,
    "bids": trees.bids,
    "folders": trees.named,
    "dicom": dicom,
}


@pytest.mark.parametrize("name", TREES)
def test_every_layout_is_recognised_and_its_scans_can_be_read(name: str, tmp_path: Path) -> None:
    folder = TREES[name](tmp_path / "data")
    found = find_cohort(folder)
    assert found.layout.name == name
    assert len(found.patients) >= 3
    assert found.layout is layout_of(folder, name)
    for patient in found.patients:
        assert len(patient.visits) >= 2
        images = read_images(patient.visits)
        assert not [image for image in images if isinstance(image, Exception)]


def test_every_layout_has_a_tree_here() -> None:
    assert set(TREES) == {layout.name for layout in LAYOUTS}


# --- data sets ----------------------------------------------------------------------------------------------------


def test_acdc_gives_the_frames_from_end_diastole_to_end_systole(tmp_path: Path) -> None:
    found = find_cohort(trees.acdc(tmp_path))
    assert found.unit is TimeUnit.MILLISECOND
    assert [patient.subject for patient in found.patients] == ["patient001", "patient002", "patient003", "patient101"]
    assert [patient.split for patient in found.patients] == ["train", "train", "train", "test"]
    first = found.patients[0].visits
    assert [visit.frame for visit in first] == [0, 1, 2, 3]
    assert [visit.time for visit in first] == pytest.approx([0, 1000 / 6, 2000 / 6, 3000 / 6])
    assert [visit.mask and visit.mask.name for visit in first] == [
        "patient001_frame01_gt.nii.gz", None, None, "patient001_frame04_gt.nii.gz"
    ]  # fmt: skip
    assert {visit.channel for visit in first} == {"cine"}


def test_a_heart_cycle_goes_on_at_its_beginning(tmp_path: Path) -> None:
    folder = trees.acdc(tmp_path)
    shutil.rmtree(folder / "training" / "patient002")
    trees.acdc_patient(folder / "training" / "patient002", ed=5, es=2)
    assert [visit.frame for visit in find_cohort(folder).patients[1].visits] == [4, 5, 0, 1]


def test_acdc_without_its_parts_is_reported(tmp_path: Path) -> None:
    folder = trees.acdc(tmp_path, training=5)
    (folder / "training" / "patient002" / "patient002_4d.nii.gz").unlink()
    (folder / "training" / "patient003" / "Info.cfg").write_text("Group: NOR\n")
    found = find_cohort(folder)
    assert len(found.patients) == 4
    assert "patient002_4d.nii.gz: the 4D file is missing" in reasons(found)
    assert "Info.cfg: it is missing or does not give ED and ES" in reasons(found)


def test_isles_gives_the_co_registered_perfusion_in_seconds(tmp_path: Path) -> None:
    found = find_cohort(trees.isles(tmp_path))
    assert (found.unit, found.channel) == (TimeUnit.SECOND, "ctp")
    assert times(found) == [[0.0, 1.5, 3.0, 4.5]] * 3
    first = found.patients[0].visits[0]
    assert first.path.name == "sub-stroke0001_ses-01_space-ncct_ctp.nii.gz"
    assert first.mask is not None
    assert first.mask.name == "sub-stroke0001_ses-02_space-ncct_lesion-msk.nii.gz"


def test_a_second_between_the_frames_of_a_perfusion_is_believed(tmp_path: Path) -> None:
    assert times(find_cohort(trees.isles(tmp_path, step=1.0))) == [[0.0, 1.0, 2.0, 3.0]] * 3


def test_isles_without_derivatives_gives_the_raw_perfusion(tmp_path: Path) -> None:
    folder = trees.isles(tmp_path)
    shutil.rmtree(folder / "train" / "derivatives")
    first = find_cohort(folder / "train" / "raw_data").patients[0].visits[0]
    assert (first.path.name, first.mask) == ("sub-stroke0001_ses-01_ctp.nii.gz", None)


def test_lumiere_weeks_become_days_and_two_scans_of_a_week_keep_their_order(tmp_path: Path) -> None:
    found = find_cohort(trees.lumiere(tmp_path))
    assert (found.unit, found.channel) == (TimeUnit.DAY, "CT1")
    assert times(found) == [[0.0, 3.5, 308.0]] * 3
    assert found.channels == {"CT1": 3, "T1": 3, "T2": 3, "FLAIR": 3}
    mask = found.patients[0].visits[0].mask
    assert mask is not None
    assert mask.name == "segmentation_CT1_origspace.nii.gz"


def test_lumiere_says_what_its_own_table_promises_but_the_disk_lacks(tmp_path: Path) -> None:
    folder = trees.lumiere(tmp_path, patients=4)
    (folder / "Imaging" / "Patient-002" / "week-044" / "CT1.nii.gz").unlink()
    found = find_cohort(folder)
    assert len(found.patients[1].visits) == 2
    assert "LUMIERE-datacompleteness.csv lists this file" in reasons(found)
    assert find_cohort(folder, channel="flair").channel == "FLAIR"


def test_adni_joins_corrections_of_a_sequence_and_dates_come_from_folders(tmp_path: Path) -> None:
    found = find_cohort(trees.adni(tmp_path))
    assert found.channel == "MPR"
    assert found.channels == {"MPR": 3, "MPR-R": 3}
    assert [patient.subject for patient in found.patients] == ["002_S_0001", "002_S_0002", "002_S_0003"]
    assert times(found) == [[0.0, 378.0]] * 3
    assert found.patients[0].visits[0].date == date(2006, 4, 18)


def test_adni_of_dicom_files_names_the_folder_of_the_image(tmp_path: Path) -> None:
    for number in range(3):
        for day in ("2006-04-18_08_20_30.0", "2007-05-01_12_00_00.0"):
            image = tmp_path / f"002_S_{number:04d}" / "MP-RAGE" / day / "I123"
            save_series(image, voxels(number), names="slice{:03d}.dcm", SeriesDescription="mprage repeat")
    found = find_cohort(tmp_path)
    assert found.patients[0].visits[0].path.name == "I123"
    (image, _) = read_images(found.patients[0].visits)
    assert not isinstance(image, Exception)
    assert image.GetSize() == (9, 8, 3)


def test_oasis_2_takes_its_days_from_its_table(tmp_path: Path) -> None:
    folder = trees.oasis2(tmp_path)
    found = find_cohort(folder)
    assert (found.channel, times(found)) == ("mpr-1", [[0.0, 457.0]] * 3)
    (folder / "oasis_longitudinal_demographics.csv").rename(folder / "oasis_longitudinal_demographics.xlsx")
    with pytest.raises(CohortError, match=r"Save '.*\.xlsx' as CSV"):
        find_cohort(folder)


def test_oasis_3_tells_its_days_in_names(tmp_path: Path) -> None:
    found = find_cohort(trees.oasis3(tmp_path))
    assert (found.layout.name, found.channel, times(found)) == ("oasis", "T1w", [[129.0, 757.0]] * 3)


# --- what has no official layout ----------------------------------------------------------------------------------


def test_bids_dates_come_from_tables_or_labels(tmp_path: Path) -> None:
    folder = trees.bids(tmp_path, patients=4)
    (folder / "sub-01" / "sub-01_sessions.tsv").unlink()
    found = find_cohort(folder)
    assert times(found) == [[0.0, 184.0], [0.0, 184.0], [0.0, 152.0]]
    assert "no date in *_scans.tsv or *_sessions.tsv" in reasons(found)


def test_named_folders_give_masks_to_the_scans_of_their_day(tmp_path: Path) -> None:
    found = find_cohort(trees.named(tmp_path))
    assert found.channel == "T1w"
    assert times(found) == [[0.0, 60.0, 196.0]] * 3
    assert [visit.mask and visit.mask.name for visit in found.patients[0].visits] == [
        None, None, "2020-07-15_seg.nii.gz"
    ]  # fmt: skip


def test_patients_that_cannot_be_used_are_left_out_with_a_reason(tmp_path: Path) -> None:
    folder = trees.named(tmp_path)
    trees.write(trees.head(1), folder / "once" / "2020-01-01_T1w.nii.gz")
    trees.write(trees.head(2), folder / "other" / "2020-01-01_FLAIR.nii.gz")
    trees.write(trees.head(3), folder / "undated" / "first_T1w.nii.gz")
    trees.write(trees.head(4), folder / "patient-01" / "again" / "2020-01-01_T1w.nii.gz")
    trees.write(trees.head(5), folder / "patient-01" / "2020-05-01_FLAIR.nii.gz")
    (folder / "empty").mkdir()
    found = find_cohort(folder)
    assert [patient.subject for patient in found.patients] == ["patient-01", "patient-02", "patient-03"]
    said = reasons(found)
    assert "once None: the patient has one scan only" in said
    assert "other None: the patient has no scan of channel 'T1w'" in said
    assert "patient-01/2020-05-01_FLAIR.nii.gz: no scan of channel 'T1w' was made with it" in said
    assert "first_T1w.nii.gz: no date" in said
    assert "2020-01-01_T1w.nii.gz' of the same time is used" in said
    assert "is empty" in said


def test_a_dicom_tree_is_sorted_by_its_headers(tmp_path: Path) -> None:
    found = find_cohort(dicom(tmp_path))
    assert [patient.subject for patient in found.patients] == ["P1", "P2", "P3"]
    assert (found.channel, times(found)) == ("T1", [[0.0, 91.0]] * 3)
    early, late = read_images(found.patients[0].visits)
    assert not isinstance(early, Exception)
    assert not isinstance(late, Exception)
    assert early.GetPixel(2, 1, 0) == voxels(1 + 20200101)[0, 1, 2]
    assert late.GetPixel(2, 1, 0) == voxels(1 + 20200401)[0, 1, 2]


def test_a_series_alone_in_its_folder_is_named_by_it(tmp_path: Path) -> None:
    for number in range(3):
        for day in ("20200101", "20200401"):
            tags = {"PatientID": f"P{number}", "StudyDate": day, "SeriesInstanceUID": f"1.2.{number}.{day}"}
            save_series(tmp_path / f"P{number}" / day, voxels(number), names="{:04d}.dcm", **tags)
    paths = [visit.path for visit in find_cohort(tmp_path).patients[1].visits]
    assert paths == [tmp_path / "P1" / "20200101", tmp_path / "P1" / "20200401"]
    shared = find_cohort(dicom(tmp_path / "shared")).patients[0].visits
    assert [visit.path.name for visit in shared] == ["20200101-0001", "20200401-0001"]


def test_gated_dicom_gives_its_phases(tmp_path: Path) -> None:
    for number in range(3):
        phases = voxels(number, (4, 3, 8, 9))
        tags = {"PatientID": f"P{number}", "SeriesInstanceUID": f"1.2.3.{number}"}
        save_cine(tmp_path / f"heart{number}", phases, beat_ms=(40.0, 40.0, 40.0), **tags)
    found = find_cohort(tmp_path)
    assert (found.unit, times(found)) == (TimeUnit.MILLISECOND, [[0.0, 40.0, 80.0, 120.0]] * 3)
    assert [visit.frame for visit in found.patients[0].visits] == [0, 1, 2, 3]
    third = read_images(found.patients[0].visits)[2]
    assert not isinstance(third, Exception)
    assert third.GetPixel(2, 1, 0) == voxels(0, (4, 3, 8, 9))[2, 0, 1, 2]


def test_a_damaged_dicom_file_costs_its_series_only(tmp_path: Path) -> None:
    folder = dicom(tmp_path)
    for day in ("20200501", "20200601"):
        tags = {"PatientID": "P4", "StudyDate": day, "SeriesInstanceUID": f"1.2.4.{day}"}
        save_series(folder / "export4", voxels(int(day)), names=f"{day}-{{:04d}}", **tags)
    for path in (folder / "export4").glob("20200601*"):
        path.write_bytes(path.read_bytes()[:140])
    found = find_cohort(folder)
    assert [patient.subject for patient in found.patients] == ["P1", "P2", "P3"]
    assert "P4 None: the patient has one scan only" in reasons(found)


def test_dicom_of_several_patients_in_one_folder_is_not_guessed(tmp_path: Path) -> None:
    folder = dicom(tmp_path)
    for number in (4, 5):
        save_series(folder / "mixed", voxels(number), names=f"{number}-{{:04d}}", PatientID=f"P{number}")
    assert "among those of other patients" in reasons(find_cohort(folder))


# --- what a wrong folder is told ----------------------------------------------------------------------------------


def test_a_folder_of_no_layout_hears_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing to see")
    with pytest.raises(CohortError, match=r"laid out in no way that is known \(acdc: .*dicom: "):
        find_cohort(tmp_path)


def test_a_named_layout_that_does_not_fit_says_what_it_expects(tmp_path: Path) -> None:
    folder = trees.named(tmp_path)
    with pytest.raises(CohortError, match=r"not laid out like ACDC.*Info\.cfg"):
        find_cohort(folder, "acdc")
    with pytest.raises(CohortError, match=r"no layout 'nifti'\. Choose one of auto, acdc"):
        find_cohort(folder, "nifti")


def test_two_data_sets_in_one_folder_are_asked_about(tmp_path: Path) -> None:
    trees.acdc(tmp_path / "heart")
    trees.lumiere(tmp_path / "brain")
    with pytest.raises(CohortError, match="looks like acdc and lumiere"):
        find_cohort(tmp_path)
    assert find_cohort(tmp_path, "lumiere").layout.name == "lumiere"


def test_a_channel_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"No scan has the channel 'PET'\. There are: CT1, FLAIR, T1, T2\."):
        find_cohort(trees.lumiere(tmp_path), channel="PET")


def test_too_few_patients_are_one_error_with_the_reasons(tmp_path: Path) -> None:
    folder = trees.named(tmp_path, patients=2)
    trees.write(trees.head(1), folder / "once" / "2020-01-01_T1w.nii.gz")
    with pytest.raises(CohortError, match=r"2 of the patients can be used, but at least 3 .* one scan only"):
        find_cohort(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="is not a folder"):
        find_cohort(tmp_path / "nowhere")


# --- splits -------------------------------------------------------------------------------------------------------


def test_official_test_patients_stay_so_and_validation_comes_from_the_rest() -> None:
    official = {f"p{number:03d}": "train" for number in range(100)} | {f"t{number}": "test" for number in range(50)}
    made = complete_splits(official, 3)
    assert {subject for subject, split in made.items() if split == "test"} == {f"t{number}" for number in range(50)}
    assert sum(split == "validation" for split in made.values()) == 18  # 15 % to 70 %, of 100
    assert made == complete_splits(official, 3)
    assert made != complete_splits(official, 4)


def test_without_an_official_split_all_three_are_drawn() -> None:
    made = complete_splits({f"p{number}": None for number in range(20)}, 1, Shares(0.5, 0.25, 0.25))
    assert sorted(made.values()) == ["test"] * 5 + ["train"] * 10 + ["validation"] * 5


def test_shares_must_share_out_everything() -> None:
    with pytest.raises(CohortError, match="70/20/20"):
        Shares(0.7, 0.2, 0.2)
    with pytest.raises(CohortError, match="All but one"):
        complete_splits({"a": "test", "b": "test", "c": "train"}, 0)
