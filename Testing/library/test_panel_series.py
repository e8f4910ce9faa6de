"""The table of scans: what a user adds, types, chooses and takes out, and what the scene keeps of it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
from CRONOSLib.scene.dates import date_of  # noqa: E402
from CRONOSLib.scene.hierarchy import SubjectHierarchy  # noqa: E402
from CRONOSLib.scene.nodes import add_volume  # noqa: E402
from CRONOSLib.scene.times import time_of  # noqa: E402
from CRONOSLib.series import TimeSource  # noqa: E402

USE, VOLUME, WHEN, INTERVAL, SOURCE, STATUS = range(6)


def texts(panel, column: int) -> list[str]:
    table = panel.ui.scansTable
    return [table.item(row, column).text() for row in range(table.rowCount)]


def tips(panel) -> list[str]:
    table = panel.ui.scansTable
    return [table.item(row, STATUS).toolTip() for row in range(table.rowCount)]


@pytest.fixture
def visits(panel, head) -> list:
    """Three volumes whose names hold their dates, the latest first."""
    names = ("T1 2020-04-30", "T1 2020-03-01", "T1 2020-01-01")
    return [add_volume(slicer.mrmlScene, head(9 - 2 * index), name) for index, name in enumerate(names)]


def test_an_empty_panel_offers_nothing_that_cannot_be_done(panel) -> None:
    assert not panel.ui.forecastButton.enabled
    assert "Add the patient's dated scans" in panel.ui.forecastButton.toolTip
    reasons = {
        panel.ui.removeButton: "Select scans",
        panel.ui.targetSlider: "Add the patient's dated scans",
        panel.ui.compareButton: "no forecast",
        panel.ui.overlayCheckBox: "no forecast",
        panel.ui.membersButton: "no flow",
    }
    for widget, reason in reasons.items():
        assert not widget.enabled
        assert reason in widget.toolTip


def test_added_scans_stand_by_date_with_their_interval_and_source(panel, visits, choose) -> None:
    for visit in visits:
        choose(panel, visit.GetName())
    assert texts(panel, WHEN) == ["2020-01-01", "2020-03-01", "2020-04-30"]
    assert texts(panel, INTERVAL) == ["-120 days", "-60 days", "last"]
    assert texts(panel, SOURCE) == ["name"] * 3
    assert texts(panel, STATUS) == ["✓"] * 3


def test_all_scans_of_a_patient_are_added_at_once(panel, visits, choose) -> None:
    hierarchy = SubjectHierarchy(slicer.mrmlScene)
    patient = hierarchy.add_patient("Ada")
    for visit in visits[:2]:
        hierarchy.place(visit, hierarchy.study(patient, visit.GetName(), None))
    choose(panel, "All 2 scans of Ada")
    assert texts(panel, VOLUME) == ["T1 2020-03-01", "T1 2020-04-30"]


def test_a_sequence_gives_its_index_values_as_times(panel, head, choose) -> None:
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    sequence.SetIndexUnit("ms")
    for index, phase in enumerate((0, 40, 80)):
        frame = add_volume(slicer.mrmlScene, head(5 + index), "frame")
        sequence.SetDataNodeAtValue(frame, str(phase))
        slicer.mrmlScene.RemoveNode(frame)
    choose(panel, "Frames of sequence cine")
    assert texts(panel, WHEN) == ["0", "40", "80"]
    assert texts(panel, INTERVAL) == ["-80 ms", "-40 ms", "last"]
    assert not panel.ui.targetDateEdit.visible
    assert panel.ui.targetDistanceSpin.suffix == " ms"
    node = slicer.util.getNode("cine 40")
    assert (time_of(node).time, time_of(node).source) == (40.0, TimeSource.SEQUENCE)


def test_a_sequence_without_a_unit_of_time_is_refused_in_one_sentence(panel, head, choose) -> None:
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "dose")
    sequence.SetIndexUnit("mGy")
    sequence.SetDataNodeAtValue(add_volume(slicer.mrmlScene, head(5), "frame"), "1")
    choose(panel, "Frames of sequence dose")
    assert "no time" in panel.ui.seriesLabel.text
    assert panel.ui.scansTable.rowCount == 0


def test_a_typed_date_is_kept_with_the_node_and_sorts_the_table(panel, visits, choose) -> None:
    for visit in visits:
        choose(panel, visit.GetName())
    panel.ui.scansTable.item(0, WHEN).setText("2021-06-17 13:05")
    assert texts(panel, WHEN)[-1] == "2021-06-17 13:05"
    assert texts(panel, SOURCE)[-1] == "typed"
    assert date_of(visits[2]).date == datetime(2021, 6, 17, 13, 5)


def test_a_date_that_cannot_be_read_changes_nothing_and_says_why(panel, visits, choose) -> None:
    choose(panel, visits[0].GetName())
    panel.ui.scansTable.item(0, WHEN).setText("03/04/2020")
    assert texts(panel, WHEN) == ["2020-04-30"]
    assert "two dates" in panel.ui.seriesLabel.text
    panel.ui.scansTable.cellPressed.emit(0, WHEN)
    assert not panel.ui.seriesLabel.text, "who goes on has read it"


def test_the_calendar_dates_the_selected_scan(panel, head, choose) -> None:
    import qt

    node = add_volume(slicer.mrmlScene, head(5), "undated")
    choose(panel, "undated")
    assert texts(panel, STATUS) == ["✗"]
    assert "not known" in tips(panel)[0]
    assert not panel.ui.scanDateEdit.enabled
    panel.ui.scansTable.selectRow(0)
    panel.ui.scanDateEdit.date = qt.QDate(2019, 5, 6)
    assert date_of(node).date == datetime(2019, 5, 6)
    assert texts(panel, STATUS) == ["✓"]


def test_two_scans_of_one_date_are_told_apart_by_leaving_one_out(panel, visits, choose) -> None:
    import qt

    for visit in visits[:2]:
        visit.SetName("T1 2020-04-30")
        panel.panel.refresh()
    visits[1].SetName("T1 again 2020-04-30")
    choose(panel, "T1 2020-04-30")
    choose(panel, "T1 again 2020-04-30")
    assert texts(panel, STATUS) == ["✗", "✗"]
    assert "same time" in panel.ui.forecastButton.toolTip
    panel.ui.scansTable.item(0, USE).setCheckState(qt.Qt.Unchecked)
    assert texts(panel, STATUS) == ["✓", "✓"]


def test_what_is_unusual_about_a_scan_is_said(panel, visits, choose) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "scanner")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1.0, 1.0, 1.0])))
    visits[2].SetAndObserveTransformNodeID(transform.GetID())
    visits[1].SetSpacing(1, 1, 9)
    for visit in visits:
        choose(panel, visit.GetName())
    assert texts(panel, STATUS) == ["⚠", "⚠", "✓"]
    assert "scanner" in tips(panel)[0]
    assert "voxel size" in tips(panel)[1]


def test_removed_scans_stay_in_the_scene(panel, visits, choose) -> None:
    for visit in visits:
        choose(panel, visit.GetName())
    panel.ui.scansTable.selectRow(1)
    panel.ui.removeButton.click()
    assert texts(panel, VOLUME) == ["T1 2020-01-01", "T1 2020-04-30"]
    assert slicer.util.getNode("T1 2020-03-01") is visits[1]


def test_a_node_that_leaves_the_scene_leaves_the_table(panel, visits, choose, host) -> None:
    for visit in visits:
        choose(panel, visit.GetName())
    slicer.mrmlScene.RemoveNode(visits[1])
    slicer.app.processEvents()
    assert texts(panel, VOLUME) == ["T1 2020-01-01", "T1 2020-04-30"]


def test_the_list_and_the_dates_come_back_with_the_scene(panel, visits, choose, tmp_path) -> None:
    for visit in visits:
        choose(panel, visit.GetName())
    panel.ui.scansTable.item(0, WHEN).setText("2019-12-31")
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    assert panel.ui.scansTable.rowCount == 0
    assert slicer.mrmlScene.Connect()
    slicer.app.processEvents()
    assert texts(panel, WHEN) == ["2019-12-31", "2020-03-01", "2020-04-30"]


def test_a_panel_opens_without_torch(host) -> None:
    import subprocess
    import sys
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.path[:0] = [{str(root / 'CRONOSPredict')!r}, {str(root / 'Testing')!r}]\n"
        "from slicerhost import load_module, open_host\n"
        "open_host()\n"
        "from slicerhost.gui.application import close_panel, open_panel, start\n"
        "start()\n"
        "close_panel(open_panel(load_module('CRONOSPredict')))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_dragging_the_target_looks_at_no_voxel(panel, head, choose, monkeypatch) -> None:
    hierarchy = SubjectHierarchy(slicer.mrmlScene)
    patient = hierarchy.add_patient("Ada")
    for month in range(1, 13):
        hierarchy.place(add_volume(slicer.mrmlScene, head(5), f"T1 2020-{month:02}-01"), patient)
    choose(panel, "All 12 scans of Ada")
    read: list = []
    monkeypatch.setattr(slicer.util, "arrayFromVolume", read.append)
    monkeypatch.setattr("CRONOSLib.scene.panel.reading.image_of", read.append)
    for position in range(0, 200, 20):
        panel.ui.targetSlider.value = position
    assert panel.ui.targetDistanceSpin.value == 180 - 335
    assert not read


def test_the_sample_patient_is_offered_in_sample_data_and_loads_with_its_dates(panel, choose, monkeypatch) -> None:
    import sys
    from types import ModuleType, SimpleNamespace

    registered: list[dict] = []
    sample_data = ModuleType("SampleData")
    sample_data.SampleDataLogic = SimpleNamespace(  # type: ignore[attr-defined]
        registerCustomSampleDataSource=lambda **fields: registered.append(fields)
    )
    monkeypatch.setitem(sys.modules, "SampleData", sample_data)
    slicer.app.slots["startupCompleted()"][-1]()
    (source,) = registered
    assert len(source["uris"]) == len(source["fileNames"]) == len(source["nodeNames"]) == 4
    nodes = source["customDownloader"](None)
    for node in nodes:
        choose(panel, node.GetName())
    assert texts(panel, WHEN) == ["2020-08-07", "2020-11-02", "2021-01-17", "2021-05-02"]
    assert texts(panel, STATUS) == ["✓"] * 4
