"""DICOM series: space, values, dates and phases."""

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
from dicom_files import save, save_cine, save_enhanced, save_series, slice_header
from hypothesis import given, settings
from hypothesis import strategies as st


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-500, 500, shape).astype(np.int16)


def read(folder: Path, **choice: str) -> LongitudinalSeries:
    return read_series([Source(folder)], **choice)  # type: ignore[arg-type]


@pytest.mark.parametrize("names", ["IM{:04d}", "{:02d}.dcm", "1.2.840.{}.ima"])
def test_slices_of_any_file_name_stack_by_their_position(names: str, tmp_path: Path) -> None:
    voxels = noise(5, 6, 7)
    save_series(tmp_path / "Größe", voxels, names=names)
    scan = read(tmp_path / "Größe").last
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), voxels)
    np.testing.assert_allclose(scan.image.GetSpacing(), (0.7, 0.9, 4.0))  # positions, not the thickness of 5
    np.testing.assert_allclose(scan.image.GetOrigin(), (-10, -20, 30))
    assert (scan.patient, scan.modality, scan.source) == ("P7", "MR", TimeSource.DICOM)


def test_a_file_stands_for_its_series_among_those_beside_it(tmp_path: Path) -> None:
    voxels = {day: noise(5, 6, 7) + number for number, day in enumerate(("20200101", "20200401"))}
    for day, array in voxels.items():
        save_series(tmp_path, array, names=day + "-{:04d}", StudyDate=day, SeriesInstanceUID=f"1.2.{day}")
    series = read_series([Source(tmp_path / f"{day}-0002") for day in voxels])
    assert series.times[1] - series.times[0] == 91
    for scan, array in zip(series, voxels.values()):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), array)


@settings(deadline=None, max_examples=10)
@given(st.tuples(*[st.floats(-3, 3)] * 3), st.floats(0.5, 12), st.booleans())
def test_oblique_slices_keep_every_voxel_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, angles: tuple[float, float, float], gap: float, feet_first: bool
) -> None:
    folder = tmp_path_factory.mktemp("oblique")
    axes = np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    step = axes[:, 2] * (-gap if feet_first else gap)
    voxels = noise(4, 5, 6)
    for number, array in enumerate(voxels):
        header = slice_header(
            tuple(f"{value:.8f}" for value in np.array([5.0, -7.0, 11.0]) + number * step),
            ImageOrientationPatient=[f"{value:.8f}" for value in (*axes[:, 0], *axes[:, 1])],
        )
        save(header, array, folder / str(number))
    image = read(folder).last.image
    for z, y, x in ((0, 0, 0), (3, 4, 5), (2, 1, 4)):
        place = np.array([5.0, -7.0, 11.0]) + z * step + 0.9 * y * axes[:, 1] + 0.7 * x * axes[:, 0]
        index = image.TransformPhysicalPointToContinuousIndex(place.tolist())
        np.testing.assert_allclose(index, np.round(index), atol=1e-3)
        assert image[[round(value) for value in index]] == voxels[z, y, x]


def test_every_slice_keeps_its_own_rescale_slope(tmp_path: Path) -> None:
    voxels = noise(3, 6, 7)
    for number, slope in enumerate((1.0, 0.25, 3.5)):
        header = slice_header((0, 0, 2.0 * number), RescaleSlope=slope, RescaleIntercept=-1024)
        save(header, voxels[number], tmp_path / str(number))
    expected = voxels * np.array([1.0, 0.25, 3.5])[:, None, None] - 1024
    np.testing.assert_allclose(sitk.GetArrayFromImage(read(tmp_path).last.image), expected)


DATES = {
    "AcquisitionDateTime": "20240304123000.5",
    "AcquisitionDate": "20240303",
    "SeriesDate": "20240302",
    "StudyDate": "20240301",
}


@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning")  # pydicom's, while the test writes a wrong date
@pytest.mark.parametrize(("missing", "date"), [(0, 4), (1, 3), (2, 2), (3, 1)])
def test_the_most_exact_valid_date_wins(missing: int, date: int, tmp_path: Path) -> None:
    spoilt = dict.fromkeys(list(DATES)[:missing], "20120000")
    save_series(tmp_path, noise(3, 4, 5), **(DATES | spoilt))
    found = read(tmp_path).last.date
    assert found is not None
    assert (found.month, found.day) == (3, date)


def test_the_acquisition_time_belongs_to_the_date(tmp_path: Path) -> None:
    save_series(tmp_path, noise(3, 4, 5), AcquisitionDate="20240303", AcquisitionTime="131023.25")
    assert read(tmp_path).last.date == datetime(2024, 3, 3, 13, 10, 23, 250000)


