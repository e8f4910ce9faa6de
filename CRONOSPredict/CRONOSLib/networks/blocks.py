"""Building blocks of the 3D U-Net."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.networks.modulation import GroupNorm, modulate


class Film(Enum):
    """Where a residual block applies its time-dependent scale and shift (METHODS 8.35).

    NORMALISED: on the normalised activations before the last convolution, which starts at zero, so that an untrained
                block is the identity
    AFTER:      after the last convolution, as released
    """

    NORMALISED = "normalised"
    AFTER = "after"


class Conv3d(nn.Conv3d):
    """Convolution that stays in float32 where PyTorch's gradient in bfloat16 is wrong.

    On a CPU (PyTorch 2.13), that of the weights holds what lay in memory before, and spoils memory, when the first axis
    is shorter than the kernel: at the coarsest level of a thin volume.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As that of `torch.nn.Conv3d`."""
        return self.convolved(x, self.weight, self.bias)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same with another weight and bias, made from its own."""
        if x.device.type != "cpu" or min(x.shape[2:]) >= self.kernel_size[0]:
            return self._conv_forward(x, weight, bias)
        with torch.autocast("cpu", enabled=False):
            return self._conv_forward(x.float(), weight, bias)


class TimeResidualBlock(nn.Module):
    """GroupNorm – SiLU – conv – GroupNorm – FiLM(time) – SiLU – conv, plus the input.

    Maps (B, in, D, H, W) and an embedding (B, E) to (B, out, D, H, W).
    """

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int, film: Film) -> None:
        super().__init__()
        self.film = film
        self.norm_in = GroupNorm(fitting_groups(groups, channels_in), channels_in)
        self.conv_in = Conv3d(channels_in, channels, 3, padding=1)
        self.norm_out = GroupNorm(fitting_groups(groups, channels), channels)
        self.modulation = zeroed(nn.Linear(embedding, 2 * channels))
        self.conv_out = zeroed(Conv3d(channels, channels, 3, padding=1))
        self.skip = nn.Conv3d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, out, D, H, W)."""
        modulation = self.modulation(embedding)
        h = self.conv_in(functional.silu(self.norm_in(x)))
        h = self.norm_out(h, modulation if self.film is Film.NORMALISED else None)
        h = self.conv_out(functional.silu(h))
        if self.film is Film.AFTER:
            h = modulate(h, modulation)
        return self.skip(x) + h


class SelfAttention(nn.Module):
    """Single-head attention over all voxels of (B, channels, D, H, W); starts as the identity."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(fitting_groups(groups, channels), channels)
        self.to_qkv = nn.Conv3d(channels, 3 * channels, 1)
        self.project = zeroed(nn.Conv3d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, D, H, W)."""
        query, key, value = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(query, key, value)
        return x + self.project(attended.transpose(1, 2).reshape_as(x))


class Downsample(nn.Module):
    """Strided convolution that halves every axis, or those whose stride is 2."""

    def __init__(self, channels: int, strides: tuple[int, int, int] = (2, 2, 2)) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, stride=strides, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, ⌈D/2⌉, ⌈H/2⌉, ⌈W/2⌉)."""
        return self.conv(x)


class Upsample(nn.Module):
    """Nearest-neighbour enlargement to the size of the skip connection, and a convolution after it, or before.

    Before, it is an eighth of the work; whatever convolves next then smooths over the seams.
    """

    def __init__(self, channels_in: int, channels: int, *, convolve_first: bool = False) -> None:
        super().__init__()
        self.conv = Conv3d(channels_in, channels, 3, padding=1)
        self.convolve_first = convolve_first

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """(B, channels, D, H, W) with the D, H, W of `like`."""
        if self.convolve_first:
            return functional.interpolate(self.conv(x), size=like.shape[2:], mode="nearest")
        return self.conv(functional.interpolate(x, size=like.shape[2:], mode="nearest"))


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """(B, C, D, H, W) to (B, C·factor³, D/factor, H/factor, W/factor): no information is lost."""
    if factor == 1:
        return x
    b, c, d, h, w = x.shape
    x = x.view(b, c, d // factor, factor, h // factor, factor, w // factor, factor)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * factor**3, d // factor, h // factor, w // factor)


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """The way back from `space_to_depth`."""
    if factor == 1:
        return x
    b, c, d, h, w = x.shape
    x = x.reshape(b, c // factor**3, factor, factor, factor, d, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // factor**3, d * factor, h * factor, w * factor)


def padding_to_multiple(size: torch.Size, multiple: int) -> list[int]:
    """Padding at the end of each axis, as `functional.pad` takes it, that brings `size` to multiples of `multiple`."""
    return [amount for length in reversed(size) for amount in (0, -length % multiple)]


def zeroed(layer: nn.Module) -> nn.Module:
    """`layer` with all its parameters at 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def fitting_groups(wanted: int, channels: int) -> int:
    """The most groups of channels, up to those wanted, that are all of one size."""
    return next(groups for groups in range(min(wanted, channels), 0, -1) if channels % groups == 0)
