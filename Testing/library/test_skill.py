"""Skill is measured per patient and its interval is over patients."""

from __future__ import annotations

import numpy as np
import pytest
from CRONOSLib.errors import CohortError
from CRONOSLib.evaluation.skill import patient_skill, pooled_skill, skill_over_patients


def test_copying_the_last_scan_has_skill_zero() -> None:
    skill = skill_over_patients([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (skill.mean, skill.low, skill.high) == (0, 0, 0)


def test_a_perfect_forecast_has_skill_one() -> None:
    assert skill_over_patients([0.0, 0.0], [0.1, 0.2]).mean == 1


def test_every_patient_counts_alike_whatever_their_change() -> None:
    skills = patient_skill([0.5, 100.0], [1.0, 100.0])
    assert skills.tolist() == [0.5, 0.0]
    assert skill_over_patients([0.5, 100.0], [1.0, 100.0]).mean == 0.25


def test_a_patient_in_whom_nothing_changed_does_not_decide_the_pooled_skill() -> None:
    lci = np.array([1e-6, 1.0, 2.0, 3.0])
    error = np.array([1e-4, 0.5, 1.0, 1.5])
    assert skill_over_patients(error, lci).mean < -20
    pooled = pooled_skill(error, lci)
    assert pooled.mean == pytest.approx(0.5, abs=1e-3)
    assert 0.45 < pooled.low <= pooled.mean <= pooled.high < 0.55
    with pytest.raises(CohortError):
        pooled_skill([], [])


def test_the_interval_agrees_with_the_normal_one_for_many_patients() -> None:
    generator = np.random.default_rng(3)
    error = generator.uniform(0.2, 1.0, 400)
    skill = skill_over_patients(error, np.ones(400), split="test")
    half_width = 1.96 * error.std() / np.sqrt(400)
    assert skill.low == pytest.approx(skill.mean - half_width, abs=0.1 * half_width)
    assert skill.high == pytest.approx(skill.mean + half_width, abs=0.1 * half_width)
    assert (skill.patients, skill.split) == (400, "test")


def test_the_seed_alone_decides_the_interval() -> None:
    error, lci = np.linspace(0.1, 1.2, 12), np.ones(12)
    assert skill_over_patients(error, lci, seed=1) == skill_over_patients(error, lci, seed=1)
    assert skill_over_patients(error, lci, seed=1) != skill_over_patients(error, lci, seed=2)


@pytest.mark.parametrize(
    ("error", "lci", "complaint"),
    [
        ([], [], "no patient"),
        ([0.1], [0.1, 0.2], "one pair per patient"),
        ([0.1, 0.1], [0.1, 0.0], "Patient 1"),
        ([np.nan], [0.1], "finite"),
    ],
)
def test_what_has_no_skill_is_said(error: list[float], lci: list[float], complaint: str) -> None:
    with pytest.raises(CohortError, match=complaint):
        skill_over_patients(error, lci)
