"""A cohort forecast: one row per patient, whatever became of it, resumable and shared between processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cohort_trees as trees
import pytest
import SimpleITK as sitk
from CRONOSLib.cli import app
from CRONOSLib.cohorts.readers.registry import find_cohort
from CRONOSLib.errors import MethodError, OutputError, SeriesError
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.outputs import cohort as cohort_module
from CRONOSLib.outputs.cohort import CohortRequest, forecast_cohort
from CRONOSLib.training.collecting import collect_cohort
from odd_worker import lives
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
QUICK = ForecastOptions(alignment=Alignment.OFF, device="cpu")


@pytest.fixture
def manifest(tmp_path: Path, head: Callable[[float], sitk.Image]) -> Path:
    """Three patients of three visits; the targets of two stand in the table, one has a scan that is no image."""
    lines = ["subject\tdate\tpath\ttarget"]
    for subject, target in (("sub-1", "2020-07-01"), ("sub-2", ""), ("sub-3", "2020-06-01")):
        for visit, day in enumerate(("2020-01-01", "2020-03-01", "2020-05-01")):
            path = tmp_path / "scans" / f"{subject}_{day}.nrrd"
            path.parent.mkdir(exist_ok=True)
            sitk.WriteImage(head(5 + visit), str(path))
            lines.append(f"{subject}\t{day}\t{path.relative_to(tmp_path)}\t{target}")
    (tmp_path / "scans" / "sub-3_2020-03-01.nrrd").write_text("hello")
    table = tmp_path / "cohort.tsv"
    table.write_text("\n".join(lines) + "\n")
    return table


@pytest.fixture
def request_(manifest: Path) -> CohortRequest:
    return CohortRequest(manifest, method="linear", options=QUICK, days=60)


@pytest.fixture
def without_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have their own tests; without them these are quick."""
    monkeypatch.setattr("CRONOSLib.outputs.folder.write_panel", lambda *given: None)


quick = pytest.mark.usefixtures("without_panels")


def table_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "results.csv").open() as file:
        return {row["subject"]: row for row in csv.DictReader(file)}


def test_every_patient_has_a_row_and_those_forecast_a_folder(request_: CohortRequest, tmp_path: Path) -> None:
    rows = forecast_cohort(request_, tmp_path / "out")
    assert [(row.subject, row.outcome) for row in rows] == [
        ("sub-1", "done"), ("sub-2", "done"), ("sub-3", "failed")
    ]  # fmt: skip
    table = table_of(tmp_path / "out")
    assert table["sub-1"]["target"] == "2020-07-01"  # from the table
    assert table["sub-2"]["target"] == "2020-06-30"  # 60 days after the last scan
    assert "sub-3_2020-03-01.nrrd" in table["sub-3"]["sentence"]
    assert (tmp_path / "out" / "sub-3.failed.txt").read_text().strip() == table["sub-3"]["sentence"]
    assert not (tmp_path / "out" / "sub-3").exists()
    for subject in ("sub-1", "sub-2"):
        written = {path.name for path in (tmp_path / "out" / subject).iterdir()}
        assert {"forecast.nrrd", "change.nrrd", "panel.png", "report.json"} <= written


@quick
def test_finished_patients_are_skipped_and_failed_ones_tried_again(
    request_: CohortRequest, tmp_path: Path, head: Callable[[float], sitk.Image]
) -> None:
    out, told = tmp_path / "out", []
    forecast_cohort(request_, out)
    before = (out / "sub-1" / "report.json").read_bytes()
    sitk.WriteImage(head(6), str(tmp_path / "scans" / "sub-3_2020-03-01.nrrd"))
    rows = forecast_cohort(request_, out, on_patient=lambda row, done: told.append((row.subject, done)))
    assert told == [("sub-3", 1.0)]
    assert {row.outcome for row in rows} == {"done"}
    assert not (out / "sub-3.failed.txt").exists()
    assert (out / "sub-1" / "report.json").read_bytes() == before


