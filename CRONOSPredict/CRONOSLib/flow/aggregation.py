"""How the members reached from each context scan make one forecast. Padding never counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CRONOSLib.errors import MethodError

AGGREGATIONS = ("last", "mean", "learned")


def last_weights(times: Tensor, mask: Tensor) -> Tensor:
    """(B, T) weights that keep only the member of the most recent scan."""
    latest = times.masked_fill(~mask, -torch.inf).argmax(dim=1)
    return nn.functional.one_hot(latest, times.shape[1]).to(times.dtype)


def mean_weights(mask: Tensor) -> Tensor:
    """(B, T) equal weights over the true scans."""
    return mask.float() / mask.sum(dim=1, keepdim=True)


class LearnedWeights(nn.Module):
    """Softmax over the true scans of a small network of each scan's age and of the horizon.

    Starts as the mean. Trained on the members themselves, beside the velocity.
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)
        self.score = nn.Sequential(nn.Linear(2, hidden), nn.SiLU(), last)

    def forward(self, ages: Tensor, horizon: Tensor, mask: Tensor) -> Tensor:
        """(B, T) weights; `ages` (B, T) is t_last − t_i, `horizon` (B,) is t* − t_last."""
        features = torch.stack([ages, horizon[:, None].expand_as(ages)], dim=-1)
        scores = self.score(features).squeeze(-1)
        return scores.masked_fill(~mask, -torch.inf).softmax(dim=1)


def check_aggregation(name: str) -> str:
    """`name`, or MethodError when there is no such aggregation."""
    if name not in AGGREGATIONS:
        raise MethodError(f"There is no aggregation '{name}'. Choose one of {', '.join(AGGREGATIONS)}.")
    return name
