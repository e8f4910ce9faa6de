"""Runs: what they leave in their folder, how they stop and go on, what they refuse."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.cli import app
from CRONOSLib.cohorts.manifest import Cohort, Patient, Visit, read_cohort, write_cohort
from CRONOSLib.commands.settings_words import with_words
from CRONOSLib.errors import CohortError, MethodError, OutOfMemoryError, TrainingStopped
from CRONOSLib.methods.registry import create_method
from CRONOSLib.series import TimeUnit
from CRONOSLib.training.augmentation import augment
from CRONOSLib.training.averaging import moving_average
from CRONOSLib.training.batches import Batches, Steps
from CRONOSLib.training.fit import fit
from CRONOSLib.training.memory import MemoryEstimate, estimate_memory
from CRONOSLib.training.module import TrainedMethod
from CRONOSLib.training.patients import prepare_patients
from CRONOSLib.training.processes import Processes
from CRONOSLib.training.run_folder import RunFolder, RunState, RunStatus
from CRONOSLib.training.settings import AugmentationSettings, TrainSettings
from CRONOSLib.training.time_scale import time_scale_of
from small_run import METHOD, SETTINGS, stop_at
from torch.optim.swa_utils import AveragedModel
from typer.testing import CliRunner


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_method(load_bundle(folder.bundle)).state_dict()


def same(first: RunFolder, second: RunFolder) -> bool:
    one, other = weights(first), weights(second)
    return all(torch.equal(one[name], other[name]) for name in other)


def rows(folder: RunFolder) -> list[dict[str, str]]:
    with folder.metrics.open() as file:
        return list(csv.DictReader(file))


# --- the folder ---------------------------------------------------------------------------------------------------


def test_a_finished_run_says_so_and_draws_its_curves(finished_run: RunFolder) -> None:
    status = finished_run.status()
    assert status is not None
    assert (status.state, status.step, status.steps, status.pid) == (RunState.DONE, 6, 6, os.getpid())
    assert status.best_skill == pytest.approx(
        max(float(row["validation_skill"]) for row in rows(finished_run)), rel=1e-5
    )
    assert [row["step"] for row in rows(finished_run)] == ["3", "6"]
    assert not finished_run.runs
    assert "validation skill" in (finished_run.path / "log.txt").read_text()


def test_what_the_run_says_moves_forward(growing_cohort: Path, tmp_path: Path) -> None:
    heard: list[RunStatus] = []
    fit(growing_cohort, METHOD, tmp_path, replace(SETTINGS, steps=1, validate_every=1), on_status=heard.append)
    states = [status.state for status in heard]
    assert sorted(states, key=list(RunState).index) == states
    assert set(states) == {RunState.PREPARING, RunState.TRAINING, RunState.EVALUATING, RunState.DONE}


def test_the_record_repeats_the_run(finished_run: RunFolder, tmp_path: Path) -> None:
    again = RunFolder(tmp_path / "again")
    words = ["train", "--config", str(finished_run.record), "--out", str(again.path)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert same(finished_run, again)


def test_a_setting_that_is_typed_leaves_what_lies_beside_it(growing_cohort: Path, tmp_path: Path) -> None:
    known = {"preprocessing": {"grid": {"spacing_mm": 3.0, "multiple": 4}, "alignment": "off"}}
    typed = with_words(known, ["preprocessing.grid.spacing_mm=4", "precision=32-true", "augmentation.flip=false"])
    assert typed["preprocessing"] == {"grid": {"spacing_mm": 4, "multiple": 4}, "alignment": "off"}
    assert (typed["precision"], typed["augmentation"]) == ("32-true", {"flip": False})
    for word, sentence in (("steps", "--set NAME=VALUE"), ("stepps=3", "stepps"), ("precision.x=1", "single value")):
        words = [
            "train",
            "--cohort",
            str(growing_cohort),
            "--out",
            str(tmp_path / "run"),
            "--set",
            "precision=x",
            "--set",
            word,
        ]
        result = CliRunner().invoke(app, words)
        assert (result.exit_code, sentence in result.stderr) == (2, True), result.output


def test_a_run_that_is_stopped_by_a_file_goes_on_to_the_same_weights(
    finished_run: RunFolder, growing_cohort: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "stopped")
    stop_at(4, folder.ask_to_stop, folder, growing_cohort)
    assert int(rows(folder)[-1]["step"]) == 3
    fit(growing_cohort, METHOD, folder.path, SETTINGS)
    assert same(folder, finished_run)
    assert [row["step"] for row in rows(folder)] == ["3", "6"]


def test_a_run_that_is_terminated_goes_on_to_the_same_weights(
    finished_run: RunFolder, growing_cohort: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "terminated")
    stop_at(2, lambda: os.kill(os.getpid(), signal.SIGTERM), folder, growing_cohort)
    fit(growing_cohort, METHOD, folder.path, SETTINGS)
    assert same(folder, finished_run)


def test_a_stop_that_is_asked_while_a_run_starts_is_heard_once(growing_cohort: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.ask_to_stop()
    with pytest.raises(TrainingStopped, match="goes on from here"):
        fit(growing_cohort, METHOD, folder.path, replace(SETTINGS, steps=1))
    assert not folder.stop_file.exists()
    assert fit(growing_cohort, METHOD, folder.path, replace(SETTINGS, steps=1)) is not None


def test_two_processes_do_not_train_in_one_folder(growing_cohort: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.held():
        assert folder.runs
        with pytest.raises(CohortError, match="Another process"):
            fit(growing_cohort, METHOD, tmp_path, SETTINGS)
    assert folder.status() is None


def test_a_run_without_better_skill_ends_early(growing_cohort: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=50, validate_every=1, patience=2, learning_rate=0.0)
    fit(growing_cohort, METHOD, tmp_path, settings)
    assert [int(row["step"]) for row in rows(RunFolder(tmp_path))] == [1, 2, 3]


def test_checkpoints_come_by_the_clock_too(growing_cohort: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "timed")
    settings = replace(SETTINGS, validate_every=6, checkpoint_minutes=1e-9)
    seen = []
    compute = TrainedMethod.training_step

    def seen_before(method: TrainedMethod, *batches) -> None:
        seen.append(folder.last.exists())
        compute(method, *batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainedMethod, "training_step", seen_before)
        fit(growing_cohort, METHOD, folder.path, settings)
    assert seen == [False, True, True, True, True, True]


# --- the weights --------------------------------------------------------------------------------------------------


def test_averaged_weights_follow_their_formula() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(layer, avg_fn=moving_average(0.3))
    expected = 0.0
    for count, value in enumerate((1.0, 2.0, 5.0, -3.0)):
        layer.weight.data.fill_(value)
        average.update_parameters(layer)
        decay = min(0.3, (1 + count) / (10 + count)) if count else 0.0
        expected = decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)


def test_the_bundle_holds_the_averaged_weights(finished_run: RunFolder) -> None:
    checkpoint = torch.load(finished_run.best, weights_only=True)
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert any(not torch.equal(averaged[name], current[name]) for name in current)
    for name, value in weights(finished_run).items():
        assert torch.equal(value, averaged[f"method.{name}"].half().float())


def test_fine_tuning_starts_from_the_weights_of_the_bundle(
    finished_run: RunFolder, growing_cohort: Path, tmp_path: Path
) -> None:
    source = str(finished_run.bundle)
    settings = TrainSettings(
        steps=1, start_from=source, learning_rate=0.0, every_draw=False, precision="32-true", batch_size=1
    )
    result = fit(growing_cohort, METHOD, tmp_path / "tuned", settings)
    assert same(RunFolder(tmp_path / "tuned"), finished_run)
    assert result is not None
    assert result.bundle.training["started_from_sha256"] == load_bundle(finished_run.bundle).weights_sha256
    assert result.bundle.preprocessing == SETTINGS.preprocessing
    with pytest.raises(MethodError, match="of method 'cronos-continuous'"):
        fit(growing_cohort, "cronos-discrete", tmp_path / "other", settings)


def test_every_process_takes_its_share_of_the_same_batches(growing_cohort: Path) -> None:
    settings = replace(SETTINGS, accumulate=4, time_scale=100.0)
    batches = Batches(prepare_patients(read_cohort(growing_cohort), "train", settings.cohort_preprocessing()), settings)
    (alone,) = list(Steps(batches, first=5))
    shared = [next(iter(Steps(batches, first=5, rank=rank, world=2))) for rank in (0, 1)]
    interleaved = [batch for pair in zip(*shared) for batch in pair]
    assert [batch.seed for batch in interleaved] == [batch.seed for batch in alone]
    assert all(torch.equal(one.series.target, other.series.target) for one, other in zip(interleaved, alone))


def test_a_patient_with_one_scan_learns_at_the_times_of_others(own_cohort: Path, tmp_path: Path) -> None:
    known = read_cohort(own_cohort)
    (first, *others) = known.patients
    write_cohort(own_cohort, [replace(first, visits=first.visits[:1]), *others], name="single")
    synthetic = replace(SETTINGS, augmentation=AugmentationSettings(synthetic=1e-6), time_scale=365.25, batch_size=4)
    cohort, preprocessing = read_cohort(own_cohort), SETTINGS.cohort_preprocessing()
    assert len(prepare_patients(cohort, "train", preprocessing)) == 5
    patients = prepare_patients(cohort, "train", preprocessing, single_scans=True)
    batches = Batches(patients, synthetic)
    batch = next(batch for number in range(50) if any((batch := batches.batch(number, 0)).single))
    row = batch.single.index(True)
    torch.testing.assert_close(batch.series.last_image[row], batch.series.target[row])
    gaps = {round(b - a) for patient in patients for a in patient.times for b in patient.times} - {0}
    assert round(float(batch.series.target_time[row]) * 365.25) in gaps
    grown = augment(batch.series, synthetic.augmentation, torch.Generator().manual_seed(0), batch.single)
    assert not torch.allclose(grown.target[row], grown.last_image[row])
    result = fit(own_cohort, METHOD, tmp_path / "run", replace(synthetic, steps=2, time_scale=0.0))
    assert result is not None
    assert result.bundle.training["patients"] == 6


RUN = "import sys; from CRONOSLib.cli import main; main()"


def free_port() -> int:
    """From 15000 on, where SLURM's jobs meet by the last digits of their number."""
    for port in range(15000 + os.getpid() % 5000, 25000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("every port is taken")


def torchrun(rank: str, port: int) -> dict[str, str]:
    """What torchrun tells one of two processes."""
    return {
        "TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": rank, "LOCAL_RANK": rank,
    }  # fmt: skip


def srun(rank: str, port: int) -> dict[str, str]:
    """What srun tells one of two processes; where they meet follows from it."""
    return {
        "SLURM_JOB_ID": str(port - 15000), "SLURM_JOB_NAME": "train", "SLURM_STEP_ID": "0", "SLURM_NNODES": "1",
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost",
        "SLURM_PROCID": rank, "SLURM_LOCALID": rank,
    }  # fmt: skip


@pytest.mark.parametrize("starter", [torchrun, srun])
def test_two_processes_learn_what_one_learns(
    finished_run: RunFolder, tmp_path: Path, starter: Callable[[str, int], dict[str, str]]
) -> None:
    """Over gloo: a step of two batches, one in each."""
    folder, port = RunFolder(tmp_path / "two"), free_port()
    common = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN, "train", "--config", str(finished_run.record), "--out", str(folder.path)]
    processes = [
        subprocess.Popen(
            command, env=common | starter(rank, port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    for name, value in weights(finished_run).items():
        torch.testing.assert_close(weights(folder)[name], value, rtol=0, atol=1e-3)
    for two, one in zip(rows(folder), rows(finished_run)):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-5)


def test_processes_know_their_place_under_torchrun_and_slurm() -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert Processes.of_environment(torchrun) == Processes(5, 8, 1, 2)
    slurm = {"SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NNODES": "2"}
    assert Processes.of_environment({**slurm, "SLURM_STEP_ID": "0"}) == Processes(5, 8, 1, 2)
    assert Processes.of_environment(slurm) == Processes()  # an allocation, but nothing was started in it by srun
    with pytest.raises(MethodError, match="Set 'accumulate' to 8"):
        replace(SETTINGS, accumulate=4).check_shares(8)


# --- memory and time ----------------------------------------------------------------------------------------------


def test_memory_is_told_from_a_small_piece() -> None:
    method = create_method(METHOD, SETTINGS.method_settings)
    small, large = (
        estimate_memory(method, (1, 32, 32, depth), 3, SETTINGS, torch.device("cpu")).per_patient for depth in (32, 64)
    )
    assert large == pytest.approx(2 * small, rel=0.01)
    more_scans = estimate_memory(method, (1, 32, 32, 32), 6, SETTINGS, torch.device("cpu"))
    assert 1.3 * small < more_scans.per_patient < 3 * small


def test_a_batch_fills_the_memory_but_not_more() -> None:
    estimate = MemoryEstimate(fixed=100, per_patient=100, free=1000)
    assert estimate.of(estimate.batch_size(50)) <= 1000 < estimate.of(estimate.batch_size(50) + 3)
    assert estimate.batch_size(3) == 3
    with pytest.raises(OutOfMemoryError, match="coarser grid"):
        replace(estimate, free=150).batch_size(50)


def test_an_automatic_batch_is_recorded_and_kept(growing_cohort: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=1, batch_size=0)
    fit(growing_cohort, METHOD, tmp_path, settings)
    chosen = json.loads((tmp_path / "run.json").read_text())["settings"]["batch_size"]
    assert chosen == 6  # as many as there are
    assert "batches of 6" in (tmp_path / "log.txt").read_text()
    fit(growing_cohort, METHOD, tmp_path, settings)


def cohort_in(unit: TimeUnit, *times: tuple[float, ...]) -> Cohort:
    patients = (
        Patient(f"sub-{number}", "train", tuple(Visit(time, Path(f"{number}-{time}")) for time in each))
        for number, each in enumerate(times)
    )
    return Cohort(Path("nowhere"), "cohort", unit, tuple(patients), "")


def test_networks_count_years_or_whole_beats() -> None:
    assert time_scale_of(cohort_in(TimeUnit.DAY, (0, 40))) == 365.25
    assert time_scale_of(cohort_in(TimeUnit.YEAR, (0, 40))) == 1
    beats = cohort_in(TimeUnit.MILLISECOND, (0, 200, 400), (10, 510), (0, 900))
    assert time_scale_of(beats) == 500


def test_a_bundle_counts_as_its_cohort_does(own_cohort: Path, tmp_path: Path) -> None:
    seconds = read_cohort(own_cohort)
    write_cohort(own_cohort, seconds.patients, name="seconds", unit=TimeUnit.SECOND)
    result = fit(own_cohort, METHOD, tmp_path / "run", replace(SETTINGS, steps=1))
    assert result is not None
    assert (result.bundle.time_unit, result.bundle.time_scale) == (TimeUnit.SECOND, 140.0)