@quick
def test_each_process_takes_every_nth_patient(
    request_: CohortRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    for name, value in {"NTASKS": 2, "NNODES": 1}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for rank, expected in ((0, ["sub-1", "sub-3"]), (1, ["sub-2"])):
        monkeypatch.setenv("SLURM_PROCID", str(rank))
        monkeypatch.setenv("SLURM_LOCALID", str(rank))
        told.clear()
        rows = forecast_cohort(request_, tmp_path / "out", on_patient=lambda row, done: told.append(row.subject))
        assert told == expected
        waiting = [row.subject for row in rows if row.outcome == "waiting"]
        assert waiting == ([] if rank else ["sub-2"])
    assert [row["outcome"] for row in table_of(tmp_path / "out").values()] == ["done", "done", "failed"]


@quick
def test_a_held_out_scan_is_measured_in_the_table(request_: CohortRequest, tmp_path: Path) -> None:
    only = tmp_path / "one.tsv"
    lines = [line.rsplit("\t", 1)[0] for line in request_.manifest.read_text().splitlines()]
    only.write_text("\n".join(lines[:4]) + "\n")
    (row,) = forecast_cohort(replace(request_, manifest=only, days=None, hold_out=True), tmp_path / "out")
    assert (row.target, row.scans) == ("2020-05-01", 2)
    assert row.skill is not None
    assert row.nrmse is not None
    assert row.lci_nrmse is not None
    assert row.skill == pytest.approx(1 - (row.nrmse / row.lci_nrmse) ** 2)


@quick
def test_several_jobs_leave_what_one_does(request_: CohortRequest, tmp_path: Path) -> None:
    rows = forecast_cohort(request_, tmp_path / "jobs", jobs=2)
    assert [row.outcome for row in rows] == ["done", "done", "failed"]
    (alone,) = [row for row in forecast_cohort(request_, tmp_path / "one") if row.subject == "sub-2"]
    first, second = (sitk.ReadImage(str(tmp_path / out / "sub-2" / "forecast.nrrd")) for out in ("jobs", "one"))
    assert sitk.GetArrayFromImage(first).tolist() == sitk.GetArrayFromImage(second).tolist()
    assert alone.seconds is not None


KILLED = """
import sys
import time
from pathlib import Path
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.outputs import cohort, folder
from CRONOSLib.outputs.cohort import CohortRequest, forecast_cohort
whole = folder.write_panel
def slow(forecast, path, comparison=None):
    whole(forecast, path, comparison)
    if "sub-2" in str(path):
        print("half", flush=True)
        time.sleep(60)
folder.write_panel = slow
options = ForecastOptions(alignment=Alignment.OFF, device="cpu")
forecast_cohort(CohortRequest(Path(sys.argv[1]), method="linear", options=options, days=60), Path(sys.argv[2]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_leaves_no_half_patient_and_goes_on(request_: CohortRequest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(request_.manifest), str(out)],
        cwd=ROOT / "CRONOSPredict", stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (out / "sub-1" / "report.json").is_file()
    assert not (out / "sub-2").exists()
    assert list(table_of(out)) == ["sub-1", "sub-2", "sub-3"]
    assert table_of(out)["sub-2"]["outcome"] == "waiting"
    rows = forecast_cohort(request_, out)
    assert [row.outcome for row in rows] == ["done", "done", "failed"]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


ORPHANED = """
import multiprocessing
import sys
import time
from pathlib import Path
from CRONOSLib.forecast import ForecastOptions
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.outputs.cohort import CohortRequest, forecast_cohort
def told(row, done):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
options = ForecastOptions(alignment=Alignment.OFF, device="cpu")
request = CohortRequest(Path(sys.argv[1]), method="lci", options=options, days=60)
forecast_cohort(request, Path(sys.argv[2]), jobs=2, on_patient=told)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_the_processes_of_a_killed_run_end_with_it(request_: CohortRequest, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANED, str(request_.manifest), str(tmp_path / "out")],
        cwd=ROOT / "CRONOSPredict", stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    jobs = [int(pid) for pid in process.stdout.readline().split()]
    assert len(jobs) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 120
    while (left := [pid for pid in jobs if lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@quick
def test_a_bug_at_one_patient_does_not_end_the_night(
    request_: CohortRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cohort_module.forecast

    def buggy(series, *given, **options):
        if series.last.patient == "sub-1":
            raise ZeroDivisionError("float division by zero")
        return made(series, *given, **options)

    monkeypatch.setattr(cohort_module, "forecast", buggy)
    rows = {row.subject: row for row in forecast_cohort(request_, tmp_path / "out")}
    assert "ZeroDivisionError" in rows["sub-1"].sentence
    assert rows["sub-2"].outcome == "done"


@quick
def test_a_folder_of_other_forecasts_or_files_is_left_alone(request_: CohortRequest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    forecast_cohort(request_, out)
    with pytest.raises(OutputError, match="other settings"):
        forecast_cohort(replace(request_, method="lci"), out)
    assert {row.method for row in forecast_cohort(replace(request_, method="lci"), out, force=True)} == {"lci", ""}
    with pytest.raises(OutputError, match="other files"):
        forecast_cohort(request_, tmp_path / "scans")


def test_what_holds_for_all_patients_stops_the_run(request_: CohortRequest, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="no method 'magic'"):
        forecast_cohort(replace(request_, method="magic"), tmp_path / "out")
    with pytest.raises(SeriesError, match="manifest"):
        forecast_cohort(replace(request_, manifest=tmp_path / "nowhere.tsv"), tmp_path / "out")
    same = tmp_path / "same.tsv"
    same.write_text("subject,date,path\na b,2020-01-01,x\na/b,2020-01-01,x\n")
    with pytest.raises(SeriesError, match="same folder name"):
        forecast_cohort(replace(request_, manifest=same), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@quick
def test_the_command_says_what_failed_with_exit_code_3(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CRONOSLib.commands.forecast._scene_writer", lambda: None)

    def cronos(*words: object):
        return CliRunner().invoke(app, ["forecast", *map(str, words), "--align", "off", "--method", "lci"])

    result = cronos("--manifest", manifest, "--days", 30, "--out", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert "sub-3: " in result.stderr
    assert table_of(tmp_path / "out")["sub-2"]["horizon"] == "30.0"
    report = json.loads((tmp_path / "out" / "sub-2" / "report.json").read_text())
    assert report["scans"][0]["patient"] == "sub-2"
    assert cronos("--manifest", manifest, "--out", tmp_path / "new").exit_code == 3  # one patient has no target
    assert "Nothing says when" in table_of(tmp_path / "new")["sub-2"]["sentence"]
    mixed = cronos("--manifest", manifest, "--target", "2020-06-01", "--out", tmp_path / "no")
    assert mixed.exit_code == 2
    assert "--target cannot be used with --manifest" in mixed.stderr
    assert not (tmp_path / "no").exists()


@quick
def test_the_sealed_manifest_of_a_cohort_is_read(request_: CohortRequest, tmp_path: Path) -> None:
    lines = ["subject\ttime\tunit\tdate\tpath\tsplit"]
    for day, date in ((0, "2020-01-01"), (60, "2020-03-01")):
        lines.append(f"sub-1\t{day}\tday\t{date}\tscans/sub-1_{date}.nrrd\ttest")
    sealed = tmp_path / "manifest.tsv"
    sealed.write_text("\n".join(lines) + "\n")
    (row,) = forecast_cohort(replace(request_, manifest=sealed), tmp_path / "out")
    assert row.target == "2020-04-30"


@quick
def test_a_cohort_of_4d_files_is_forecast_from_its_own_manifest(tmp_path: Path) -> None:
    found = find_cohort(trees.acdc(tmp_path / "data", training=3))
    collect_cohort(found, tmp_path / "cohort", preprocessing=Preprocessing(GridSpec(spacing_mm=8.0, multiple=2)))
    request = CohortRequest(tmp_path / "cohort" / "manifest.tsv", method="lci", options=QUICK, hold_out=True)
    rows = forecast_cohort(request, tmp_path / "out")
    assert [row.outcome for row in rows] == ["done"] * 4, rows
    assert rows[0].scans == len(found.patients[0].visits) - 1
