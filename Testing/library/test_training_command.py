from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from CRONOSLib.cli import app
from CRONOSLib.cohorts.usual_settings import write_usual_settings
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.training.command import command_again
from CRONOSLib.training.settings import AugmentationSettings, TrainSettings
from typer.testing import CliRunner

FAR_FROM_USUAL = TrainSettings(
    steps=12,
    preset="paper",
    seed=7,
    batch_size=0,
    accumulate=4,
    learning_rate=1e-4,
    precision="32-true",
    every_draw=False,
    augmentation=AugmentationSettings(rotation=10.0),
    preprocessing=Preprocessing(GridSpec(spacing_mm=(5.0, 5.0, 10.0))),
    method_settings={"network": {"unet": {"width": 8, "multipliers": [1, 2]}}},
)


@pytest.mark.parametrize("settings", [TrainSettings(), FAR_FROM_USUAL])
def test_what_a_bundle_says_trains_it_again(settings, tmp_path, monkeypatch):
    cohort = tmp_path / "hearts of ours"
    cohort.mkdir()
    write_usual_settings(cohort, {"augmentation": {"flip": False}, "max_context": 3})
    words = shlex.split(command_again(cohort, "cronos-continuous", settings))
    orders = []
    monkeypatch.setattr("CRONOSLib.commands.train._train", lambda order, device: orders.append(order))
    words[words.index("--cohort") + 1] = str(cohort)
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert orders[0].settings.to_json() == settings.to_json()
    assert (orders[0].cohort, orders[0].method) == (cohort, "cronos-continuous")


def test_what_is_usual_for_a_cohort_is_not_said(tmp_path: Path):
    usual = replace(TrainSettings(), max_context=3)
    write_usual_settings(tmp_path, {"max_context": 3})
    assert "--set" not in command_again(tmp_path, "tfm", usual)