def test_a_series_without_a_valid_date_asks_for_one(tmp_path: Path) -> None:
    save_series(tmp_path / "anonymous", noise(3, 4, 5), StudyDate="")
    with pytest.raises(DateError, match="has no date"):
        read(tmp_path / "anonymous")
    typed = read_series([Source(tmp_path / "anonymous", "2021-05-06")])
    assert typed.last.date == datetime(2021, 5, 6)


def test_a_deidentified_series_is_dated_by_its_folder(tmp_path: Path) -> None:
    save_series(tmp_path / "2019-07-08", noise(3, 4, 5), StudyDate=None)
    scan = read(tmp_path / "2019-07-08").last
    assert (scan.date, scan.source) == (datetime(2019, 7, 8), TimeSource.NAME)


def test_a_typed_date_that_contradicts_the_header_is_used_with_a_warning(tmp_path: Path) -> None:
    save_series(tmp_path, noise(3, 4, 5))
    series = read_series([Source(tmp_path, "2021-05-06")])
    assert series.last.date == datetime(2021, 5, 6)
    assert any("2024-03-01 itself; the given 2021-05-06 is used" in warning for warning in series.warnings)


def test_a_patient_folder_of_studies_is_a_series(tmp_path: Path) -> None:
    for day in ("20240301", "20230115", "20250630"):
        save_series(tmp_path / "P7" / day, noise(3, 4, 5), StudyDate=day, SeriesInstanceUID=f"1.2.{day}")
    series = read(tmp_path / "P7")
    assert [f"{scan.date:%Y%m%d}" for scan in series] == ["20230115", "20240301", "20250630"]
    assert [scan.name for scan in series] == ["20230115", "20240301", "20250630"]


def test_two_series_of_one_day_are_a_question_that_a_kind_answers(tmp_path: Path) -> None:
    for number, kind in enumerate(("T1", "FLAIR")):
        series = {"SeriesInstanceUID": f"1.2.{number}", "SeriesDescription": kind}
        save_series(tmp_path / kind, noise(3, 4, 5) + number, **series)
    with pytest.raises(SeriesError, match=r"2 series of 2024-03-01 \(FLAIR, T1\)"):
        read(tmp_path)
    assert read(tmp_path, modality="flair").last.name == "FLAIR"
    with pytest.raises(SeriesError, match="There are: FLAIR, T1"):
        read(tmp_path, modality="CT")


def test_a_folder_of_two_patients_is_a_question_that_a_patient_answers(tmp_path: Path) -> None:
    for patient in ("A", "B"):
        save_series(tmp_path / patient, noise(3, 4, 5), PatientID=patient, SeriesInstanceUID=f"1.2.{ord(patient)}")
    with pytest.raises(SeriesError, match=r"several patients \(A, B\)"):
        read(tmp_path)
    assert read(tmp_path, patient="B").last.patient == "B"


def test_scans_of_different_patients_given_one_by_one_are_warned_about(tmp_path: Path) -> None:
    for patient, day in (("A", "20240101"), ("B", "20240201")):
        save_series(tmp_path / patient, noise(3, 4, 5), PatientID=patient, StudyDate=day)
    series = read_series([Source(tmp_path / "A"), Source(tmp_path / "B")])
    assert any("different patients (A, B)" in warning for warning in series.warnings)


