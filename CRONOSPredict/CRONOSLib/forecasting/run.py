"""One patient through a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.forecasting.native_flow import Transport
from CRONOSLib.forecasting.times import MethodTime
from CRONOSLib.imaging.preparation import PreparedSeries
from CRONOSLib.methods.cronos import Cronos
from CRONOSLib.methods.interface import MemberKind, Members, Method, OnStep


@dataclass(frozen=True)
class Outcome:
    """What a method returned, as arrays of normalised intensity on the bundle's grid.

    change:     (D, H, W), forecast minus last scan
    spread:     (D, H, W), standard deviation of the members; None when there is one
    members:    (T, D, H, W)
    kind:       what the members are
    transport:  how the flow made it, when asked for
    nfe:        evaluations of the network
    displacement: (3, D, H, W), voxels, as in `Members`; None when the method does not deform
    """

    change: np.ndarray
    spread: np.ndarray | None
    members: np.ndarray
    kind: MemberKind
    transport: Transport | None
    nfe: int
    displacement: np.ndarray | None = None


def run(
    method: Method,
    prepared: PreparedSeries,
    times: MethodTime,
    *,
    bf16: bool = False,
    keep_trajectory: bool = False,
    on_step: OnStep | None = None,
) -> Outcome:
    """Forecast one patient on the device where the method is.

    bf16: convolve in bfloat16; the flow is summed up in float32
    Raises MethodError when the method has no trajectory to keep, or its forecast is not finite.
    """
    device = next((held.device for held in (*method.parameters(), *method.buffers())), torch.device("cpu"))
    batch = _batch(prepared, times).to(device)
    if bf16:  # such convolutions are fast in this layout only
        method = method.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    extra: dict[str, Any] = {}
    if keep_trajectory:
        if not isinstance(method, Cronos):
            raise MethodError("This method integrates no flow, so it has no trajectory. Do not ask for one.")
        extra["keep_trajectory"] = True
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        members = method.forecast(batch, on_step=on_step, **extra)
    return _outcome(members, prepared.images[-1, 0], _transport(method, members))


def _batch(prepared: PreparedSeries, times: MethodTime) -> SeriesBatch:
    """A batch of one."""
    return SeriesBatch(
        images=torch.from_numpy(prepared.images)[None],
        times=torch.tensor(times.times, dtype=torch.float32)[None],
        mask=torch.ones(1, len(times.times), dtype=torch.bool),
        target_time=torch.tensor([times.target], dtype=torch.float32),
    )


def _outcome(members: Members, last: np.ndarray, transport: Transport | None) -> Outcome:
    images = _array(members.images[0, members.mask[0], 0])
    change = _array(members.forecast[0, 0]) - last
    if not np.isfinite(change).all():
        raise MethodError("The forecast holds values that are not finite. Ask for the precision fp32.")
    return Outcome(
        change=change,
        spread=_array(members.spread[0, 0]) if disagree(images) else None,
        members=images,
        kind=members.kind,
        transport=transport,
        nfe=members.nfe,
        displacement=None if members.displacement is None else _array(members.displacement[0]),
    )


def _transport(method: Method, members: Members) -> Transport | None:
    if members.trajectory is None or members.one_step is None:
        return None
    assert isinstance(method, Cronos)
    return Transport(
        states=_array(members.trajectory[:, 0, :, 0]),
        one_step=_array(members.one_step[0, :, 0]),
        weights=_array(members.weights[0]),
        solver=method.settings.solver.name,
        nfe=members.nfe,
    )


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def disagree(images: np.ndarray) -> bool:
    """Whether there are several members: a method that fits one line has one, however many scans it saw."""
    return any(not np.array_equal(images[0], other) for other in images[1:])
