"""The module files, opened without the application: what the Python console gets."""

from __future__ import annotations

import csv
import importlib.util
import runpy
import sys
import unittest
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from CRONOSLib.errors import CronosError, DateError, SeriesError  # noqa: E402
from CRONOSLib.forecast import ForecastOptions, forecast  # noqa: E402
from CRONOSLib.imaging.registration import Alignment  # noqa: E402
from CRONOSLib.scene.dates import date_of, keep_date  # noqa: E402
from CRONOSLib.scene.hierarchy import SubjectHierarchy  # noqa: E402
from CRONOSLib.scene.listing import bundle_table  # noqa: E402
from CRONOSLib.scene.nodes import add_volume, image_of  # noqa: E402
from CRONOSLib.scene.series import series_of_dates, series_of_times  # noqa: E402
from CRONOSLib.series import TimeSource, TimeUnit  # noqa: E402
from slicerhost import load_module, open_host  # noqa: E402

DATES = ["2020-01-01", "2020-03-01", "2020-04-30"]
TARGET = "2020-06-29"


@pytest.fixture
def scene():
    open_host()
    return slicer.mrmlScene


@pytest.fixture
def scans(scene, head) -> list:
    """Three visits of a growing lesion, the latest first."""
    return [add_volume(scene, head(5 + 2 * visit), f"visit {visit}") for visit in (2, 1, 0)]


@pytest.fixture
def logic(scene):
    return load_module("CRONOSPredict").CRONOSPredictLogic()


@pytest.mark.parametrize("name", ["CRONOSPredict", "CRONOSTrain"])
def test_a_module_describes_itself(scene, name: str) -> None:
    module = load_module(name)
    described = getattr(module, name)(type("Parent", (), {})()).parent
    assert described.title.startswith("CRONOS ")
    assert described.categories == ["Image Synthesis"]
    assert "research use only" in described.helpText
    assert described.acknowledgementText


@pytest.mark.parametrize("name", ["CRONOSPredict", "CRONOSTrain"])
def test_the_choices_are_kept_in_the_scene(scene, name: str) -> None:
    logic_class = getattr(load_module(name), f"{name}Logic")
    assert logic_class().getParameterNode().bundlesFolder == Path()
    logic_class().getParameterNode().bundlesFolder = Path("models")
    assert logic_class().getParameterNode().bundlesFolder == Path("models")
    slicer.mrmlScene.Clear()


def test_nodes_with_dates_go_in_and_result_nodes_come_out(logic, scans) -> None:
    results = logic.forecast(scans, DATES[::-1], targetDate=TARGET, method="linear")
    last = scans[0]
    assert results.forecast.GetName() == f"visit 2 forecast {TARGET}"
    assert results.change.GetName() == f"visit 2 change {TARGET}"
    expected = slicer.util.arrayFromVolume(last) + slicer.util.arrayFromVolume(results.change)
    assert np.allclose(slicer.util.arrayFromVolume(results.forecast), expected, atol=1e-3)
    assert np.abs(slicer.util.arrayFromVolume(results.change)).max() > 10


def test_the_console_gets_what_the_library_gives(logic, scans) -> None:
    results = logic.forecast(scans, DATES[::-1], targetDate=TARGET, method="linear")
    series = series_of_dates(scans, DATES[::-1]).series
    direct = forecast(series, series.time_at(datetime(2020, 6, 29)), method="linear", options=ForecastOptions())
    assert np.array_equal(sitk.GetArrayFromImage(image_of(results.forecast)), sitk.GetArrayFromImage(direct.image))


def test_the_users_nodes_are_left_as_they_are(logic, scans) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1.0, 1.0, 1.0])))
    for scan in scans:
        scan.SetAndObserveTransformNodeID(transform.GetID())
    parts = [part for scan in scans for part in (scan, scan.GetImageData(), scan.GetDisplayNode())]
    voxels = [slicer.util.arrayFromVolume(scan).copy() for scan in scans]
    before = [part.GetMTime() for part in parts]
    logic.forecast(scans, DATES[::-1], targetDate=TARGET, method="linear")
    assert [part.GetMTime() for part in parts] == before
    assert all(np.array_equal(slicer.util.arrayFromVolume(scan), old) for scan, old in zip(scans, voxels))


