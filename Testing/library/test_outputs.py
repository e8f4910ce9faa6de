"""What a forecast leaves on disk, and how it compares with the truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRONOSLib.errors import AlignmentError, OutputError
from CRONOSLib.evaluation.comparison import compare
from CRONOSLib.forecast import Forecast, ForecastOptions, forecast
from CRONOSLib.imaging.grid import Grid
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.outputs.folder import check_folder, write_results
from CRONOSLib.outputs.slices import View, most_interesting
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource
from CRONOSLib.whole_folder import whole_folder

MakeSeries = Callable[..., LongitudinalSeries]


@pytest.fixture
def line(growing_series: MakeSeries) -> Forecast:
    """A linear forecast of the growing lesion."""
    return forecast(growing_series(), 180.0, method="linear", options=ForecastOptions(alignment=Alignment.OFF))


def truth_of(image: sitk.Image) -> Scan:
    return Scan(image, 180.0, "truth", TimeSource.TYPED)


# --- comparison ---------------------------------------------------------------------------------------------------


def test_a_forecast_that_is_the_truth_has_skill_one(line: Forecast) -> None:
    comparison = compare(line, truth_of(line.image))
    assert comparison.skill == pytest.approx(1.0, abs=1e-6)
    assert comparison.forecast.ssim.value == pytest.approx(1.0, abs=1e-4)
    assert comparison.lci.nrmse > comparison.forecast.nrmse


def test_copying_has_skill_zero_and_no_change_has_none(growing_series: MakeSeries, head: Callable) -> None:
    series = growing_series()
    copy = forecast(series, 180.0, method="lci", options=ForecastOptions(alignment=Alignment.OFF))
    assert compare(copy, truth_of(head(11))).skill == 0
    assert compare(copy, truth_of(series.last.image)).skill is None


def test_the_scanners_gain_is_not_counted_as_change(line: Forecast, head: Callable[[float], sitk.Image]) -> None:
    truth = sitk.Cast(head(11), sitk.sitkFloat32)
    plain, louder = compare(line, truth_of(truth)), compare(line, truth_of(truth * 3.0 + 50.0))
    assert louder.forecast.nrmse == pytest.approx(plain.forecast.nrmse, rel=1e-3)
    assert np.allclose(sitk.GetArrayFromImage(louder.truth), sitk.GetArrayFromImage(plain.truth), atol=0.1)


def test_intensities_with_a_unit_are_compared_as_they_are(beating_series: LongitudinalSeries) -> None:
    copy = forecast(beating_series, 150.0, method="lci")
    louder = beating_series.last.image * 2
    assert compare(copy, truth_of(louder)).lci.nrmse > 0.1


def test_empty_background_does_not_flatter_the_foreground(line: Forecast, head: Callable) -> None:
    comparison = compare(line, truth_of(head(11)))
    assert comparison.foreground["lci"]["nrmse"] > comparison.lci.nrmse


def test_a_truth_elsewhere_is_refused(line: Forecast, head: Callable[[float], sitk.Image]) -> None:
    away = head(11)
    away.SetOrigin((5000.0, 0.0, 0.0))
    with pytest.raises(AlignmentError, match="overlap"):
        compare(line, truth_of(away))


# --- folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_was_forecast(line: Forecast, head: Callable, tmp_path: Path) -> None:
    folder = write_results(line, tmp_path / "deep" / "out", comparison=compare(line, truth_of(head(11))))
    assert {path.name for path in folder.iterdir()} == {
        *("forecast.nrrd", "change.nrrd", "truth.nrrd", "panel.png", "report.json")
    }
    for name, image in {"forecast": line.image, "change": line.change}.items():
        read = sitk.ReadImage(str(folder / f"{name}.nrrd"))
        assert np.array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
        assert Grid.of(read) == Grid.of(line.series.last.image)


def test_the_scene_writer_gets_the_forecast(line: Forecast, tmp_path: Path) -> None:
    def writer(given: Forecast, path: Path) -> None:
        assert given is line
        path.write_text("scene")

    folder = write_results(line, tmp_path / "out", scene_writer=writer)
    assert (folder / "scene.mrb").read_text() == "scene"


def test_the_report_says_what_was_done(
    growing_series: MakeSeries, tmp_path: Path, head: Callable[[float], sitk.Image]
) -> None:
    file = tmp_path / "last.nrrd"
    sitk.WriteImage(head(9), str(file))
    series = growing_series()
    series = replace(series, scans=(*series.scans[:-1], replace(series.last, path=file)))
    result = forecast(series, 180.0, method="ridge", options=ForecastOptions(alignment=Alignment.RIGID, seed=5))
    folder = write_results(result, tmp_path / "out", comparison=compare(result, truth_of(head(11))))
    report = json.loads((folder / "report.json").read_text())
    assert [scan["date"] for scan in report["scans"]] == ["2020-01-01", "2020-03-01", "2020-04-30"]
    assert report["scans"][2]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [scan["sha256_of"] for scan in report["scans"]] == ["voxels", "voxels", "file"]
    assert report["scans"][0]["alignment"]["kind"] == "rigid"
    assert report["scans"][2]["alignment"] is None
    assert report["target"] == {"date": "2020-06-29", "time": 180.0, "horizon": 60.0, "unit": "day"}
    assert (report["method"], report["bundle"], report["nfe"], report["seed"]) == ("ridge", None, 0, 5)
    assert report["seconds"] > 0
    assert set(report["metrics"]) >= {"forecast", "lci", "skill"}
    assert "research use only" in report["use"]
    assert any("scene.mrb was left out" in warning for warning in report["warnings"])
    assert any("spread.nrrd was left out" in warning for warning in report["warnings"])


def test_an_earlier_result_is_replaced_only_when_asked(line: Forecast, tmp_path: Path) -> None:
    folder = write_results(line, tmp_path / "out")
    (folder / "old").write_text("")
    with pytest.raises(OutputError, match="--force"):
        write_results(line, folder)
    with pytest.raises(OutputError, match="--force"):
        check_folder(folder)
    write_results(line, folder, force=True)
    assert not (folder / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_other_files_is_never_replaced(line: Forecast, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    for force in (False, True):
        with pytest.raises(OutputError, match="holds other files"):
            write_results(line, tmp_path, force=force)
    assert (tmp_path / "thesis.docx").read_text() == "years of work"


def test_an_empty_folder_may_be_used(line: Forecast, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert (write_results(line, tmp_path / "out") / "report.json").is_file()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device"), ValueError])
def test_a_failure_leaves_nothing_or_what_was_there(line: Forecast, tmp_path: Path, stop: BaseException) -> None:
    def failing(_: Forecast, path: Path) -> None:
        path.write_text("half")
        raise stop

    write_results(line, tmp_path / "older")
    before = (tmp_path / "older" / "report.json").read_text()
    expected = OutputError if isinstance(stop, OSError) else stop
    for name in ("fresh", "older"):
        with pytest.raises(expected):  # type: ignore[arg-type]
            write_results(line, tmp_path / name, scene_writer=failing, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["older"]
    assert (tmp_path / "older" / "report.json").read_text() == before


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        check_folder(tmp_path / "file" / "out")
    with pytest.raises(OutputError, match="is a file"):
        check_folder(tmp_path / "file")
    check_folder(tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()


def test_a_whole_folder_takes_its_name_at_the_end(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out", "marker") as fresh:
        (fresh / "marker").write_text("")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "marker").exists()


# --- panel --------------------------------------------------------------------------------------------------------


def test_the_panel_gains_a_row_with_the_truth(line: Forecast, head: Callable, tmp_path: Path) -> None:
    from matplotlib.image import imread

    plain = imread(write_results(line, tmp_path / "plain") / "panel.png")
    compared = imread(
        write_results(line, tmp_path / "both", comparison=compare(line, truth_of(head(11)))) / "panel.png"
    )
    assert plain.shape[1] == compared.shape[1] > 1000
    assert compared.shape[0] > 1.6 * plain.shape[0]
    assert plain.std() > 0.05


def marked(size: tuple[int, int, int], spacing: tuple[float, float, float], voxel: tuple[int, int, int]) -> sitk.Image:
    image = sitk.Image(*size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image[voxel] = 1.0
    return image


def test_the_slice_with_most_change_is_shown_along_the_thick_axis() -> None:
    assert View.where_most(marked((9, 10, 11), (1, 1, 1), (2, 3, 4))) == View(axis=2, index=4, count=11)
    assert View.where_most(marked((9, 10, 11), (1, 5, 1), (2, 3, 4))) == View(axis=1, index=3, count=10)


def test_without_change_the_next_image_decides() -> None:
    nothing = sitk.Image(9, 10, 11, sitk.sitkFloat32)
    assert most_interesting([nothing, marked((9, 10, 11), (1, 1, 1), (2, 3, 4))]).index == 4


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "SAL"])
def test_the_patients_right_is_on_the_viewers_left(orientation: str) -> None:
    image = sitk.DICOMOrient(marked((21, 20, 5), (1, 1, 4), (2, 3, 2)), orientation)
    view = View.where_most(image)
    pixels = view.pixels(image)
    assert view.plane == "axial"
    assert view.edges == ("R", "L", "A", "P")
    row, column = np.argwhere(pixels)[0]
    assert column < pixels.shape[1] / 2  # x grows towards the patient's left
    assert row < pixels.shape[0] / 2  # y grows towards posterior
    assert view.extent_mm(image) == (21, 20)


def test_superior_is_on_top() -> None:
    image = marked((5, 20, 21), (4, 1, 1), (2, 3, 18))
    row, column = np.argwhere(View.where_most(image).pixels(image))[0]
    assert (row, column) == (2, 3)
