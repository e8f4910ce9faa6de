"""Training: draws without leaks, runs that survive being killed, bundles that were measured."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.cohorts.manifest import read_cohort
from CRONOSLib.errors import CohortError, MethodError
from CRONOSLib.evaluation.held_out_forecast import skill_of
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.training.draws import (
    Draw,
    assemble,
    at_gain_of_last,
    collate,
    frozen_draws,
    random_draw,
)
from CRONOSLib.training.fit import fit
from CRONOSLib.training.held_out import evaluate
from CRONOSLib.training.patients import PreparedPatient, prepare_patients
from CRONOSLib.training.settings import TrainSettings

SMALL = {"network": {"unet": {"width": 8, "multipliers": [1, 2], "embedding": 16, "groups": 4}}}
SETTINGS = TrainSettings(
    steps=6,
    method_settings=SMALL,
    preprocessing=Preprocessing(GridSpec(spacing_mm=4.0)),
    time_scale=365.25,
    validate_every=2,
    precision="32-true",
    learning_rate=5e-3,
)


@pytest.fixture(scope="module")
def cohort(growing_cohort) -> Path:
    return growing_cohort


@pytest.fixture(scope="module")
def patients(cohort) -> list[PreparedPatient]:
    return prepare_patients(read_cohort(cohort), "train", SETTINGS.cohort_preprocessing())


@pytest.mark.parametrize("visits", [2, 3, 8])
def test_a_draw_never_shows_its_target(visits):
    generator = np.random.default_rng(0)
    draws = [random_draw(generator, visits, 4, 0.5) for _ in range(200)]
    assert all(draw.target not in draw.contexts and 1 <= len(draw.contexts) <= 4 for draw in draws)
    assert {draw.target for draw in draws} == set(range(1, visits))
    between = [draw for draw in draws if draw.target < max(draw.contexts)]
    assert bool(between) == (visits > 2)


def test_long_horizons_are_drawn_as_often_as_short_ones_whatever_the_number_of_contexts():
    generator = np.random.default_rng(0)
    draws = [random_draw(generator, 12, 6, 0.0) for _ in range(3000)]
    gaps = {many: [d.target - d.contexts[-1] for d in draws if (len(d.contexts) > 2) == many] for many in (True, False)}
    assert np.mean(gaps[True]) > 0.7 * np.mean(gaps[False])
    half = np.mean([draw.contexts[-1] < draw.target / 2 for draw in draws])
    assert half == pytest.approx(0.5, abs=0.1)


def test_frozen_draws_forecast_the_next_and_the_last_visit():
    draws = list(frozen_draws(4, 2))
    assert draws == [
        Draw((0,), 1), Draw((0,), 3), Draw((0, 1), 2), Draw((0, 1), 3), Draw((1, 2), 3)
    ]  # fmt: skip


def test_a_target_among_the_contexts_is_refused():
    with pytest.raises(CohortError, match="both context and target"):
        Draw((0, 1), 1)


@pytest.mark.parametrize("scope", ["each", "shared"])
def test_the_target_leaves_no_trace_in_the_contexts(patients, scope):
    patient = patients[0]
    bright = np.array(patient.visits)
    bright[2] += 50
    spec = IntensitySpec(scope=scope)
    contexts, target = patient.normalised((0, 1), 2, spec)
    same, brighter = replace(patient, visits=bright).normalised((0, 1), 2, spec)
    np.testing.assert_array_equal(contexts, same)
    assert (brighter - target).min() > 1


def test_times_count_from_the_last_context_in_the_methods_own_unit(patients):
    batch = assemble(patients[0], Draw((0, 1), 2), IntensitySpec(), time_scale=100.0)
    torch.testing.assert_close(batch.times, torch.tensor([[-0.5, 0.0]]))
    torch.testing.assert_close(batch.target_time, torch.tensor([0.9]))


def test_a_batch_pads_the_shorter_series(patients):
    one = assemble(patients[0], Draw((0,), 2), IntensitySpec(), 1.0)
    two = assemble(patients[1], Draw((0, 1), 2), IntensitySpec(), 1.0)
    batch = collate([one, two])
    assert batch.mask.tolist() == [[True, False], [True, True]]
    torch.testing.assert_close(batch.last_image[0], one.images[0, 0])


def test_a_trained_bundle_beats_copying_on_patients_it_never_saw(cohort, tmp_path):
    settings = replace(SETTINGS, steps=150, validate_every=75)
    result = fit(cohort, "cronos-continuous", tmp_path / "run", settings)
    assert result.test.low > 0.1
    assert result.test.patients == 2
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.skill == result.test
    assert bundle.training["manifest_sha256"] == read_cohort(cohort).manifest_sha256
    held_out = prepare_patients(read_cohort(cohort), "test", settings.cohort_preprocessing())
    assert skill_of(evaluate(load_method(bundle), held_out, settings), "test").mean == pytest.approx(result.test.mean)


TRAIN = """
import sys
from pathlib import Path
from CRONOSLib.training.fit import fit
from CRONOSLib.training.settings import TrainSettings
import json
fit(Path(sys.argv[1]), "cronos-continuous", Path(sys.argv[2]), TrainSettings.from_json(json.loads(sys.argv[3])))
"""


def test_a_killed_run_goes_on_to_the_same_weights(cohort, tmp_path):
    settings = replace(SETTINGS, steps=24, validate_every=2)
    command = [sys.executable, "-c", TRAIN, str(cohort), str(tmp_path / "killed"), json.dumps(settings.to_json())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    resumed = fit(cohort, "cronos-continuous", tmp_path / "killed", settings)
    whole = fit(cohort, "cronos-continuous", tmp_path / "whole", settings)
    killed_weights, whole_weights = (load_method(result.bundle).state_dict() for result in (resumed, whole))
    assert all(torch.equal(killed_weights[name], whole_weights[name]) for name in whole_weights)


def test_a_folder_of_another_run_is_refused(cohort, tmp_path):
    fit(cohort, "cronos-discrete", tmp_path, replace(SETTINGS, steps=2))
    with pytest.raises(CohortError, match="other settings or another cohort"):
        fit(cohort, "cronos-discrete", tmp_path, replace(SETTINGS, steps=4))


def test_what_learns_nothing_cannot_be_trained(cohort, tmp_path):
    with pytest.raises(CohortError, match="nothing to train"):
        fit(cohort, "lci", tmp_path / "run", SETTINGS)
    assert not (tmp_path / "run").exists()


def test_settings_survive_json_and_refuse_nonsense():
    assert TrainSettings.from_json(SETTINGS.to_json()) == SETTINGS
    with pytest.raises(MethodError, match="not understood"):
        TrainSettings.from_json({"stepps": 3})
    with pytest.raises(MethodError, match="must be 1 or more"):
        replace(SETTINGS, steps=0)


def test_a_gain_between_visits_is_no_change_to_learn(patients):
    batch = assemble(patients[0], Draw((0, 1), 2), IntensitySpec(), 1.0)
    brighter = replace(batch, target=1.2 * batch.target)
    torch.testing.assert_close(at_gain_of_last(brighter).target, at_gain_of_last(batch).target)
    same = at_gain_of_last(replace(batch, target=1.2 * batch.last_image))
    torch.testing.assert_close(same.target, batch.last_image)