def test_a_result_lies_where_the_parent_transform_puts_the_last_scan(logic, scans) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.5, 1.1).GetMatrix(), (3, 3))
    matrix[:3, 3] = (40, -25, 60)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for scan in scans:
        scan.SetAndObserveTransformNodeID(transform.GetID())
    results = logic.forecast(scans, DATES[::-1], targetDate=TARGET, method="linear")
    for index in [(0, 0, 0, 1), (27, 3, 15, 1), (14, 31, 2, 1)]:
        last_in_world = matrix @ np.reshape(_ijk_to_ras(scans[0]), (4, 4)) @ index
        forecast_in_world = _ijk_to_ras(results.forecast) @ index
        assert np.linalg.norm(last_in_world - forecast_in_world) < 1e-3


def test_times_that_are_no_dates_are_forecast_too(logic, scans) -> None:
    results = logic.forecast(scans, times=[100, 50, 0], unit="ms", targetDate=150, method="linear")
    assert results.forecast.GetName() == "visit 2 forecast 150 ms"


def test_a_bundle_is_given_by_its_folder_and_named_on_the_result(logic, scans, tiny_bundle) -> None:
    steps: list[float] = []
    results = logic.forecast(
        scans,
        DATES[::-1],
        targetDate=TARGET,
        bundle=tiny_bundle.path,
        device="cpu",
        steps=2,
        onProgress=lambda what, fraction: steps.append(fraction),
    )
    assert results.forecast.GetAttribute("CRONOS.Bundle") == "tiny"
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_volumes_of_the_same_name_are_told_apart(scene, head, logic) -> None:
    first, last = (add_volume(scene, head(radius), "T1") for radius in (5, 9))
    last.SetName("T1")
    results = logic.forecast([last, first], [DATES[1], DATES[0]], targetDate=TARGET, method="lci")
    assert np.allclose(slicer.util.arrayFromVolume(results.forecast), slicer.util.arrayFromVolume(last))


@pytest.mark.parametrize(
    ("dates", "target", "message"),
    [
        (DATES[:2], TARGET, "3 volumes but 2 dates"),
        (None, TARGET, "not known"),
        (["03/04/2020", *DATES[:2]], TARGET, "two dates"),
        (DATES, "2019-01-01", "before the first scan"),
        ([DATES[0]] * 3, TARGET, "same time"),
    ],
)
def test_a_mistake_is_answered_by_one_sentence(logic, scans, dates, target: str, message: str) -> None:
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(CronosError, match=message):
        logic.forecast(scans, dates, targetDate=target, method="lci")
    assert slicer.mrmlScene.GetNumberOfNodes() <= nodes + 1, "something besides the subject hierarchy was left behind"


def test_no_volume_is_a_mistake(scene) -> None:
    with pytest.raises(SeriesError, match="no scan"):
        series_of_dates([])
    with pytest.raises(SeriesError, match="no scan"):
        series_of_times([], [], TimeUnit.SECOND)


def test_a_date_kept_with_the_node_wins_over_its_name(scans) -> None:
    node = scans[0]
    node.SetName("T1 2019-05-06")
    assert date_of(node).source is TimeSource.NAME
    keep_date(node, datetime(2020, 1, 2, 3, 4), TimeSource.DICOM)
    assert date_of(node).date == datetime(2020, 1, 2, 3, 4)
    assert date_of(node).source is TimeSource.DICOM


def test_the_study_in_the_subject_hierarchy_gives_the_date(scans) -> None:
    hierarchy = SubjectHierarchy(scans[0].GetScene())
    study = hierarchy.study(hierarchy.add_patient("A"), "baseline", datetime(2018, 7, 9))
    hierarchy.place(scans[0], study)
    found = date_of(scans[0])
    assert (found.date, found.source) == (datetime(2018, 7, 9), TimeSource.DICOM)
    scan = series_of_dates(scans[:1]).series.last
    assert scan.patient == "A"


def test_a_bids_file_gives_the_date(scans, tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "ses-2" / "anat"
    folder.mkdir(parents=True)
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tacq_time\nses-2\t2017-02-03\n")
    node = scans[0]
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(folder / "sub-01_ses-2_T1w.nii.gz"))
    found = date_of(node)
    assert (found.date, found.source) == (datetime(2017, 2, 3), TimeSource.BIDS)


