"""What users type, and what comes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from cli_driver import QUICK, done, mistake, report_of, scans, write
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.cohorts.manifest import Patient, Visit, write_cohort
from CRONOSLib.cohorts.usual_settings import write_usual_settings

pytestmark = pytest.mark.usefixtures("no_scene")


def test_dated_scans_become_a_folder_of_results(written_patient: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = done("forecast", *scans(written_patient), "--target", "2020-06-29", "--out", out, *QUICK)
    assert {"forecast.nrrd", "change.nrrd", "panel.png", "report.json"} <= {path.name for path in out.iterdir()}
    assert "60 days after the last scan" in result.stdout
    assert "research use only" in result.stdout
    assert report_of(out)["target"]["date"] == "2020-06-29"


def test_the_truth_is_measured_against_forecast_and_lci(
    written_patient: list[str], head: Callable[[float], sitk.Image], tmp_path: Path
) -> None:
    truth = write(head(11), tmp_path / "truth.nrrd")
    out = tmp_path / "out"
    words = ("--target", "2020-06-29", "--compare", truth, "--out", out)
    result = done("forecast", *scans(written_patient), *words, *QUICK)
    metrics = report_of(out)["metrics"]
    assert metrics["truth"]["path"] == str(truth)
    assert f"{metrics['skill']:+.3f}" in result.stdout
    assert f"{metrics['lci']['nrmse']:.4f}" in result.stdout


def test_a_segmentation_is_carried_by_a_method_that_deforms(written_patient: list[str], tmp_path: Path) -> None:
    last = sitk.ReadImage(written_patient[-1].partition("=")[2])
    drawn = sitk.Cast(sitk.OtsuThreshold(last, 0, 1), sitk.sitkUInt8) * 7
    labels, out = write(drawn, tmp_path / "labels.nrrd"), tmp_path / "out"
    words = ("--target", "2020-06-29", "--labels", labels, "--out", out, "--align", "off")
    result = done("forecast", *scans(written_patient), *words, "--method", "geodesic-regression")
    carried = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "labels.nrrd")))
    assert set(np.unique(carried)) == {0, 7}
    folding = report_of(out)["deformation"]["folding_percent"]
    assert f"{folding:.3g} % of the voxels fold" in result.stdout
    refused = mistake("forecast", *scans(written_patient), *words, "--force", "--method", "linear")
    assert "cannot carry labels" in refused


def test_a_folder_stands_for_its_scans(head: Callable[[float], sitk.Image], tmp_path: Path) -> None:
    folder = tmp_path / "patient"
    folder.mkdir()
    for day in ("2020-01-01", "2020-03-01"):
        write(head(6), folder / f"{day}_T1.nrrd")
    done("forecast", folder, "--target", "2020-06-01", "--out", tmp_path / "out", "--method", "lci", "--align", "off")
    assert [scan["date"] for scan in report_of(tmp_path / "out")["scans"]] == ["2020-01-01", "2020-03-01"]


def test_a_4d_file_stands_for_its_frames(head: Callable[[float], sitk.Image], tmp_path: Path) -> None:
    cine = write(sitk.JoinSeries([head(5), head(6), head(7)]), tmp_path / "cine.nii.gz")
    times = ("--unit", "ms", "--frame-times", "0,50,100", "--target", "150")
    done("forecast", cine, *times, "--out", tmp_path / "out", *QUICK)
    assert [scan["time"] for scan in report_of(tmp_path / "out")["scans"]] == [0, 50, 100]


def test_numbers_are_times_with_a_unit(written_patient: list[str], tmp_path: Path) -> None:
    paths = [scan.split("=")[1] for scan in written_patient]
    timed = scans([f"{week}={path}" for week, path in zip((20, 25, 30), paths)])
    done("forecast", *timed, "--unit", "week", "--target", "32", "--out", tmp_path / "out", *QUICK)
    assert report_of(tmp_path / "out")["target"] == {"date": None, "time": 32.0, "horizon": 2.0, "unit": "week"}


def test_a_bundle_forecasts_with_the_settings_typed(
    written_patient: list[str], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    words = ("--bundle", tiny_bundle.path, "--solver", "heun", "--steps", "3", "--target", "2020-06-29")
    done("forecast", *scans(written_patient), *words, "--out", tmp_path / "out")
    report = report_of(tmp_path / "out")
    assert report["nfe"] == 6
    assert report["bundle"]["weights_sha256"] == tiny_bundle.weights_sha256


def test_the_alignment_looks_at_the_mask_only(
    written_patient: list[str], head: Callable[[float], sitk.Image], tmp_path: Path
) -> None:
    masks = {"head": head(9) > 50, "nothing": head(9) > 1000}
    for name, mask in masks.items():
        write(sitk.Cast(mask, sitk.sitkUInt8), tmp_path / f"{name}.nrrd")
    words = ("--target", "2020-06-29", "--out", tmp_path / "out", "--method", "linear", "--mask")
    done("forecast", *scans(written_patient[1:]), *words, tmp_path / "head.nrrd")
    assert report_of(tmp_path / "out")["scans"][0]["alignment"]["kind"] == "rigid"
    typed = ("forecast", *scans(written_patient[1:]), "--force", *words)
    assert "The mask covers nothing" in mistake(*typed, tmp_path / "nothing.nrrd")


def test_methods_and_bundles_are_listed(tiny_bundle: Bundle) -> None:
    assert {"cronos-continuous", "cronos-discrete", "lci", "linear"} <= set(done("methods").stdout.split())
    listed = done("bundles", tiny_bundle.path.parent).stdout
    assert "tiny" in listed
    assert "0.200 (0.100 to 0.300)" in listed


def test_a_broken_bundle_is_a_warning_in_the_list(tiny_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle.path, tmp_path / "whole")
    shutil.copytree(tiny_bundle.path, tmp_path / "broken")
    (tmp_path / "broken" / "bundle.json").write_text("{")
    result = done("bundles", tmp_path)
    assert "tiny" in result.stdout
    assert "is not valid JSON" in result.stderr


def test_the_sample_patient_is_compared_with_its_true_scan(
    monkeypatch: pytest.MonkeyPatch, head: Callable[[float], sitk.Image], tmp_path: Path
) -> None:
    sample = tmp_path / "sample"
    (sample / "truth").mkdir(parents=True)
    for day, radius in (("2020-01-01", 5), ("2020-03-01", 7)):
        write(head(radius), sample / f"{day}_T1Gd.nrrd")
        write(sitk.Cast(head(radius) > 120, sitk.sitkUInt8), sample / "truth" / f"{day}_labels.nrrd")
    write(head(9), sample / "truth" / "2020-05-01_T1Gd.nrrd")
    monkeypatch.setattr("CRONOSLib.resources.sample_folder", lambda: sample)
    done("forecast", "--sample", "--out", tmp_path / "out", *QUICK)
    report = report_of(tmp_path / "out")
    assert report["target"]["date"] == "2020-05-01"
    assert report["metrics"]["truth"]["name"] == "2020-05-01_T1Gd.nrrd"


def test_holding_out_forecasts_from_the_scans_before_and_compares_with_the_one_at_the_target(
    written_patient: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done("forecast", *scans(written_patient), "--target", "2020-04-30", "--hold-out", "--out", out, *QUICK)
    report = report_of(out)
    assert [scan["date"] for scan in report["scans"]] == ["2020-01-01", "2020-03-01"]
    assert report["metrics"]["truth"]["name"] == "visit 120"
    sentence = mistake(
        "forecast", *scans(written_patient), "--target", "2020-06-29", "--hold-out", "--out", tmp_path / "new", *QUICK
    )
    assert "No scan was taken at 2020-06-29" in sentence


def test_a_cohort_becomes_a_bundle_that_is_measured_and_forecasts(
    head: Callable[[float], sitk.Image], written_patient: list[str], tmp_path: Path
) -> None:
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    patients = []
    for subject, split in enumerate(("train", "validation", "test")):
        names = [Path(f"{subject}-{day}.nrrd") for day in (0, 60, 120)]
        for index, name in enumerate(names):
            write(head(5 + 2 * index + 0.5 * subject), cohort / name)
        visits = tuple(Visit(float(day), name) for day, name in zip((0, 60, 120), names))
        patients.append(Patient(f"sub-{subject}", split, visits))
    write_cohort(cohort, patients, name="heads")
    settings = tmp_path / "settings.json"
    network = {"unet": {"width": 4, "multipliers": [1, 2], "embedding": 16, "groups": 2}}
    write_usual_settings(cohort, {"preprocessing": {"grid": {"spacing_mm": 6.0}, "alignment": "off"}})
    settings.write_text(json.dumps({"settings": {"method_settings": {"network": network}}}))
    run = tmp_path / "run"
    trained = done("train", "--cohort", cohort, "--steps", "2", "--config", settings, "--out", run)
    assert "test, where it changed most" in trained.stdout
    assert load_bundle(run / "bundle").preprocessing.grid.spacing_mm == 6.0
    card = run / "bundle" / "README.md"
    card.unlink()
    words = ("--cohort", cohort, "--bundle", run / "bundle", "--update-bundle", "--out", tmp_path / "measured")
    measured = done("evaluate", *words)
    assert {"cronos-continuous", "linear", "ridge"} <= set(measured.stdout.split())
    table = (tmp_path / "measured" / "results.csv").read_text()
    assert len(table.splitlines()) == 1 + 3  # of each number of contexts, the next visit and the last
    assert (tmp_path / "measured" / "gallery.png").is_file()
    words = ("--bundle", run / "bundle", "--target", "2020-06-29", "--out", tmp_path / "out")
    done("forecast", *scans(written_patient), *words)
    assert "cronos train --cohort cohort" in card.read_text()
    assert "| linear | " in card.read_text()
