"""A forecast as a scene: what 3D Slicer finds when it opens scene.mrb."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
from CRONOSLib.errors import OutputError  # noqa: E402
from CRONOSLib.scene.display import show_spread  # noqa: E402
from CRONOSLib.scene.hierarchy import SubjectHierarchy  # noqa: E402
from CRONOSLib.scene.mrb import read_scene, write_forecast_scene  # noqa: E402
from CRONOSLib.scene.nodes import add_volume, image_of  # noqa: E402
from CRONOSLib.scene.results import RESULT_ATTRIBUTE, add_results, add_scans  # noqa: E402
from CRONOSLib.scene.session import CHANGE_COLORS, new_scene  # noqa: E402
from CRONOSLib.series import LongitudinalSeries, Scan  # noqa: E402

TARGET_DAY = 180.0
NAMES = ["visit-0", "visit-1", "visit-2", *(f"visit-2 {kind} 2020-06-29" for kind in ("forecast", "change", "spread"))]


def forecast_of(series: LongitudinalSeries) -> SimpleNamespace:
    """What a forecast hands to a scene, of a lesion that fades."""
    last = sitk.Cast(series.last.image, sitk.sitkFloat32)
    change = sitk.Cast(last > 150, sitk.sitkFloat32) * -30.0
    return SimpleNamespace(
        series=series,
        target_time=TARGET_DAY,
        image=last + change,
        change=change,
        spread=sitk.Abs(change) * 0.1,
        spread_meaning="SD of the members",
        method="lci",
        bundle=None,
        warnings=("far ahead",),
        report={"method": "lci", "preset": "default", "nfe": 0, "seconds": 0.1, "device": "cpu", "deformation": None},
    )


def turned(series: LongitudinalSeries, direction: list[float]) -> LongitudinalSeries:
    """The same scans on a grid with other direction cosines."""
    scans = []
    for scan in series:
        image = sitk.Image(scan.image)
        image.SetDirection(direction)
        scans.append(Scan(**{**vars(scan), "image": image}))
    return LongitudinalSeries.from_dates(scans)


OBLIQUE = list(sitk.Euler3DTransform((0, 0, 0), 0.2, -0.3, 0.5).GetMatrix())
FLIPPED = [-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]


@pytest.mark.parametrize("direction", [OBLIQUE, FLIPPED], ids=["oblique", "flipped"])
def test_a_scene_file_gives_back_every_volume_where_it_was(growing_series, direction, tmp_path: Path) -> None:
    forecast = forecast_of(turned(growing_series(), direction))
    path = tmp_path / "scène.mrb"
    write_forecast_scene(forecast, path)
    scene = read_scene(path)
    images = [scan.image for scan in forecast.series] + [forecast.image, forecast.change, forecast.spread]
    for name, image in zip(NAMES, images, strict=True):
        node = scene.GetFirstNodeByName(name)
        assert node is not None, name
        back = image_of(node)
        # Slicer stores left-handed grids right-handed, so axes may turn; every voxel must still lie where it was.
        same_grid = sitk.Resample(back, image, sitk.Transform(), sitk.sitkNearestNeighbor, -1e9)
        assert np.array_equal(sitk.GetArrayFromImage(same_grid), sitk.GetArrayFromImage(image)), name
        if direction is OBLIQUE:
            assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
            assert np.allclose(back.GetDirection(), image.GetDirection(), atol=1e-9)
            assert np.allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-9)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == len(NAMES)


def test_a_scene_file_keeps_patient_studies_and_dates(growing_series, tmp_path: Path) -> None:
    write_forecast_scene(forecast_of(growing_series()), tmp_path / "scene.mrb")
    scene = read_scene(tmp_path / "scene.mrb")
    hierarchy = SubjectHierarchy(scene)
    nodes = [scene.GetFirstNodeByName(name) for name in NAMES]
    assert {hierarchy.patient_name(node) for node in nodes} == {"Patient"}
    dates = ["20200101", "20200301", "20200430", "20200629", "20200629", "20200629"]
    assert [hierarchy.study_date(node) for node in nodes] == dates


def test_a_scene_file_shows_forecast_and_change_as_they_must_be_read(growing_series, tmp_path: Path) -> None:
    write_forecast_scene(forecast_of(growing_series()), tmp_path / "scene.mrb")
    scene = read_scene(tmp_path / "scene.mrb")
    _, _, last, forecast, change, spread = (scene.GetFirstNodeByName(name).GetDisplayNode() for name in NAMES)
    assert (
        change.GetColorNodeID() == CHANGE_COLORS == slicer.vtkMRMLColorLogic.GetFileColorNodeID("DivergingBlueRed.txt")
    )
    assert change.GetLevel() == 0
    assert change.GetWindow() == pytest.approx(60)
    assert (forecast.GetWindow(), forecast.GetLevel()) == (last.GetWindow(), last.GetLevel())
    assert not any(display.GetAutoWindowLevel() for display in (last, forecast, change, spread))
    red = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    assert red.GetLayoutLabel() == "R"
    assert red.GetLayoutColor() == pytest.approx(red.GetRedColor(), abs=1e-3)
    composite = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert scene.GetNodeByID(composite.GetForegroundVolumeID()).GetDisplayNode() is forecast
    assert scene.GetNodeByID(composite.GetBackgroundVolumeID()).GetDisplayNode() is last


def test_a_spread_is_dark_where_members_agree_and_lets_the_scan_below_be_seen_there(growing_series, tmp_path) -> None:
    write_forecast_scene(forecast_of(growing_series()), tmp_path / "scene.mrb")
    scene = read_scene(tmp_path / "scene.mrb")
    spread = scene.GetFirstNodeByName(NAMES[-1]).GetDisplayNode()
    color = [0.0] * 4
    assert spread.GetColorNodeID() == slicer.vtkMRMLColorLogic.GetFileColorNodeID("Inferno.txt")
    assert spread.GetColorNode().GetColor(0, color)
    assert max(color[:3]) < 0.05
    assert spread.GetApplyThreshold()
    assert 0 < spread.GetLowerThreshold() < spread.GetWindow() / 4


def test_a_calibrated_spread_which_is_zero_nowhere_lets_the_scan_be_seen_where_it_is_as_usual() -> None:
    scene, spread = new_scene(), np.full((8, 8, 8), 3.0, np.float32)
    spread[2:4, 2:4, 2:4] = 10.0
    node = add_volume(scene, sitk.GetImageFromArray(spread), "spread")
    show_spread(node, 10.0)
    assert 3.0 < node.GetDisplayNode().GetLowerThreshold() < 10.0


def test_a_scene_file_neither_warns_in_slicer_nor_carries_slicers_own_colours(growing_series, tmp_path: Path) -> None:
    path = tmp_path / "scene.mrb"
    write_forecast_scene(forecast_of(growing_series()), path)
    with zipfile.ZipFile(path) as archive:
        (main,) = (name for name in archive.namelist() if name.endswith(".mrml"))
        text = archive.read(main).decode()
    assert 'version="Slicer 5.12' in text
    assert "ColorTableStorage" not in text
    assert f'colorNodeID="{CHANGE_COLORS}"' in text


def test_writing_a_scene_leaves_the_current_scene_and_the_folder_clean(growing_series, tmp_path: Path) -> None:
    path = tmp_path / "scene.mrb"
    path.write_bytes(b"an older file")
    working_directory = Path.cwd()
    write_forecast_scene(forecast_of(growing_series()), path)
    assert Path.cwd() == working_directory
    assert zipfile.is_zipfile(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_scene_that_cannot_be_written_says_so(growing_series, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_forecast_scene(forecast_of(growing_series()), tmp_path / "missing" / "scene.mrb")


def test_a_file_that_is_no_scene_says_so(tmp_path: Path) -> None:
    (tmp_path / "scene.mrb").write_bytes(b"not a scene")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "no scene in here")
    for path in (tmp_path / "scene.mrb", tmp_path / "absent.mrb", tmp_path / "other.zip"):
        with pytest.raises(OutputError, match="not a scene file"):
            read_scene(path)


def test_results_stand_beside_the_studies_of_the_patient_of_the_last_scan(growing_series) -> None:
    scene = new_scene()
    forecast = forecast_of(growing_series())
    scans = add_scans(scene, forecast.series)
    results = add_results(scene, forecast, scans[-1])
    assert [node.GetName() for node in results] == NAMES[3:]
    assert [node.GetAttribute(RESULT_ATTRIBUTE) for node in results] == ["forecast", "change", "spread"]
    assert all("research use only" in node.GetDescription() for node in results)
    assert results.warnings == ("far ahead",)


def test_a_second_forecast_of_the_same_day_takes_the_place_of_the_first(growing_series) -> None:
    scene = new_scene()
    forecast = forecast_of(growing_series())
    scans = add_scans(scene, forecast.series)
    first = add_results(scene, forecast, scans[-1])
    count = scene.GetNumberOfNodes()
    forecast.change = forecast.change * 0
    second = add_results(scene, forecast, scans[-1])
    assert scene.GetNumberOfNodes() == count
    assert [node.GetID() for node in second] == [node.GetID() for node in first]
    assert not slicer.util.arrayFromVolume(first.change).any()


def test_a_forecast_of_another_day_or_method_leaves_the_first_alone(growing_series) -> None:
    scene = new_scene()
    forecast = forecast_of(growing_series())
    scans = add_scans(scene, forecast.series)
    found = [add_results(scene, forecast, scans[-1])]
    for name, value in (("target_time", forecast.target_time + 30), ("method", "linear")):
        setattr(forecast, name, value)
        found.append(add_results(scene, forecast, scans[-1]))
    assert len({node.GetID() for results in found for node in results}) == 9


def test_the_live_forecast_is_one_and_no_other_is_touched(growing_series) -> None:
    scene = new_scene()
    forecast = forecast_of(growing_series())
    scans = add_scans(scene, forecast.series)
    kept = add_results(scene, forecast, scans[-1])
    live = add_results(scene, forecast, scans[-1], live=True)
    count = scene.GetNumberOfNodes()
    forecast.target_time += 30
    moved = add_results(scene, forecast, scans[-1], live=True)
    assert scene.GetNumberOfNodes() == count
    assert moved.forecast is live.forecast
    assert moved.forecast is not kept.forecast
    assert forecast.series.describe_time(forecast.target_time) in moved.forecast.GetName()


def test_a_spread_that_is_no_longer_there_leaves_the_scene(growing_series) -> None:
    scene = new_scene()
    forecast = forecast_of(growing_series())
    last = add_scans(scene, forecast.series)[-1]
    spread = add_results(scene, forecast, last).spread
    forecast.spread = None
    assert add_results(scene, forecast, last).spread is None
    assert not scene.IsNodePresent(spread)


def test_without_spread_there_is_no_spread_node(growing_series) -> None:
    scene = new_scene()
    forecast = forecast_of(growing_series())
    forecast.spread = None
    results = add_results(scene, forecast, add_scans(scene, forecast.series)[-1])
    assert results.spread is None
    assert len(list(results)) == 2


def test_times_that_are_no_dates_name_the_study(beating_series, tmp_path: Path) -> None:
    scene = new_scene()
    forecast = forecast_of(beating_series)
    scans = add_scans(scene, beating_series)
    results = add_results(scene, forecast, scans[-1])
    assert results.forecast.GetName() == "phase-2 forecast 180 ms"
    assert SubjectHierarchy(scene).study_date(results.forecast) is None


def test_studies_keep_the_time_of_day() -> None:
    scene = new_scene()
    hierarchy = SubjectHierarchy(scene)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    study = hierarchy.study(hierarchy.add_patient("A"), "today", datetime(2024, 3, 1, 13, 5))
    hierarchy.place(node, study)
    assert hierarchy.study_date(node) == "20240301130500"
