"""What users are told when it cannot be done: one sentence, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from cli_driver import QUICK, cronos, done, mistake, report_of, scans, write
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.forecast import Forecast

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("no_scene")


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """A mistaken forecast: its sentence, after making sure that it wrote nothing."""

    def run(*arguments: object) -> str:
        out = tmp_path / "results" / "out"
        sentence = mistake("forecast", *arguments, "--out", out)
        assert not out.parent.exists()
        return sentence

    return run


Refused = Callable[..., str]


def test_no_scan_and_no_target_are_asked_for(refused: Refused, written_patient: list[str]) -> None:
    assert "There is no scan" in refused("--target", "2020-06-29")
    assert "Nothing says when" in refused(*scans(written_patient), *QUICK)
    assert "Nothing says where" in mistake("forecast", *scans(written_patient), "--target", "2020-06-29")


def test_times_that_make_no_series_are_refused(refused: Refused, written_patient: list[str]) -> None:
    path = written_patient[0].split("=")[1]
    twice = scans([written_patient[0], f"2020-01-01={path}"])
    assert "same" in refused(*twice, "--target", "2020-06-29", *QUICK)
    assert "before the first scan" in refused(*scans(written_patient), "--target", "2019-01-01", *QUICK)
    assert "two dates" in refused("--scan", f"03/04/2020={path}", "--target", "2020-06-29", *QUICK)
    assert "03/04/2020" in refused(*scans(written_patient), "--target", "03/04/2020", *QUICK)
    assert "without a unit" in refused("--scan", f"12={path}", "--target", "2020-06-29", *QUICK)
    assert "date" in refused("--scan", path, "--target", "2020-06-29", *QUICK)
    assert "list of times" in refused(path, "--frame-times", "0;1", "--target", "3", *QUICK)


def test_scans_of_different_patients_are_a_warning(head: Callable[[float], sitk.Image], tmp_path: Path) -> None:
    paths = []
    for patient in ("sub-01", "sub-02"):
        (tmp_path / patient).mkdir()
        paths.append(write(head(6), tmp_path / patient / f"scan_{'T1w' if patient == 'sub-01' else 'T2w'}.nrrd"))
    typed = scans([f"2020-01-01={paths[0]}", f"2020-03-01={paths[1]}"])
    result = done("forecast", *typed, "--target", "2020-06-29", "--out", tmp_path / "out", *QUICK)
    for what in ("patients", "modalities"):
        assert f"different {what}" in result.stderr
        assert any(f"different {what}" in warning for warning in report_of(tmp_path / "out")["warnings"])


def test_scans_that_do_not_overlap_are_refused(
    refused: Refused, written_patient: list[str], head: Callable[[float], sitk.Image], tmp_path: Path
) -> None:
    away = head(6)
    away.SetOrigin((9000.0, 0.0, 0.0))
    typed = scans([f"2019-06-01={write(away, tmp_path / 'away.nrrd')}", *written_patient])
    assert "overlap" in refused(*typed, "--target", "2020-06-29", *QUICK)
    truth = ("--compare", tmp_path / "away.nrrd")
    assert "overlap" in refused(*scans(written_patient), "--target", "2020-06-29", *truth, *QUICK)


def header_of_600_cubed(path: Path) -> Path:
    path.write_text("NRRD0004\ntype: short\ndimension: 3\nsizes: 600 600 600\nencoding: raw\nendian: little\n\n")
    return path


def truncated(path: Path) -> Path:
    write(sitk.GetImageFromArray(np.random.default_rng(0).random((20, 20, 20))), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def array_image(array: np.ndarray, vector: bool = False) -> sitk.Image:
    return sitk.GetImageFromArray(array, isVector=vector)


NOISE = np.random.default_rng(1).random((12, 12, 12)).astype(np.float32)
BAD_IMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "2D": (lambda path: write(array_image(NOISE[0]), path), "2D"),
    "RGB": (lambda path: write(array_image(np.stack([NOISE] * 3, -1), vector=True), path), "values per voxel"),
    "label map": (lambda path: write(array_image((NOISE > 0.5).astype(np.uint8)), path), "label map"),
    "all zero": (lambda path: write(array_image(0 * NOISE), path), "Every voxel"),
    "NaN": (lambda path: write(array_image(np.where(NOISE > 0.9, np.nan, NOISE)), path), "NaN or infinite"),
    "infinite": (lambda path: write(array_image(np.where(NOISE > 0.9, np.inf, NOISE)), path), "NaN or infinite"),
    "one slice": (lambda path: write(array_image(NOISE[:1]), path), "one slice"),
    "600 cubed": (header_of_600_cubed, "600"),
    "truncated": (truncated, "damaged or cut off"),
    "no image": (lambda path: [path.write_text("hello"), path][1], "not an image|damaged"),
    "missing": (lambda path: path, "does not exist"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("role", ["scan", "truth"])
def test_an_image_that_cannot_be_forecast_is_refused(
    refused: Refused, written_patient: list[str], tmp_path: Path, kind: str, role: str
) -> None:
    import re

    make, complaint = BAD_IMAGES[kind]
    path = make(tmp_path / "bad.nrrd")
    extra = ("--scan", f"2020-05-15={path}") if role == "scan" else ("--compare", path)
    sentence = refused(*scans(written_patient), *extra, "--target", "2020-06-29", *QUICK)
    assert re.search(complaint, sentence), sentence
    assert "bad.nrrd" in sentence


@pytest.mark.parametrize("role", ["--mask", "--labels"])
def test_a_mask_that_is_not_3d_is_refused(
    refused: Refused, written_patient: list[str], tmp_path: Path, role: str
) -> None:
    flat = write(array_image((NOISE[0] > 0.5).astype(np.uint8)), tmp_path / "flat.nrrd")
    words = ("--target", "2020-06-29", "--method", "lci", role, flat)
    assert "'flat.nrrd' is not a 3D mask" in refused(*scans(written_patient), *words)


def damaged(bundle: Bundle, folder: Path, **values: object) -> Path:
    copy = Path(shutil.copytree(bundle.path, folder))
    description = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**description, **values}))
    return copy


def test_bundles_that_cannot_be_trusted_are_refused(
    refused: Refused, written_patient: list[str], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    words = (*scans(written_patient), "--target", "2020-06-29", "--bundle")
    assert "SHA-256" in refused(*words, damaged(tiny_bundle, tmp_path / "a", weights_sha256="0" * 64))
    assert "schema 99" in refused(*words, damaged(tiny_bundle, tmp_path / "b", schema=99))
    assert "no bundle 'nowhere'" in refused(*words, "nowhere")
    unknown = damaged(tiny_bundle, tmp_path / "c", method="oracle")
    assert "no method 'oracle'" in refused(*words, unknown)


def test_methods_that_do_not_suit_are_refused(
    refused: Refused, written_patient: list[str], tiny_bundle: Bundle
) -> None:
    words = (*scans(written_patient), "--target", "2020-06-29")
    assert "no method 'magic'" in refused(*words, "--method", "magic")
    assert "needs 2 scans" in refused("--scan", written_patient[0], "--target", "2020-06-29", "--method", "linear")
    assert "was asked for" in refused(*words, "--method", "linear", "--bundle", tiny_bundle.path)
    assert "no solver" in refused(*words, "--bundle", tiny_bundle.path, "--solver", "magic")
    for device in ("abacus", "cuda:first", "auto:1"):
        assert f"no device '{device}'" in refused(*words, *QUICK[:-1], device)
    timed = scans([f"{40 * index}={scan.split('=')[1]}" for index, scan in enumerate(written_patient)])
    beating = (*timed, "--unit", "ms", "--target", "160", "--bundle", tiny_bundle.path)
    assert "--rescale-time" in refused(*beating)


def test_without_torch_one_sentence_says_so(
    refused: Refused, written_patient: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "'torch', which is not installed" in refused(*scans(written_patient), "--target", "2020-06-29", *QUICK)


def test_results_are_not_written_over_what_is_there(written_patient: list[str], tmp_path: Path) -> None:
    words = ("forecast", *scans(written_patient), "--target", "2020-06-29", *QUICK, "--out")
    done(*words, tmp_path / "out")
    before = (tmp_path / "out" / "report.json").read_text()
    assert "--force" in mistake(*words, tmp_path / "out")
    assert (tmp_path / "out" / "report.json").read_text() == before
    done(*words, tmp_path / "out", "--force")
    assert (tmp_path / "out" / "report.json").read_text() != before
    assert "holds other files" in mistake(*words, tmp_path / "patient", "--force")


@pytest.mark.parametrize("out", ["file/out", "file"])
def test_a_place_that_cannot_be_written_is_refused(written_patient: list[str], tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("")
    words = ("--target", "2020-06-29", *QUICK, "--out", tmp_path / out)
    assert "Choose" in mistake("forecast", *scans(written_patient), *words)
    assert (tmp_path / "file").read_text() == ""


def test_a_cohort_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "cohort" in mistake("train", "--cohort", tmp_path, "--out", tmp_path / "run")
    assert "cohort" in mistake("evaluate", "--cohort", tmp_path, "--method", "linear")
    settings = tmp_path / "settings.json"
    settings.write_text("{")
    assert "is a file" in mistake("evaluate", "--cohort", tmp_path, "--out", settings)
    assert "JSON" in mistake("train", "--cohort", tmp_path, "--out", tmp_path / "run", "--config", settings)
    settings.write_text('{"settings": {"stepps": 3}}')
    assert "stepps" in mistake("train", "--cohort", tmp_path, "--out", tmp_path / "run", "--config", settings)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_ends_with_130_and_leaves_nothing(
    written_patient: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(forecast: Forecast, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("CRONOSLib.commands.forecast._scene_writer", lambda: interrupted)
    words = ("--target", "2020-06-29", "--out", tmp_path / "results" / "out", *QUICK)
    result = cronos("forecast", *scans(written_patient), *words)
    assert result.exit_code == 130
    assert list((tmp_path / "results").iterdir()) == []


def _hear_ctrl_c() -> None:
    """What a shell starts in the background, these tests perhaps, is deaf to Ctrl-C, and so are its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_a_real_ctrl_c_shows_no_traceback(written_patient: list[str], tmp_path: Path) -> None:
    slow = "import time; from CRONOSLib.outputs import folder\n"
    slow += "folder.write_panel = lambda *given: (print('busy', flush=True), time.sleep(60))"
    words = ["forecast", *scans(written_patient), "--target", "2020-06-29", "--out", str(tmp_path / "out"), *QUICK]
    code = f"{slow}\nimport sys; sys.argv = ['cronos', *{words!r}]; from CRONOSLib.cli import main; main()"
    pipe = subprocess.PIPE
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT / "CRONOSPredict",
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "busy\n"
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert stderr.strip() == "Stopped. Nothing half-written was left behind."
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_mistake_on_the_real_command_line_is_one_line_and_code_2(tmp_path: Path) -> None:
    words = ["forecast", "--scan", "2020-01-01=nowhere.nrrd", "--target", "2020-06-29", "--method", "lci"]
    ended = subprocess.run(
        [sys.executable, "-m", "CRONOSLib.cli", *words, "--out", str(tmp_path / "out")],
        cwd=ROOT / "CRONOSPredict",
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "does not exist" in ended.stderr
