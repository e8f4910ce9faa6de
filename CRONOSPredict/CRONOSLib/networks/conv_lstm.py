"""Convolutional long short-term memory (Shi et al., arXiv 1506.04214) in 3D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from CRONOSLib.networks.blocks import Conv3d


class Memory(NamedTuple):
    """What a cell carries from scan to scan: hidden state and cell state, both (B, width, d, h, w)."""

    hidden: Tensor
    cell: Tensor

    def where(self, present: Tensor, before: Memory) -> Memory:
        """The memory itself for the patients with a true `present` (B,), for the others the one before."""
        chosen = present[:, None, None, None, None]
        return Memory(*(torch.where(chosen, new, old) for new, old in zip(self, before, strict=True)))


class ConvLstmCell(nn.Module):
    """One convolution makes all four gates of input and hidden state; the forget gate starts open, its bias at 1."""

    def __init__(self, inputs: int, width: int, kernel: int = 3) -> None:
        super().__init__()
        self.width = width
        self.gates = Conv3d(inputs + width, 4 * width, kernel, padding=kernel // 2)
        assert self.gates.bias is not None
        nn.init.ones_(self.gates.bias.data[width : 2 * width])

    def empty(self, like: Tensor) -> Memory:
        """The memory before the first scan, 0; `like` (B, inputs, d, h, w)."""
        zeros = like.new_zeros(len(like), self.width, *like.shape[2:])
        return Memory(zeros, zeros)

    def forward(self, scan: Tensor, memory: Memory) -> Memory:
        """The memory after a scan (B, inputs, d, h, w)."""
        enter, forget, leave, candidate = self.gates(torch.cat([scan, memory.hidden], dim=1)).chunk(4, dim=1)
        cell = forget.sigmoid() * memory.cell + enter.sigmoid() * candidate.tanh()
        return Memory(leave.sigmoid() * cell.tanh(), cell)


@dataclass(frozen=True)
class ConvLstmNetwork:
    """Size of the network.

    width:  features of every layer
    layers: cells, one above the other
    kernel: edge of the convolutions, odd
    """

    width: int = 48
    layers: int = 2
    kernel: int = 3


class ConvLstm(nn.Module):
    """Cells one above the other look at the scans in turn; a padded one leaves their memory as it is."""

    def __init__(self, inputs: int, settings: ConvLstmNetwork) -> None:
        super().__init__()
        sizes = [inputs] + [settings.width] * settings.layers
        self.cells = nn.ModuleList(ConvLstmCell(size, settings.width, settings.kernel) for size in sizes[:-1])

    def forward(self, scans: Tensor, mask: Tensor) -> Tensor:
        """(B, width, d, h, w) hidden state of the last layer after the last scan.

        scans: (B, T, inputs, d, h, w), oldest first; mask: (B, T)
        """
        steps = list(scans.unbind(1))
        for cell in self.cells:
            assert isinstance(cell, ConvLstmCell)
            memory = cell.empty(steps[0])
            for index, (step, present) in enumerate(zip(steps, mask.unbind(1), strict=True)):
                memory = cell(step, memory).where(present, memory)
                steps[index] = memory.hidden
        return steps[-1]
