"""Which target each patient's contexts are paired with in training."""

from __future__ import annotations

import torch
from torch import Tensor


def paired(context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Every patient with itself: (B, T, C, D, H, W) and (B, C, D, H, W) as they are."""
    return context, target


def optimal_transport_resampled(context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What the released CRONOS code does: pairs redrawn with replacement from a mini-batch optimal-transport plan.

    Contexts and targets are permuted, the times are not, so that three rows in four of a batch of 4 carry another
    patient's times (METHODS 0.3). Kept only to reproduce the release.
    """
    from scipy.optimize import linear_sum_assignment

    count = len(context)
    broadcast = target.unsqueeze(1).expand_as(context)
    cost = torch.cdist(context.flatten(1).float(), broadcast.flatten(1).float()) ** 2
    rows, columns = linear_sum_assignment(cost.detach().cpu().numpy())
    drawn = torch.randint(count, (count,))
    source = torch.as_tensor(rows)[drawn].to(context.device)
    goal = torch.as_tensor(columns)[drawn].to(context.device)
    return context[source], target[goal]
