"""What a run would take, before it is started: voxels, memory, time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch

from CRONOSLib.cohorts.images import read_images
from CRONOSLib.cohorts.manifest import Cohort, Patient, Visit
from CRONOSLib.cohorts.readers.found import FoundPatient
from CRONOSLib.cohorts.readers.patients import FoundCohort
from CRONOSLib.errors import CronosError
from CRONOSLib.forecasting.devices import choose_device
from CRONOSLib.imaging.dicom_slices import is_dicom
from CRONOSLib.imaging.files import read_header
from CRONOSLib.imaging.grid import Grid, grid_for
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method
from CRONOSLib.training.memory import estimate_memory, trial_batch
from CRONOSLib.training.order import TrainingOrder, usual_settings
from CRONOSLib.training.settings import TrainSettings

_LOOKED_AT = 8  # patients whose last scan's header is read
_EDGE = 24  # voxels along each axis of the trial on a CPU, whose time grows with the voxels


@dataclass(frozen=True)
class RunEstimate:
    """What a run takes, roughly: the largest of a few patients is measured.

    shape:        (D, H, W) voxels of a prepared scan
    weights:      numbers that are trained
    batch_size:   patients per batch: as asked, or as many as fit
    step_bytes:   memory of a step
    free_bytes:   memory of the device that is free now; None where it cannot be asked
    step_seconds: time of a step on this machine
    device:       name of the graphics card, or "CPU"
    graphics:     graphics cards of this machine
    """

    shape: tuple[int, ...]
    weights: int
    batch_size: int
    step_bytes: int
    free_bytes: int | None
    step_seconds: float
    device: str
    graphics: int


def estimate_run(order: TrainingOrder) -> RunEstimate:
    """Estimate a run whose patients need not be prepared yet.

    Raises CohortError when there are no patients, MethodError for an unknown method, preset or device, OutOfMemoryError
    when not even one patient fits.
    """
    patients = order.patients
    settings = TrainSettings.from_json({**usual_settings(patients), **order.settings})
    members = patients.patients
    shape = largest_shape(members, settings)
    longest = max(len(patient.visits) for patient in members)
    scans = min(settings.max_context, longest - 1)
    device = choose_device(order.device)
    method = create_method(order.method, settings.method_settings, settings.preset)
    memory = estimate_memory(method, (1, *shape), scans, settings, device)
    batch_size = settings.batch_size or memory.batch_size(_learned_from(patients))
    per_patient = _seconds(method, shape, scans // 2 + 1, settings, device)  # a draw takes 1 to `scans` of them
    gpu = device.type == "cuda"
    return RunEstimate(
        shape=shape,
        weights=sum(weight.numel() for weight in method.parameters()),
        batch_size=batch_size,
        step_bytes=memory.of(batch_size),
        free_bytes=memory.free,
        step_seconds=per_patient * batch_size * settings.accumulate / order.devices,
        device=torch.cuda.get_device_name(device) if gpu else "CPU",
        graphics=torch.cuda.device_count(),
    )


def _learned_from(patients: Cohort | FoundCohort) -> int:
    if isinstance(patients, Cohort):
        return len(patients.split("train"))
    return max(1, len(patients.patients) * 7 // 10)


def largest_shape(patients: Iterable[Patient | FoundPatient], settings: TrainSettings) -> tuple[int, ...]:
    """(D, H, W) of the largest prepared scan among a few patients."""
    chosen = list(patients)
    spread = chosen[:: max(1, len(chosen) // _LOOKED_AT)]
    shapes = [grid_for(_space(patient.visits[-1]), settings.preprocessing.grid).shape for patient in spread]
    return max(shapes, key=math.prod)


def _space(visit: Visit) -> sitk.Image:
    """An image with the grid of a scan; its voxels are not read where a header tells it."""
    if visit.path.is_dir() or is_dicom(visit.path):
        (image,) = read_images([visit])
        if isinstance(image, CronosError):
            raise image
        return image
    header = read_header(visit.path)
    rows = np.reshape(header.GetDirection(), (header.GetDimension(), -1))[:3, :3]  # 4D files have a fourth axis
    space = (header.GetSize()[:3], header.GetSpacing()[:3], header.GetOrigin()[:3])
    return Grid(*space, tuple(rows.ravel().tolist())).to_image()


def _seconds(
    method: Method, shape: tuple[int, ...], scans: int, settings: TrainSettings, device: torch.device
) -> float:
    """Of the loss of one patient and its gradient; the second of two, since the first one sets everything up."""
    gpu = device.type == "cuda"
    piece = shape if gpu else tuple(min(_EDGE, length) for length in shape)
    method = method.to(device)
    batch = trial_batch((1, *piece), scans).to(device)
    half = torch.autocast(device.type, torch.bfloat16, enabled=settings.precision.startswith("bf16"))
    for _ in range(2):
        began = time.perf_counter()
        with half:
            loss = method.loss(batch)
        loss.backward()
        if gpu:
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    return seconds * math.prod(shape) / math.prod(piece)
