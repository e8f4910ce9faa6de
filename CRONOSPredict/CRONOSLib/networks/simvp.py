"""The network of SimVP (Gao et al., arXiv 2206.05099) in 3D: convolutions over space, then over scans as channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.networks.blocks import Conv3d, Upsample


@dataclass(frozen=True)
class SimVpNetwork:
    """Size of the network.

    slots:       scans that it takes
    width:       features of the encoder, even
    levels:      of the encoder, each of two convolutions, the second of which halves every axis
    hidden:      features of the translator, a multiple of twice `groups`
    translators: Inception blocks
    kernels:     edges of the convolutions of a block, odd
    groups:      of those convolutions
    """

    slots: int = 6
    width: int = 32
    levels: int = 2
    hidden: int = 128
    translators: int = 4
    kernels: tuple[int, ...] = (3, 5, 7)
    groups: int = 8

    def __post_init__(self) -> None:
        if self.width % 2:
            raise MethodError(f"The width of SimVP cannot be {self.width}. Give an even number.")
        if self.hidden % (2 * self.groups):
            raise MethodError(
                f"{self.hidden} hidden features cannot be shared by {self.groups} groups. "
                f"Give a multiple of {2 * self.groups}."
            )


class SimVp(nn.Module):
    """Encoder of each scan, translator over all of them, decoder with the first features of the last scan."""

    def __init__(self, inputs: int, settings: SimVpNetwork) -> None:
        super().__init__()
        width, hidden = settings.width, settings.hidden
        self.settings = settings
        self.first = _Convolution(inputs, width, 1)
        strides = [1, 2] * settings.levels
        self.encoder = nn.Sequential(*(_Convolution(width, width, stride) for stride in strides[1:]))
        sizes = [(settings.slots * width, hidden), *[(hidden, hidden)] * (settings.translators - 1)]
        self.translator = nn.ModuleList(_Inception(*size, settings) for size in sizes)
        self.project = nn.Conv3d(hidden, width, 1)
        self.up = nn.ModuleList(Upsample(width, width) for _ in range(settings.levels))
        self.decoder = nn.ModuleList(_Convolution(width, width, 1) for _ in range(settings.levels))
        self.merge = _Convolution(2 * width, width, 1)

    def forward(self, scans: Tensor, mask: Tensor) -> Tensor:
        """(B, width, d, h, w).

        scans: (B, T, inputs, d, h, w), the last scan first, axes multiples of 2^levels; T at most `slots`
        mask:  (B, T), False where there is none, which like an empty slot is 0 for the translator
        """
        first = self.first(scans.flatten(0, 1))
        encoded = self.encoder(first).unflatten(0, mask.shape)
        present = torch.where(mask[:, :, None, None, None, None], encoded, 0)
        hidden = functional.pad(present, (0, 0) * 4 + (0, self.settings.slots - mask.shape[1])).flatten(1, 2)
        for block in self.translator:
            hidden = block(hidden)
        decoded = self.project(hidden)
        for level, (up, convolution) in enumerate(zip(self.up, self.decoder, strict=True), 1):
            size = [length // 2 ** (self.settings.levels - level) for length in scans.shape[3:]]
            decoded = convolution(up(decoded, decoded.new_empty(1, 1, *size)))
        skip = first.unflatten(0, mask.shape)[:, 0]
        return self.merge(torch.cat([decoded, skip], dim=1))


class _Convolution(nn.Module):
    """Convolution – GroupNorm – SiLU."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv = Conv3d(inputs, width, 3, stride=stride, padding=1)
        self.norm = nn.GroupNorm(2, width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.norm(self.conv(x)))


class _Inception(nn.Module):
    """Grouped convolutions of several sizes side by side, summed, and added to the input where it has their shape."""

    def __init__(self, inputs: int, width: int, settings: SimVpNetwork) -> None:
        super().__init__()
        self.same = inputs == width
        self.reduce = nn.Conv3d(inputs, width // 2, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                Conv3d(width // 2, width, kernel, padding=kernel // 2, groups=settings.groups),
                nn.GroupNorm(settings.groups, width),
                nn.SiLU(),
            )
            for kernel in settings.kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        mixed = torch.stack([branch(reduced) for branch in self.branches]).sum(dim=0)
        return x + mixed if self.same else mixed
