"""Series out of files, folders, BIDS, manifests and 4D files."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import DateError, ImageError, SeriesError
from CRONOSLib.imaging.sources import Source, read_scan, read_series
from CRONOSLib.series import LongitudinalSeries, TimeSource, TimeUnit
from dicom_files import save_series
from real_patients import REAL_PATIENTS, needs


def save(path: Path, seed: int = 0, frames: int = 0, step: float = 1.0) -> Path:
    """A small noisy volume, or 4D file, of float voxels; its mean is `seed`."""
    rng = np.random.default_rng(seed)
    images = [sitk.GetImageFromArray(rng.normal(seed, 1, (4, 5, 6)).astype(np.float32)) for _ in range(frames or 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.JoinSeries(images, 0.0, step) if frames else images[0], str(path))
    return path


def save_mask(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray((np.arange(120).reshape(4, 5, 6) % 2).astype(np.uint8)), str(path))


def dates(series: LongitudinalSeries) -> list[str]:
    return [series.describe_time(time) for time in series.times]


def test_typed_dates_make_a_series_in_days_whatever_their_order(tmp_path: Path) -> None:
    late, early = save(tmp_path / "b.nii.gz", 2), save(tmp_path / "a.nrrd", 1)
    series = read_series([Source(late, "2024-03-11"), Source(early, "2024-03-01T12:00")])
    assert [scan.name for scan in series] == ["a", "b"]
    assert series.times == (0.0, 9.5)
    assert {scan.source for scan in series} == {TimeSource.TYPED}


def test_dates_can_be_counted_in_another_unit(tmp_path: Path) -> None:
    sources = [Source(save(tmp_path / f"{day}.mha"), f"2024-03-{day}") for day in ("01", "15")]
    series = read_series(sources, unit=TimeUnit.WEEK)
    assert (series.times, series.unit) == ((0.0, 2.0), TimeUnit.WEEK)
    assert series.time_at(datetime(2024, 3, 22)) == 3.0


def test_plain_numbers_are_times_of_the_unit_that_is_given(tmp_path: Path) -> None:
    sources = [Source(save(tmp_path / f"GA{week}.mha"), str(week)) for week in (25, 27)]
    series = read_series(sources, unit=TimeUnit.WEEK)
    assert (series.times, series.epoch) == ((25.0, 27.0), None)
    with pytest.raises(DateError, match="number without a unit"):
        read_series(sources)


def test_dates_and_plain_times_do_not_mix(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.mha"), save(tmp_path / "b.mha")
    with pytest.raises(DateError, match="Some scans have dates and others plain times"):
        read_series([Source(first, "2024-03-01"), Source(second, "3")], unit=TimeUnit.DAY)


def test_no_scan_and_two_scans_at_one_time_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="no scan to forecast from"):
        read_series([])
    first, second = save(tmp_path / "a.mha"), save(tmp_path / "b.mha")
    with pytest.raises(SeriesError, match="have the same time"):
        read_series([Source(first, "2024-03-01"), Source(second, "2024-03-01")])


def test_a_file_is_dated_by_its_name_or_by_its_own_folder(tmp_path: Path) -> None:
    by_name = save(tmp_path / "exported 2030-01-01" / "2024-03-01_T1.nii.gz")
    by_folder = save(tmp_path / "2024-05-01" / "scan.nii.gz")
    series = read_series([Source(by_folder), Source(by_name)])
    assert dates(series) == ["2024-03-01", "2024-05-01"]
    assert series.scans[0].modality == "T1"


@pytest.mark.parametrize("name", ["week-012.nii.gz", "GA25.nii.gz", "visit3.nrrd"])
def test_a_file_without_a_date_asks_for_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(DateError, match=r"has no date\. Give it one, for example 2024-03-01"):
        read_series([Source(save(tmp_path / "scans" / name))])


def test_scans_of_the_same_file_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    sources = [Source(save(tmp_path / f"GA{week}" / "srr.nii.gz"), str(week)) for week in (25, 26)]
    assert [scan.name for scan in read_series(sources, unit=TimeUnit.WEEK)] == ["GA25/srr", "GA26/srr"]


def test_a_folder_of_dated_files_is_a_series_without_its_masks(tmp_path: Path) -> None:
    folder = tmp_path / "Patient é 03"
    for number, day in enumerate(("2024-03-01", "2024-06-01")):
        save(folder / f"{day}_T1post.nii.gz", number)
        save_mask(folder / f"{day}_brain_mask.nii.gz")
        save_mask(folder / f"{day}_tumor.nii.gz")  # its values say that it is a mask
    series = read_series([Source(folder)])
    assert [scan.name for scan in series] == ["2024-03-01_T1post", "2024-06-01_T1post"]
    assert any("masks left out" in warning and "tumor" in warning for warning in series.warnings)


def test_a_folder_of_dated_folders_is_a_series(tmp_path: Path) -> None:
    for day in ("2024-03-01", "20240601"):
        save(tmp_path / "patient03" / day / "scan.nii.gz")
    series = read_series([Source(tmp_path / "patient03")])
    assert dates(series) == ["2024-03-01", "2024-06-01"]
    assert {scan.patient for scan in series} == {"patient03"}


def test_the_true_scan_in_a_folder_called_truth_is_never_a_context(tmp_path: Path) -> None:
    save(tmp_path / "2024-03-01_T1Gd.nrrd")
    save(tmp_path / "truth" / "2024-06-01_T1Gd.nrrd")
    assert dates(read_series([Source(tmp_path)])) == ["2024-03-01"]


def test_a_forecast_kept_beside_the_scans_is_no_scan(tmp_path: Path) -> None:
    save(tmp_path / "2024-03-01_T1Gd.nrrd")
    save(tmp_path / "forecasts" / "2024-06-01" / "forecast.nrrd")
    (tmp_path / "forecasts" / "2024-06-01" / "report.json").write_text("{}")
    assert dates(read_series([Source(tmp_path)])) == ["2024-03-01"]


def test_names_in_a_folder_that_contradict_each_other_are_a_question(tmp_path: Path) -> None:
    save(tmp_path / "p" / "2024-03-01" / "2024-03-02.nii.gz")
    with pytest.raises(DateError, match="hold different dates"):
        read_series([Source(tmp_path / "p")])


def test_two_kinds_of_scan_on_one_day_are_a_question_that_a_kind_answers(tmp_path: Path) -> None:
    for number, kind in enumerate(("T1", "FLAIR")):
        save(tmp_path / f"2024-03-01_{kind}.nii.gz", number)
    with pytest.raises(SeriesError, match="2 scans of 2024-03-01"):
        read_series([Source(tmp_path)])
    assert read_series([Source(tmp_path)], modality="flair").last.name == "2024-03-01_FLAIR"
    with pytest.raises(SeriesError, match="no scan of that patient and kind"):
        read_series([Source(tmp_path)], modality="CT")


def test_a_folder_of_several_patients_is_a_question_that_a_patient_answers(tmp_path: Path) -> None:
    for patient in ("patient01", "patient02"):
        save(tmp_path / patient / "2024-03-01.nii.gz")
    with pytest.raises(SeriesError, match="several patients"):
        read_series([Source(tmp_path)])
    assert read_series([Source(tmp_path)], patient="patient02").last.patient == "patient02"


def test_an_undated_folder_asks_for_each_date(tmp_path: Path) -> None:
    for week in (25, 26):
        save(tmp_path / f"GA{week}" / "srr.nii.gz")
    with pytest.raises(DateError, match=r"2 of 2 scans .* have no date .*table with the columns path and date"):
        read_series([Source(tmp_path)])


def test_a_folder_with_one_scan_can_be_given_its_time(tmp_path: Path) -> None:
    save(tmp_path / "GA25" / "srr.nii.gz")
    save_mask(tmp_path / "GA25" / "mask.nii.gz")
    series = read_series([Source(tmp_path / "GA25", "25")], unit=TimeUnit.WEEK)
    assert series.times == (25.0,)


def test_an_empty_folder_and_one_without_scans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is empty"):
        read_series([Source(tmp_path)])
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ImageError, match="holds no scan"):
        read_series([Source(tmp_path)])
    with pytest.raises(ImageError, match="does not exist"):
        read_series([Source(tmp_path / "missing.nii")])


def test_a_folder_of_dicom_beside_files_is_a_question(tmp_path: Path) -> None:
    save_series(tmp_path, np.random.default_rng(0).integers(0, 500, (3, 4, 5)))
    save(tmp_path / "2024-03-01.nii.gz")
    with pytest.raises(SeriesError, match="holds DICOM beside"):
        read_series([Source(tmp_path)])


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """One BIDS patient with two visits whose labels are no dates, and no table yet."""
    for session in ("base", "late"):
        for suffix in ("T1w", "FLAIR"):
            save(tmp_path / "sub-01" / f"ses-{session}" / "anat" / f"sub-01_ses-{session}_{suffix}.nii.gz")
    save(tmp_path / "derivatives" / "sub-01" / "sub-01_ses-base_T1w.nii.gz")
    return tmp_path


def test_bids_sessions_table_dates_the_scans(bids: Path) -> None:
    table = "session_id\tacq_time\nses-base\t1877-06-17T08:00:00\nlate\t1877-07-17T08:00:00\n"
    (bids / "sub-01" / "sub-01_sessions.tsv").write_text(table)
    series = read_series([Source(bids)], modality="T1w")
    assert series.times == (0.0, 30.0)
    assert {(scan.patient, scan.modality, scan.source) for scan in series} == {("01", "T1w", TimeSource.BIDS)}


def test_bids_scans_table_is_asked_first(bids: Path) -> None:
    (bids / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tacq_time\nses-base\t2020-01-01\n")
    table = "filename\tacq_time\nanat/sub-01_ses-base_T1w.nii.gz\t2021-02-03T04:05:06\n"
    (bids / "sub-01" / "ses-base" / "sub-01_ses-base_scans.tsv").write_text(table)
    folder = bids / "sub-01" / "ses-base" / "anat"
    by_scan, by_session = (
        read_series([Source(folder / f"sub-01_ses-base_{kind}.nii.gz")]).last for kind in ("T1w", "FLAIR")
    )
    assert by_scan.date == datetime(2021, 2, 3, 4, 5, 6)
    assert by_session.date == datetime(2020, 1, 1)


def test_a_bids_session_label_may_be_the_date_but_a_patient_label_is_not(tmp_path: Path) -> None:
    dated = save(tmp_path / "sub-20010101_ses-20240301_T1w.nii.gz")
    assert read_series([Source(dated)]).last.date == datetime(2024, 3, 1)
    with pytest.raises(DateError, match="has no date"):
        read_series([Source(save(tmp_path / "x" / "sub-20010101_T1w.nii.gz"))])


def test_an_unreadable_acq_time_is_named(bids: Path) -> None:
    (bids / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tacq_time\nses-base\t01/02/2020\nses-late\tn/a\n")
    with pytest.raises(DateError, match=r"sub-01_sessions.tsv, acq_time: '01/02/2020' can be read as two dates"):
        read_series([Source(bids)], modality="T1w")


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_a_manifest_of_dates_makes_a_series(ending: str, separator: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "scans" / f"{name}.nii.gz")
    rows = [("Path", "date", "subject", "name"), ("scans/b.nii.gz", "2024-06-01", "P1", "second"), ("",) * 4]
    rows += [("scans/a.nii.gz", "2024-03-01", "P1", "first")]
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / f"list.{ending}").write_text(text, encoding="utf-8")
    series = read_series([Source(tmp_path / f"list.{ending}")])
    assert [(scan.name, scan.patient, scan.source) for scan in series] == [
        ("first", "P1", TimeSource.MANIFEST),
        ("second", "P1", TimeSource.MANIFEST),
    ]
    assert dates(series) == ["2024-03-01", "2024-06-01"]


def test_a_manifest_of_times_brings_its_units(tmp_path: Path) -> None:
    save(tmp_path / "a.mha"), save(tmp_path / "b.mha")
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("path\ttime\tunit\na.mha\t14\tday\nb.mha\t3\tweek\n")
    series = read_series([Source(manifest)])
    assert (series.times, series.unit) == ((14.0, 21.0), TimeUnit.DAY)
    manifest.write_text("path\ttime\na.mha\t25\nb.mha\t26\n")
    assert read_series([Source(manifest)], unit=TimeUnit.WEEK).unit is TimeUnit.WEEK
    with pytest.raises(DateError, match="number without a unit"):
        read_series([Source(manifest)])


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("file,date\na.mha,2024-03-01\n", SeriesError, "no column 'path'"),
        ("path,date\n", SeriesError, "lists no scan"),
        ("", SeriesError, "no column 'path'"),
        ("path,date\n,2024-03-01\n", SeriesError, "line 2: The path is empty"),
        ("path,date\nmissing.mha,2024-03-01\n", ImageError, "does not exist"),
        ("path,date\na.mha,01/02/2024\n", DateError, "can be read as two dates"),
        ("path,time,unit\na.mha,3,moons\n", DateError, "line 2: 'moons' is not a unit of time"),
        ("path,date,time\na.mha,2024-03-01,3\n", DateError, "a date and a time"),
        ("path,time,unit,frame\na.mha,3,ms,first\n", SeriesError, "line 2: The frame 'first' is not a number"),
        ("path,time,unit,frame\na.mha,3,ms,1\n", SeriesError, "has 1 frames, but number 1 is listed"),
        ("path,frame\na.mha,0\n", SeriesError, "lacks its frame or its time"),
        ("path,date,subject\na.mha,2024-03-01,A\na.mha,2024-03-02,B\n", SeriesError, "lists 2 patients"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(text: str, error: type[Exception], says: str, tmp_path: Path) -> None:
    save(tmp_path / "a.mha")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(error, match=says):
        read_series([Source(tmp_path / "list.csv")])


def test_one_patient_of_a_cohort_manifest_can_be_chosen(tmp_path: Path) -> None:
    save(tmp_path / "a.mha")
    (tmp_path / "manifest.tsv").write_text(
        "subject\ttime\tunit\tpath\tsplit\nA\t0\tday\ta.mha\ttest\nB\t1\tday\ta.mha\t\n"
    )
    assert read_series([Source(tmp_path / "manifest.tsv")], patient="B").times == (1.0,)


def test_the_frames_of_a_4d_file_take_the_times_given(tmp_path: Path) -> None:
    path = save(tmp_path / "four.nii.gz", frames=3)
    series = read_series([Source(path)], unit=TimeUnit.SECOND, frame_times=[0, 2, 5])
    assert (series.times, series.unit) == ((0.0, 2.0, 5.0), TimeUnit.SECOND)
    with pytest.raises(DateError, match="3 frames, but there are 2 times"):
        read_series([Source(path)], unit=TimeUnit.SECOND, frame_times=[0, 2])
    with pytest.raises(DateError, match="have no unit"):
        read_series([Source(path)], frame_times=[0, 2, 5])


def test_the_frames_of_a_4d_file_take_the_times_of_the_header(tmp_path: Path) -> None:
    series = read_series([Source(save(tmp_path / "four.nii.gz", frames=3, step=2.5))])
    assert (series.times, series.unit, series.last.source) == ((0.0, 2.5, 5.0), TimeUnit.SECOND, TimeSource.SEQUENCE)


def test_a_row_of_a_manifest_is_one_frame_of_a_4d_file(tmp_path: Path) -> None:
    path = save(tmp_path / "four.nii.gz", frames=3)
    lines = ["path\ttime\tunit\tframe", *(f"{path.name}\t{time}\tms\t{frame}" for time, frame in ((40, 2), (80, 0)))]
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    series = read_series([Source(tmp_path / "manifest.tsv")])
    frames = read_series([Source(path)], unit=TimeUnit.SECOND, frame_times=[0, 1, 2])
    assert (series.times, series.unit) == ((40.0, 80.0), TimeUnit.MILLISECOND)
    assert [scan.name for scan in series] == ["four frame 03", "four frame 01"]
    for scan, frame in zip(series, (2, 0)):
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(scan.image), sitk.GetArrayViewFromImage(frames.scans[frame].image)
        )


def test_a_header_that_may_not_know_the_time_is_a_question(tmp_path: Path) -> None:
    path = save(tmp_path / "four.nii.gz", frames=3, step=1.0)
    with pytest.raises(DateError, match=r"\(0, 1, 2, …\) have no unit. Say the unit"):
        read_series([Source(path)])
    assert read_series([Source(path)], unit=TimeUnit.WEEK).times == (0.0, 1.0, 2.0)
    with pytest.raises(DateError, match="frames without times"):
        read_series([Source(save(tmp_path / "four.mha", frames=3))])


def test_a_scan_to_compare_with_needs_no_date(tmp_path: Path) -> None:
    path = save(tmp_path / "truth.nii.gz", seed=7)
    assert round(sitk.GetArrayFromImage(read_scan(path)).mean()) == 7
    with pytest.raises(DateError, match="frames without times"):
        read_scan(save(tmp_path / "four.mha", frames=3))


@needs("glioblastoma")
@pytest.mark.parametrize("number", range(1, 7))
def test_a_real_glioblastoma_patient_has_two_dated_scans(number: int) -> None:
    series = read_series([Source(REAL_PATIENTS / "glioblastoma" / f"patient0{number}")])
    assert len(series) == 2
    assert {(scan.patient, scan.modality) for scan in series} == {(f"patient0{number}", "T1post")}
    assert all("masks left out" in warning for warning in series.warnings)


@needs("cardiac-cine")
def test_the_real_cine_has_twenty_phases_of_eleven_slices() -> None:
    series = read_series([Source(REAL_PATIENTS / "cardiac-cine")])
    assert (len(series), series.unit) == (20, TimeUnit.MILLISECOND)
    assert series.last.image.GetSize() == (256, 256, 11)
    np.testing.assert_allclose(series.last.image.GetSpacing(), (1.367, 1.367, 10.0), atol=1e-3)
    np.testing.assert_allclose(series.times[0], 25.5, atol=0.5)
    assert 950 < series.times[-1] < 1050
    assert any("copies of other DICOM images" in warning for warning in series.warnings)


@needs("cardiac-cine")
def test_one_slice_of_the_real_cine_is_refused(tmp_path: Path) -> None:
    shutil.copytree(REAL_PATIENTS / "cardiac-cine" / "SCD2001_000", tmp_path / "one")
    with pytest.raises(ImageError, match="one slice only"):
        read_series([Source(tmp_path / "one")])


@needs("fetal-growth")
def test_real_weeks_of_gestation_come_from_the_user() -> None:
    folder = REAL_PATIENTS / "fetal-growth"
    series = read_series([Source(folder / f"GA{week}", str(week)) for week in (29, 25)], unit=TimeUnit.WEEK)
    assert series.times == (25.0, 29.0)
    with pytest.raises(DateError, match="7 of 7 scans in 'fetal-growth' have no date"):
        read_series([Source(folder)])
