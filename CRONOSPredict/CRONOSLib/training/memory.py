"""How much memory a step will take, and how many patients fit, before the first step."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass

import torch

from CRONOSLib.errors import OutOfMemoryError
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.settings import TrainSettings

_EDGE = 32  # voxels along each axis of the trial
_PASSING = 1.3  # what passes through memory beside what is kept for the backward pass; measured 1.22 and 1.23
_SPARE = 0.85  # share of the free memory that a run may take
_MOST = 16  # patients per batch, however much memory there is


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a training step.

    fixed:       weights, gradients, two moments of the optimiser and, where averaged, the average
    per_patient: of each patient in a batch
    free:        memory of the device that is free now; None where it cannot be asked
    """

    fixed: int
    per_patient: int
    free: int | None

    def of(self, batch_size: int) -> int:
        """Bytes of a step with batches of this size."""
        return self.fixed + batch_size * self.per_patient

    def batch_size(self, patients: int) -> int:
        """Most patients per batch that fit, at least 1, at most 16 and as many as there are; 2 where nobody knows.

        Raises OutOfMemoryError when not even one fits.
        """
        if self.free is None:
            return min(2, patients)
        fitting = int((_SPARE * self.free - self.fixed) // self.per_patient)
        if fitting < 1:
            raise OutOfMemoryError(
                f"A step with one patient needs about {self.of(1) / 1e9:.1f} GB, but {self.free / 1e9:.1f} GB are "
                "free. Choose a coarser grid, a narrower network or 'max_context' 2."
            )
        return min(fitting, patients, _MOST)


def estimate_memory(
    method: Method, shape: tuple[int, ...], scans: int, settings: TrainSettings, device: torch.device
) -> MemoryEstimate:
    """Measured on a small piece of a volume and enlarged: what a network keeps grows with the voxels.

    shape: (C, D, H, W) of a scan of the cohort
    scans: most contexts of a draw
    """
    piece = (shape[0], *(min(_EDGE, length) for length in shape[1:]))
    kept = _kept_for_backward(copy.deepcopy(method), piece, scans, settings)
    images = 4 * (scans + 1) * math.prod(piece)
    voxels = math.prod(shape) / math.prod(piece)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in method.parameters())
    return MemoryEstimate(
        fixed=weights * (5 if settings.ema else 4),
        per_patient=int(voxels * (_PASSING * kept + 2 * images)),
        free=_free_memory(device),
    )


def trial_batch(shape: tuple[int, ...], scans: int, patients: int = 1) -> SeriesBatch:
    """Random images, to see what a step takes.

    shape: (C, D, H, W) of a scan
    scans: contexts of each patient
    """
    return SeriesBatch(
        images=torch.rand(patients, scans, *shape),
        times=(torch.arange(1.0 - scans, 1.0) / scans).repeat(patients, 1),
        mask=torch.ones(patients, scans, dtype=torch.bool),
        target_time=torch.full((patients,), 0.5),
        target=torch.rand(patients, *shape),
    )


def _kept_for_backward(method: Method, shape: tuple[int, ...], scans: int, settings: TrainSettings) -> int:
    """Bytes of what a loss of one patient keeps for its gradient, without the weights; on the CPU."""
    batch = trial_batch(shape, scans)
    weights = {parameter.untyped_storage().data_ptr() for parameter in method.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    bf16 = settings.precision.startswith("bf16")
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.random.fork_rng():
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = method.loss(batch)
        del loss
    return sum(kept.values())


def _free_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":") for line in file)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None
