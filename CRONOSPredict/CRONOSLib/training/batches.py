"""The batches of a run: each a function of the seed, the step and its number within the step, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import IterableDataset

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.training.draws import Draw, assemble, at_gain_of_last, collate, random_draw
from CRONOSLib.training.patients import PreparedPatient
from CRONOSLib.training.settings import TrainSettings


@dataclass(frozen=True)
class TrainingBatch:
    """Patients of one batch, before augmentation.

    series: as drawn, on the device that trains
    seed:   of everything that is random about this batch from here on
    single: which patients have one scan only, that stands at every time until a change is made up
    """

    series: SeriesBatch
    seed: int
    single: tuple[bool, ...] = ()

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same batch on another device."""
        return replace(self, series=self.series.to(device))


class Batches:
    """What a run draws; the same in every process, which takes its share.

    A step is `accumulate` batches. Whether one process computes them one after the other or several at the same time
    makes no difference to what they are. A patient with one scan takes the times of another one.
    """

    def __init__(self, patients: Sequence[PreparedPatient], settings: TrainSettings) -> None:
        self.patients = patients
        self.settings = settings
        self._several = [patient for patient in patients if len(patient.times) > 1]
        self._single = {patient.subject for patient in patients if len(patient.times) == 1}

    def batch(self, step: int, number: int) -> TrainingBatch:
        """Batch `number`, from 0 to accumulate − 1, of a step."""
        settings = self.settings
        drawn = list(self._drawn(step, number))
        series = [
            assemble(patient, draw, settings.preprocessing.intensity, settings.time_scale) for patient, draw in drawn
        ]
        batch = collate(series)
        seed = np.random.SeedSequence([settings.seed, step, number, 1]).generate_state(1, np.uint64)
        matched = settings.match_gain and settings.preprocessing.intensity.scope == "each"
        single = tuple(patient.subject in self._single for patient, _ in drawn)
        return TrainingBatch(at_gain_of_last(batch) if matched else batch, int(seed[0]), single)

    def subjects(self, step: int) -> list[str]:
        """Names of the patients of a step, each once."""
        drawn = [patient for number in range(self.settings.accumulate) for patient, _ in self._drawn(step, number)]
        return sorted({patient.subject for patient in drawn})

    def _drawn(self, step: int, number: int) -> Iterator[tuple[PreparedPatient, Draw]]:
        settings = self.settings
        generator = np.random.default_rng([settings.seed, step, number])
        for _ in range(settings.batch_size):
            patient = self.patients[int(generator.integers(len(self.patients)))]
            if patient.subject in self._single:
                patient = patient.repeated(self._several[int(generator.integers(len(self._several)))].times)
            yield patient, random_draw(generator, len(patient.times), settings.max_context, settings.interpolation)


class Steps(IterableDataset):
    """The steps of a run from `first` on, each as the batches that fall to one process."""

    def __init__(self, batches: Batches, first: int, rank: int = 0, world: int = 1) -> None:
        self.batches = batches
        self.first = first
        self.mine = range(rank, batches.settings.accumulate, world)

    def __iter__(self) -> Iterator[list[TrainingBatch]]:
        for step in range(self.first, self.batches.settings.steps):
            yield [self.batches.batch(step, number) for number in self.mine]
