"""Which visits of a patient are contexts, and which is the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from CRONOSLib.errors import CohortError
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.training.patients import PreparedPatient


@dataclass(frozen=True)
class Draw:
    """Indices of visits: contexts ascending, and a target that is none of them."""

    contexts: tuple[int, ...]
    target: int

    def __post_init__(self) -> None:
        if self.target in self.contexts:
            raise CohortError(f"Visit {self.target} is both context and target. Leave it out of the contexts.")


def random_draw(generator: np.random.Generator, visits: int, max_context: int, interpolation: float) -> Draw:
    """Any number of contexts at any gaps; the target after all of them, or between with probability `interpolation`.

    A target and the last context before it are drawn first, both evenly, so that long horizons are as usual as short
    ones, with many contexts as with few.
    """
    if visits > 2 and generator.random() < interpolation:
        target = int(generator.integers(1, visits - 1))
        others = [visit for visit in range(visits) if visit != target]
        return Draw(_chosen(generator, others, 1, max_context), target)
    target = int(generator.integers(1, visits))
    last = int(generator.integers(target))
    return Draw((*_chosen(generator, range(last), 0, max_context - 1), last), target)


def _chosen(generator: np.random.Generator, visits: Sequence[int], fewest: int, most: int) -> tuple[int, ...]:
    """Any number of these visits between the two, ascending."""
    count = int(generator.integers(fewest, min(most, len(visits)) + 1))
    return tuple(sorted(int(visit) for visit in generator.choice(visits, size=count, replace=False)))


def frozen_draws(visits: int, max_context: int) -> Iterator[Draw]:
    """The draws of an evaluation: from the first k visits, the next one and the last one, for every k."""
    for count in range(1, visits):
        contexts = tuple(range(max(0, count - max_context), count))
        for target in sorted({count, visits - 1}):
            yield Draw(contexts, target)


def spread_draws(visits: int, max_context: int, count: int) -> Iterator[Draw]:
    """`count` draws that forecast the last visit, from the first k visits with k spread evenly up to all before it.

    Fewer when there are fewer visits. So a patient is asked at `count` horizons, whatever the number of visits.
    """
    known = np.linspace(0, visits - 1, count + 1)[1:].round().astype(int).clip(min=1)
    for k in sorted(set(known.tolist())):
        yield Draw(tuple(range(max(0, k - max_context), k)), visits - 1)


def assemble(patient: PreparedPatient, draw: Draw, spec: IntensitySpec, time_scale: float) -> SeriesBatch:
    """A batch of one. Times count from the last context, in units of `time_scale` (above 0)."""
    assert time_scale > 0, "Settings are completed for a cohort by `time_scale_of`."
    images, target = patient.normalised(draw.contexts, draw.target, spec)
    times = patient.times / time_scale
    origin = times[max(draw.contexts)]
    return SeriesBatch(
        images=torch.from_numpy(images)[None],
        times=torch.as_tensor(times[list(draw.contexts)] - origin, dtype=torch.float32)[None],
        mask=torch.ones(1, len(draw.contexts), dtype=torch.bool),
        target_time=torch.tensor([times[draw.target] - origin], dtype=torch.float32),
        target=torch.from_numpy(target)[None],
    )


def at_gain_of_last(batch: SeriesBatch) -> SeriesBatch:
    """The target divided by its gain over the last scan, the least-squares factor between the two.

    A scanner's gain differs from visit to visit at random; nothing forecasts it, and in the simulated gliomas it made
    seven tenths of the squared error of copying. For training only: a measured forecast meets the target as it is.
    """
    last, target = batch.last_image, batch.target
    assert target is not None
    axes = tuple(range(1, last.ndim))
    gain = (last * target).sum(dim=axes, keepdim=True) / (last**2).sum(dim=axes, keepdim=True).clamp(min=1e-12)
    return replace(batch, target=target / torch.where(gain > 0, gain, 1.0))


def collate(items: Sequence[SeriesBatch]) -> SeriesBatch:
    """One batch of many, padded at the end to the longest series.

    Raises CohortError when the volumes differ in size.
    """
    if len({item.images.shape[2:] for item in items}) > 1:
        raise CohortError("The scans of this cohort differ in size. Set a batch size of 1, or a fixed grid size.")
    longest = max(item.times.shape[1] for item in items)
    padded = [_pad(item, longest) for item in items]
    names = ("images", "times", "mask", "target_time", "target")
    return SeriesBatch(**{name: torch.cat([getattr(item, name) for item in padded]) for name in names})


def _pad(item: SeriesBatch, length: int) -> SeriesBatch:
    missing = length - item.times.shape[1]
    return replace(
        item,
        images=torch.nn.functional.pad(item.images, (0, 0) * 4 + (0, missing)),
        times=torch.nn.functional.pad(item.times, (0, missing)),
        mask=torch.nn.functional.pad(item.mask, (0, missing)),
    )
