"""A recurrent network whose hidden state moves on between the scans (ODE-RNN; Rubanova et al., arXiv 1907.03907)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.solvers import Stepping, integrate_through
from CRONOSLib.networks.blocks import Conv3d, Downsample, Upsample
from CRONOSLib.networks.conv_lstm import ConvLstmCell


@dataclass(frozen=True)
class OdeLstmNetwork:
    """Size of the network, and how it is integrated.

    width:    features of the encoder and the decoder
    hidden:   features of the hidden state, at half the resolution of the folded scan
    stepping: of the ODE; one unit is the span of all scans and the target
    """

    width: int = 32
    hidden: int = 64
    stepping: Stepping = field(default_factory=lambda: Stepping("midpoint", steps_per_unit=10))


class OdeLstm(nn.Module):
    """dh/dt = f(h) from scan to scan and on to the target; at every scan a ConvLSTM cell takes it in."""

    def __init__(self, inputs: int, settings: OdeLstmNetwork) -> None:
        super().__init__()
        self.settings = settings
        width, hidden = settings.width, settings.hidden
        self.stem = Conv3d(inputs, width, 3, padding=1)
        self.down = Downsample(width)
        self.cell = ConvLstmCell(width, hidden)
        self.drift = nn.Sequential(
            Conv3d(hidden, hidden, 3, padding=1), nn.Tanh(), Conv3d(hidden, hidden, 3, padding=1), nn.Tanh()
        )
        self.up = Upsample(hidden, width)

    def forward(self, scans: Tensor, times: Tensor, target_time: Tensor) -> Tensor:
        """(1, width, d, h, w) of one patient: the intervals between scans, and with them the steps, are its own.

        scans:       (T, inputs, d, h, w), oldest first
        times:       (T,)
        target_time: ()
        """
        fine = self.stem(scans)
        encoded = self.down(functional.silu(fine))
        span = torch.maximum(target_time, times[-1]) - torch.minimum(target_time, times[0])
        memory = self.cell.empty(encoded[:1])
        for index, scan in enumerate(encoded.split(1)):
            if index:
                memory = memory._replace(hidden=self._moved(memory.hidden, times[index] - times[index - 1], span))
            memory = self.cell(scan, memory)
        return self.up(self._moved(memory.hidden, target_time - times[-1], span), fine[-1:]) + fine[-1:]

    def _moved(self, hidden: Tensor, interval: Tensor, span: Tensor) -> Tensor:
        """The hidden state an interval later, or earlier."""
        share = (interval / span.clamp(min=1e-6))[None]
        return integrate_through(_Drift(self.drift, span), hidden, share, self.settings.stepping)[0]


class _Drift(nn.Module):
    """dh/ds = span · f(h), with s the share of the span."""

    def __init__(self, drift: nn.Module, span: Tensor) -> None:
        super().__init__()
        self.drift, self.span = drift, span

    def forward(self, share: Tensor, hidden: Tensor) -> Tensor:
        return self.span * self.drift(hidden)
