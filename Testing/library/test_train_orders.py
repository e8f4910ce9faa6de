"""Trainings that are ordered from the console or a shell, in processes of their own, and what becomes of them."""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
from pathlib import Path

import pytest
from CRONOSLib.bundles.store import install_bundle, load_bundle
from CRONOSLib.errors import CohortError, CronosError, MethodError
from CRONOSLib.training.detached import FollowedRun, begin
from CRONOSLib.training.order import TrainingOrder, order_of
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus
from small_training import SMALL

EXAMPLE = Path(__file__).resolve().parents[2] / "CRONOSTrain" / "Resources" / "Examples" / "train_model.py"


def load_train_module():
    """CRONOSTrain as the application has it, once the host is open."""
    import slicerhost

    return slicerhost.load_module("CRONOSTrain")


def test_the_example_trains_on_mere_patients(host, dated_patients: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    config = {"cohort": str(dated_patients), "out": str(tmp_path / "run"), "settings": {**SMALL, "steps": 4}}
    config["settings"] |= {"preprocessing": {"grid": {"spacing_mm": 6.0}, "alignment": "off"}}
    (tmp_path / "train.json").write_text(json.dumps(config))
    load_train_module()
    left: list[int] = []
    monkeypatch.setattr("slicer.util.exit", left.append)
    monkeypatch.setattr(sys, "argv", ["train_model.py", str(tmp_path / "train.json")])
    runpy.run_path(str(EXAMPLE))
    said = capsys.readouterr()
    assert left == [0], said.err
    assert f"{tmp_path / 'run' / 'bundle'}: skill " in said.out
    assert load_bundle(tmp_path / "run" / "bundle").training["patients"] == 2
    runpy.run_path(str(EXAMPLE))
    assert left == [0, 2]
    assert "finished run" in capsys.readouterr().err


def test_a_run_from_the_console_that_is_done_or_differs_is_not_touched(
    host, finished_training: Path, growing_cohort: Path
) -> None:
    train = load_train_module().CRONOSTrainLogic().train
    with pytest.raises(CohortError, match="finished run"):
        train({"cohort": growing_cohort, "out": finished_training})
    with pytest.raises(MethodError, match="has no 'stepps'"):
        train({"cohort": growing_cohort, "out": finished_training, "stepps": 3})
    with pytest.raises(MethodError, match="not understood"):
        train({"cohort": growing_cohort, "out": finished_training, "settings": {"stepps": 3}})
    assert RunFolder(finished_training).status().state is RunState.DONE


def test_a_run_started_from_a_shell_is_followed_by_its_own_record(finished_training: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text((finished_training / "run.json").read_text())
    order = order_of(RunFolder(tmp_path))
    assert order is not None
    assert (order.method, order.out) == ("cronos-continuous", tmp_path)
    assert order.settings["steps"] == 20


@pytest.mark.parametrize("launcher", ["", "error: [PythonSlicer] exit abnormally - Report the problem."])
def test_a_process_that_ends_without_a_word_is_told_by_its_last_one(tmp_path: Path, monkeypatch, launcher: str) -> None:
    """Slicer's launcher has the very last word of a Python that was killed, and nothing to say."""
    lines = f"no such thing\n{launcher}"
    says = [sys.executable, "-c", f"import sys; print({lines!r}, file=sys.stderr); sys.exit(1)"]
    monkeypatch.setattr("CRONOSLib.training.detached.training_command", lambda *words: says)
    run = begin(TrainingOrder(tmp_path / "cohort", tmp_path / "run"))
    with pytest.raises(CronosError, match=r"ended before the run did\..* last words: no such thing"):
        run.wait(lambda status: None)


@pytest.mark.parametrize(
    ("state", "age", "alive"), [("preparing", 5, True), ("preparing", 90, False), ("training", 5, False)]
)
def test_a_run_of_another_process_lives_while_it_starts_or_holds_its_lock(tmp_path, state, age, alive) -> None:
    folder = RunFolder(tmp_path)
    told = folder.say(RunStatus(RunState(state), 3, 10))
    folder.status_file.write_text(
        json.dumps(json.loads(folder.status_file.read_text()) | {"updated": told.updated - age})
    )
    run = FollowedRun(folder)
    assert run.alive == alive
    assert run.status.state is (told.state if alive else RunState.STOPPED)
    with folder.held():
        assert run.alive


def test_a_bundle_is_installed_once_under_a_name_of_its_own(
    finished_training: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("CRONOS_BUNDLES", str(tmp_path / "bundles"))
    bundle = load_bundle(finished_training / "bundle")
    first = install_bundle(bundle)
    assert install_bundle(bundle) == load_bundle(first.name) == first
    assert first.path == tmp_path / "bundles" / "cronos-continuous-growing-heads"
    weights = bytearray((finished_training / "bundle" / "weights.safetensors").read_bytes())
    other = tmp_path / "other"
    other.mkdir()
    weights[-1] ^= 1
    (other / "weights.safetensors").write_bytes(weights)
    description = {**bundle.to_json(), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    (other / "bundle.json").write_text(json.dumps(description))
    assert install_bundle(load_bundle(other)).name == "cronos-continuous-growing-heads-2"
