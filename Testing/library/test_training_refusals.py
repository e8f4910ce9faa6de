"""Runs that are refused, and what is left of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from CRONOSLib.cohorts.manifest import read_cohort, write_cohort
from CRONOSLib.errors import CohortError, MethodError, OutputError
from CRONOSLib.methods.registry import create_method
from CRONOSLib.training.batches import Batches
from CRONOSLib.training.checkpoints import WholeCheckpoints
from CRONOSLib.training.fit import fit
from CRONOSLib.training.patients import prepare_patients
from CRONOSLib.training.run_folder import RunFolder, RunState
from CRONOSLib.training.settings import AugmentationSettings
from small_run import METHOD, SETTINGS, stop_at


def test_two_patients_are_too_few(own_cohort: Path, tmp_path: Path) -> None:
    known = read_cohort(own_cohort)
    write_cohort(own_cohort, known.patients[:2], name="two")
    with pytest.raises(CohortError, match="No patient of 'cohort' in the validation split has two visits"):
        fit(own_cohort, METHOD, tmp_path / "run", SETTINGS)
    status = RunFolder(tmp_path / "run").status()
    assert status is not None
    assert status.state is RunState.FAILED
    assert "validation split" in status.message


def test_a_scan_in_two_splits_is_refused(own_cohort: Path, tmp_path: Path) -> None:
    shutil.copy(own_cohort / "sub-00" / "day-140.nrrd", own_cohort / "sub-09" / "day-140.nrrd")
    with pytest.raises(CohortError, match=r"'sub-09' at time 140 \(test split\) is also one of patient 'sub-00'"):
        fit(own_cohort, METHOD, tmp_path / "run", SETTINGS)


def test_a_scan_twice_in_a_patient_is_refused(own_cohort: Path, tmp_path: Path) -> None:
    shutil.copy(own_cohort / "sub-03" / "day-0.nrrd", own_cohort / "sub-03" / "day-140.nrrd")
    with pytest.raises(CohortError, match="'sub-03' at time 140"):
        fit(own_cohort, METHOD, tmp_path / "run", SETTINGS)


def test_a_loss_that_is_no_number_names_the_patients_and_keeps_the_checkpoint(own_cohort: Path, tmp_path: Path) -> None:
    """A broken voxel in a prepared patient, after the first validation."""
    folder = RunFolder(tmp_path / "run")
    stop_at(3, folder.ask_to_stop, folder, own_cohort)
    before = folder.last.read_bytes()
    settings = replace(SETTINGS, time_scale=365.25)
    patients = prepare_patients(read_cohort(own_cohort), "train", settings.cohort_preprocessing())
    broken = Batches(patients, settings).subjects(3)[0]
    (file,) = own_cohort.glob(f"prepared/*/{broken}/visits.npy")
    visits = np.load(file)
    visits[..., 4, 4, 4] = np.nan
    np.save(file, visits)
    with pytest.raises(CohortError, match=rf"step 4 is no finite number; its patients are .*{broken}"):
        fit(own_cohort, METHOD, folder.path, SETTINGS)
    assert folder.last.read_bytes() == before
    status = folder.status()
    assert status is not None
    assert status.state is RunState.FAILED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"step": 1}, path)
    (tmp_path / ".last.ckpt.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="Free space"):
        WholeCheckpoints().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_cohort_that_was_made_anew_is_another_one(own_cohort: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    stop_at(3, folder.ask_to_stop, folder, own_cohort)
    known = read_cohort(own_cohort)
    write_cohort(own_cohort, known.patients[1:], name="smaller")
    with pytest.raises(CohortError, match="another cohort"):
        fit(own_cohort, METHOD, folder.path, SETTINGS)


def test_other_settings_are_named(finished_run: RunFolder, growing_cohort: Path) -> None:
    other = replace(SETTINGS, learning_rate=1e-3, augmentation=AugmentationSettings(noise=0.1))
    with pytest.raises(CohortError, match=r"settings.augmentation.noise, settings.learning_rate"):
        fit(growing_cohort, METHOD, finished_run.path, other)


@pytest.mark.parametrize(("spoil", "sentence"), [("other", "another configuration"), ("cut", "damaged")])
def test_a_checkpoint_that_is_not_of_this_run_is_refused(
    finished_run: RunFolder, growing_cohort: Path, tmp_path: Path, spoil: str, sentence: str
) -> None:
    folder = RunFolder(Path(shutil.copytree(finished_run.path, tmp_path / "run")))
    if spoil == "cut":
        folder.last.write_bytes(finished_run.last.read_bytes()[:1000])
    else:
        wider = create_method(METHOD, {"network": {"unet": {"width": 8}}})
        state = {f"method.{name}": value for name, value in wider.state_dict().items()}
        torch.save({"state_dict": state}, folder.last)
    with pytest.raises(CohortError, match=sentence):
        fit(growing_cohort, METHOD, folder.path, SETTINGS)


@pytest.mark.parametrize("wrong", [{"ema": 1.0}, {"accumulate": 0}, {"batch_size": -1}, {"time_scale": -1.0}])
def test_settings_without_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(MethodError, match=next(iter(wrong))):
        replace(SETTINGS, **wrong)
