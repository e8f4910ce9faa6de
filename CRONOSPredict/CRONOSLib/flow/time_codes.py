"""How times are told to a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def slope_weights(times: Tensor, mask: Tensor, shrinkage: float | Tensor) -> Tensor:
    """(B, T) weights whose product with the scans is their ridge slope over time; 0 for padding and for one scan.

    shrinkage: time² added to the spread of the scans, one for all or (B, 1)
    """
    present = mask.to(times.dtype)
    centred = (times - (times * present).sum(1, keepdim=True) / present.sum(1, keepdim=True)) * present
    return centred / ((centred**2).sum(1, keepdim=True) + shrinkage).clamp(min=torch.finfo(times.dtype).tiny)


def fourier_features(times: Tensor, frequencies: tuple[float, ...]) -> Tensor:
    """(…, 2K) features [sin 2πf_k t, cos 2πf_k t] of times (…) (CRONOS, section 3)."""
    phase = 2 * math.pi * times[..., None] * times.new_tensor(frequencies)
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


def sinusoidal_features(times: Tensor, size: int, max_period: float = 10_000.0) -> Tensor:
    """(…, size) features of the released code: half cosines, half sines, frequencies 1 … 1/max_period, no 2π."""
    half = size // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, device=times.device) / half)
    phase = times[..., None] * frequencies
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


def shifted_times(times: Tensor, target_time: Tensor, tau: Tensor) -> Tensor:
    """(B, T) T_τ = (1 − τ) t_ctx + τ t* (CRONOS continuous); `times` (B, T), `target_time` and `tau` (B,)."""
    tau = tau[:, None]
    return (1 - tau) * times + tau * target_time[:, None]


def ordered_features(
    times: Tensor, mask: Tensor, target_time: Tensor, tau: Tensor, frequencies: tuple[float, ...]
) -> Tensor:
    """(B, T, F) what each scan knows of its own time: τ, horizon t* − t_last, t* − t_i, t_last − t_i, being last.

    Low frequencies only: high ones overfit cohorts of a few hundred patients (METHODS 8.2 and 11).
    """
    last = times.masked_fill(~mask, -torch.inf).amax(dim=1, keepdim=True)
    to_target = target_time[:, None] - times
    age = last - times
    horizon = (target_time[:, None] - last).expand_as(times)
    flow_step = tau[:, None].expand_as(times)
    is_last = (age == 0).to(times.dtype)
    raw = torch.stack([flow_step, horizon, to_target, age, is_last], dim=-1)
    periodic = [fourier_features(value, frequencies) for value in (horizon, to_target, age)]
    return torch.cat([raw, *periodic], dim=-1)