@pytest.mark.parametrize(
    ("last_position", "tags", "says"),
    [
        ((0, 0, 30.0), {}, "lacks a slice"),
        ((0, 0, 8.0), {"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "not parallel"),
        ((0, 0, 8.0), {"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ((0, 0, 8.0), {"SamplesPerPixel": 3}, "colour image"),
    ],
)
def test_slices_that_make_no_volume_are_refused(
    last_position: tuple[float, ...], tags: dict[str, object], says: str, tmp_path: Path
) -> None:
    for number in range(2):
        save(slice_header((0, 0, 4.0 * number)), noise(5, 6), tmp_path / str(number))
    save(slice_header(last_position, **tags), noise(5, 6), tmp_path / "last")
    with pytest.raises(ImageError, match=says):
        read(tmp_path)


def test_a_tilted_gantry_is_refused_with_a_way_out(tmp_path: Path) -> None:
    for number in range(3):
        save(slice_header((0, 1.0 * number, 4.0 * number)), noise(5, 6), tmp_path / str(number))
    with pytest.raises(ImageError, match="tilted gantry"):
        read(tmp_path)


def test_uneven_slices_are_warned_about(tmp_path: Path) -> None:
    for number, z in enumerate((0.0, 4.0, 8.5, 12.5)):
        save(slice_header((0, 0, z)), noise(5, 6) + number, tmp_path / str(number))
    assert any("4.00 to 4.50 mm apart" in warning for warning in read(tmp_path).warnings)


def test_one_slice_is_refused(tmp_path: Path) -> None:
    save_series(tmp_path, noise(1, 5, 6))
    with pytest.raises(ImageError, match="one slice only"):
        read(tmp_path)


def test_a_cut_off_slice_is_refused(tmp_path: Path) -> None:
    save_series(tmp_path, noise(3, 32, 32))
    cut = tmp_path / "IM0002"
    cut.write_bytes(cut.read_bytes()[:1200])
    with pytest.raises(ImageError, match="damaged or cut off"):
        read(tmp_path)


def test_reports_and_segmentations_beside_the_images_are_left_out(tmp_path: Path) -> None:
    voxels = noise(3, 4, 5)
    save_series(tmp_path, voxels)
    save(slice_header((0, 0, 0), Modality="SEG"), voxels[0], tmp_path / "seg.dcm")
    (tmp_path / "readme.txt").write_text("exported yesterday")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read(tmp_path).last.image), voxels)


def test_a_cine_becomes_one_scan_for_each_phase(tmp_path: Path) -> None:
    voxels = noise(4, 3, 5, 6)
    save_cine(tmp_path, voxels, beat_ms=(50.0, 51.0, 52.0))
    series = read(tmp_path)
    assert series.unit is TimeUnit.MILLISECOND
    assert series.epoch is None
    np.testing.assert_allclose(series.times, [0, 51, 102, 153])
    for scan, phase in zip(series, voxels, strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), phase)
        assert (scan.source, scan.image.GetSpacing()[2]) == (TimeSource.TRIGGER, 10.0)


def test_a_cine_written_as_one_series_for_each_slice_is_the_same(tmp_path: Path) -> None:
    voxels = noise(4, 3, 5, 6)
    save_cine(tmp_path, voxels, beat_ms=(50.0, 50.0, 50.0))
    for place in range(3):
        for path in sorted((tmp_path / f"slice{place}").iterdir()):
            header = slice_header(
                (0.0, 0.0, 10.0 * place), TriggerTime=50.0 * int(path.stem), SeriesInstanceUID=f"1.2.{place}"
            )
            save(header, voxels[int(path.stem), place], path)
    series = read(tmp_path)
    assert len(series) == 4
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series.scans[2].image), voxels[2])


def test_a_stray_copy_in_a_cine_is_left_out_with_a_warning(tmp_path: Path) -> None:
    save_cine(tmp_path, noise(4, 3, 5, 6), beat_ms=(50.0, 50.0, 50.0))
    shutil.copy(tmp_path / "slice1" / "002.dcm", tmp_path / "slice2" / "stray.dcm")
    series = read(tmp_path)
    assert len(series) == 4
    assert any("1 copy of other DICOM images, left out" in warning for warning in series.warnings)


def test_slow_and_fast_slices_of_a_phase_are_warned_about(tmp_path: Path) -> None:
    save_cine(tmp_path, noise(4, 3, 5, 6), beat_ms=(40.0, 50.0, 60.0))
    assert any("differ by up to 60 ms" in warning for warning in read(tmp_path).warnings)


def test_a_cine_that_lacks_an_image_is_refused(tmp_path: Path) -> None:
    save_cine(tmp_path, noise(4, 3, 5, 6), beat_ms=(50.0, 50.0, 50.0))
    (tmp_path / "slice1" / "002.dcm").unlink()
    with pytest.raises(SeriesError, match="3 to 4 phases"):
        read(tmp_path)


def test_repeated_images_without_a_trigger_time_are_refused(tmp_path: Path) -> None:
    save_cine(tmp_path, noise(2, 3, 5, 6), beat_ms=(50.0, 50.0, 50.0), TriggerTime=None)
    with pytest.raises(SeriesError, match="without a TriggerTime"):
        read(tmp_path)


def test_one_time_cannot_be_that_of_a_whole_cine(tmp_path: Path) -> None:
    save_cine(tmp_path, noise(3, 3, 5, 6), beat_ms=(50.0, 50.0, 50.0))
    with pytest.raises(DateError, match="cannot share one time"):
        read_series([Source(tmp_path, "2020-01-01")])


def test_the_frames_of_an_enhanced_file_stack_by_their_position(tmp_path: Path) -> None:
    voxels = noise(4, 5, 6)
    save_enhanced(tmp_path / "enhanced.dcm", voxels, order=[2, 0, 3, 1])
    image = read_scan(tmp_path / "enhanced.dcm")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels)
    np.testing.assert_allclose(image.GetSpacing(), (0.7, 0.9, 3.0))
