"""Which patients a method learns from, is chosen on and is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from CRONOSLib.errors import CohortError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Shares:
    """Parts of the patients that go to each split; they add up to 1, and each is above 0.

    Raises CohortError when they do not.
    """

    train: float = 0.70
    validation: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        if min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
            said = "/".join(f"{100 * part:g}" for part in parts)
            raise CohortError(f"The split {said} does not share out 100 %. Use, for example, 70/15/15.")


USUAL_SHARES = Shares()


def draw_splits(patients: int, seed: int, shares: Shares = USUAL_SHARES) -> list[str]:
    """Split of every patient, shuffled by the seed.

    From three patients on, each split has at least one.
    """
    validation = max(round(shares.validation * patients), 1 if patients >= 3 else 0)
    test = max(round(shares.test * patients), 1 if patients >= 3 else 0)
    splits = ["validation"] * validation + ["test"] * test + ["train"] * (patients - validation - test)
    order = np.random.default_rng([seed, 70_15_15]).permutation(patients)
    return [splits[place] for place in order]


def complete_splits(official: Mapping[str, str | None], seed: int, shares: Shares = USUAL_SHARES) -> dict[str, str]:
    """Split of every patient, where a data set may have assigned some of them.

    Official test patients stay test patients. The others are drawn: validation in its proportion to train when there
    is an official test split, all three splits when there is none. Validation patients are never official test ones.

    official: subject -> "train", "validation", "test", or None where the data set leaves it open

    Raises CohortError when no patient would be left to learn from or to choose on.
    """
    if "test" not in official.values():
        subjects = sorted(official)
        return dict(zip(subjects, draw_splits(len(subjects), seed, shares)))
    made = {subject: split for subject, split in official.items() if split in ("validation", "test")}
    rest = sorted(subject for subject in official if subject not in made)
    if len(rest) < 2:
        raise CohortError("All but one of the patients are official test patients. Add patients of the training part.")
    wanted = 0 if "validation" in made.values() else max(1, round(len(rest) * shares.validation / (1 - shares.test)))
    order = np.random.default_rng([seed, 70_15_15]).permutation(len(rest))
    drawn = {rest[place] for place in order[:wanted]}
    return made | {subject: "validation" if subject in drawn else "train" for subject in rest}