class Database:
    """A DICOM database with the values of one file."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def fileForInstance(self, uid: str) -> str:
        return "1.dcm" if uid == "1.2.3" else ""

    def fileValue(self, file: str, tag: str) -> str:
        return self._values.get(tag, "")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"0008,0022": "20160102", "0008,0032": "101112.5", "0008,0020": "20100101"},
            datetime(2016, 1, 2, 10, 11, 12, 500000),
        ),
        ({"0008,0022": "20160000", "0008,0020": "20100101"}, datetime(2010, 1, 1)),
        ({"0008,0022": "20160102", "0008,0032": "noon"}, datetime(2016, 1, 2)),
    ],
)
def test_the_dicom_database_gives_the_first_date_that_can_be_read(scans, monkeypatch, values, expected) -> None:
    scans[0].SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    monkeypatch.setattr(slicer, "dicomDatabase", Database(values), raising=False)
    assert date_of(scans[0]).date == expected


def test_an_ambiguous_name_is_asked_about_and_a_plain_one_is_not(scans) -> None:
    assert date_of(scans[0]) is None
    scans[0].SetName("from 2019-01-01 to 2019-02-02")
    with pytest.raises(DateError):
        date_of(scans[0])


def test_results_and_their_dates_survive_a_second_forecast_from_them(logic, scans) -> None:
    results = logic.forecast(scans, DATES[::-1], targetDate=TARGET, method="linear")
    assert date_of(results.forecast).date == datetime(2020, 6, 29)


def test_the_table_of_bundles_says_what_is_there_and_what_is_wrong(tiny_bundle, tmp_path: Path) -> None:
    table = bundle_table(tiny_bundle.path.parent, ("Bundle", "Trained on", "Skill"))
    assert "tiny" in table
    assert "0.200 (95 % CI" in table
    assert "red" not in table
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bundle.json").write_text("{}")
    assert "<p>" in bundle_table(tmp_path, ("", "", ""))
    assert "no folder" in bundle_table(tmp_path / "absent", ("", "", ""))


def _ijk_to_ras(node) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize("name", ["CRONOSPredict", "CRONOSTrain"])
def test_a_module_passes_its_own_self_test(scene, name: str) -> None:
    getattr(load_module(name), f"{name}Test")().runTest()


@pytest.mark.parametrize("name", ["CRONOSPredict", "CRONOSTrain"])
def test_where_packages_are_missing_a_self_test_is_skipped(scene, name: str, monkeypatch) -> None:
    """Slicer's build machines have no torch; they run each test of a module by itself."""
    self_test = getattr(load_module(name), f"{name}Test")
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    outcome = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(self_test).run(outcome)
    assert outcome.wasSuccessful()
    assert "missing" in " ".join(reason for _test, reason in outcome.skipped)
    self_test().runTest()


def test_a_script_without_window_forecasts_a_cohort(scene, head, tmp_path, monkeypatch, capsys) -> None:
    """The example that comes with the extension, as `Slicer --no-main-window --python-script` runs it."""
    lines = ["subject,date,path"]
    for day, radius in (("2020-01-01", 5), ("2020-03-01", 7)):
        sitk.WriteImage(head(radius), str(tmp_path / f"{day}.nrrd"))
        lines.append(f"sub-1,{day},{day}.nrrd")
    (tmp_path / "cohort.csv").write_text("\n".join([*lines, "sub-2,2020-01-01,nowhere.nrrd"]))
    module = load_module("CRONOSPredict")
    made = module.CRONOSPredictLogic.forecastCohort
    quick = {"method": "linear", "alignment": Alignment.OFF, "device": "cpu"}
    monkeypatch.setattr(module.CRONOSPredictLogic, "forecastCohort", lambda *of, **how: made(*of, **how, **quick))
    codes: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    example = Path(module.__file__).parent / "Resources" / "Examples" / "forecast_cohort.py"
    monkeypatch.setattr(sys, "argv", [str(example), str(tmp_path / "cohort.csv"), str(tmp_path / "out"), "90"])
    before = scene.GetNumberOfNodes()
    runpy.run_path(str(example))
    assert codes == [3]
    assert scene.GetNumberOfNodes() == before
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = {row["subject"]: row for row in csv.DictReader(file)}
    assert (rows["sub-1"]["outcome"], rows["sub-1"]["target"]) == ("done", "2020-05-30")
    assert "nowhere.nrrd" in rows["sub-2"]["sentence"]
    assert {"forecast.nrrd", "scene.mrb"} <= {path.name for path in (tmp_path / "out" / "sub-1").iterdir()}
    assert " 50%  sub-1: done" in capsys.readouterr().out
    (tmp_path / "cohort.csv").write_text("subject,date\n")
    runpy.run_path(str(example))
    assert codes == [3, 2]
    assert "no column 'path'" in capsys.readouterr().err
