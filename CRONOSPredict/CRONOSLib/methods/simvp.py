"""SimVP: convolutions over space, then over scans as channels (Gao et al., arXiv 2206.05099), in 3D, many-to-one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.regression import Regression, RegressionSettings
from CRONOSLib.networks.simvp import SimVp, SimVpNetwork


@dataclass(frozen=True)
class SimVpSettings(RegressionSettings):
    """Switches of SimVP; it looks at no more scans than the network has slots."""

    network: SimVpNetwork = field(default_factory=SimVpNetwork)


class SimVpRegression(Regression):
    """The last scan stands in the first slot, those before it behind."""

    def __init__(self, settings: SimVpSettings | None = None) -> None:
        self.settings: SimVpSettings
        settings = settings or SimVpSettings()
        super().__init__(settings, settings.network.width, multiple=2**settings.network.levels)
        self.network = SimVp(settings.inputs, settings.network)

    def features(self, scans: Tensor, batch: SeriesBatch) -> Tensor:
        """(B, width, d, h, w)."""
        slots = torch.arange(min(self.settings.network.slots, scans.shape[1]), device=scans.device)
        index = batch.mask.sum(dim=1, keepdim=True) - 1 - slots
        rows = torch.arange(len(scans), device=scans.device)[:, None]
        return self.network(scans[rows, index.clamp(min=0)], index >= 0)


def paper() -> SimVpSettings:
    """The whole image from scans without times, at full resolution, at a size that fits in 3D.

    Twice the width, four times the hidden features and a kernel of 11 in two dimensions there; and a chain of Inception
    blocks here, where the video code sends half of them around a skip connection.
    """
    return SimVpSettings(
        patch=1, residual=False, told_times=False, error_floor=0.0, kernel=1, network=SimVpNetwork(width=16)
    )


PRESETS: dict[str, Callable[[], SimVpSettings]] = {"paper": paper}
