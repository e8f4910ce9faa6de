"""Scale and shift of channels, whose gradients sum over voxels by matrix products.

PyTorch's own sums over the voxels of a channels-last bfloat16 volume, in the gradients of a broadcast product and of a
group normalisation, take longer on a CPU than a convolution.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_VOXELS_IN_A_ROW = 8
"""At most."""


def modulate(x: Tensor, modulation: Tensor) -> Tensor:
    """X · (1 + γ) + β, with (B, 2·channels) `modulation` holding γ and β."""
    scale, shift = modulation.to(x.dtype).chunk(2, dim=1)
    return _Modulation.apply(x, 1 + scale, shift)


class GroupNorm(nn.GroupNorm):
    """Group normalisation, then, where one is given, a modulation."""

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        """Like (B, C, D, H, W) `x`; `modulation` (B, 2·C) as in `modulate`."""
        if x.device.type != "cpu" or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            normalised = super().forward(x)
            return normalised if modulation is None else modulate(normalised, modulation)
        scale, shift = self.weight.expand(len(x), -1), self.bias.expand(len(x), -1)
        if modulation is not None:
            gamma, beta = modulation.float().chunk(2, dim=1)
            scale, shift = scale * (1 + gamma), shift * (1 + gamma) + beta
        return _Normalisation.apply(x, scale, shift, self.num_groups, self.eps)


class _Modulation(torch.autograd.Function):
    """x · scale + shift per channel."""

    @staticmethod
    def forward(ctx, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        return _scaled(x, scale, _over_voxels(shift))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, scale = ctx.saved_tensors
        return gradient * _over_voxels(scale), _sum_voxels(gradient * x), _sum_voxels(gradient)


class _Normalisation(torch.autograd.Function):
    """x̂ · scale + shift per channel, x̂ normalised over the voxels of each group of channels.

    dx = (g − mean(g) − x̂ · mean(g · x̂)) / σ with g = scale · gradient and means over a group, from its channels' sums.
    """

    @staticmethod
    def forward(ctx, x: Tensor, scale: Tensor, shift: Tensor, groups: int, eps: float) -> Tensor:
        batch, channels = x.shape[:2]
        one, zero = scale.new_ones(channels), scale.new_zeros(channels)
        voxels = x[0, 0].numel()
        normalised, _, inverse = torch.native_group_norm(x, one, zero, batch, channels, voxels, groups, eps)
        ctx.save_for_backward(normalised, scale, inverse)  # inverse: 1/σ, (B, groups)
        return _scaled(normalised, scale, _over_voxels(shift))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        normalised, scale, inverse = ctx.saved_tensors
        to_scale, to_shift = _sum_voxels(gradient * normalised).float(), _sum_voxels(gradient).float()
        grouped = (*inverse.shape, -1)
        voxels = gradient[0, 0].numel()

        def mean(sums: Tensor) -> Tensor:
            means = (scale * sums).view(grouped).mean(dim=2, keepdim=True) / voxels
            return (means * inverse[..., None]).expand_as(scale.view(grouped)).flatten(1)

        correction = _scaled(normalised, -mean(to_scale), _over_voxels(-mean(to_shift)))
        factor = (scale.view(grouped) * inverse[..., None]).flatten(1)
        return _scaled(gradient, factor, correction), to_scale, to_shift, None, None


def _scaled(x: Tensor, scale: Tensor, added: Tensor) -> Tensor:
    """The sum x · scale + added in the precision of x: (B, C, D, H, W), (B, C), and (B, C, 1, 1, 1) or like x.

    Several voxels of few channels are taken as one row: PyTorch is slow on rows shorter than a vector register.
    """
    together = math.gcd(_VOXELS_IN_A_ROW, x[0, 0].numel())

    def rows(values: Tensor) -> Tensor:
        voxels = values.to(x.dtype).permute(0, 2, 3, 4, 1).flatten(1, 3)
        if voxels.shape[1] == 1:
            return voxels.repeat(1, 1, together)
        return voxels.reshape(len(x), -1, together * x.shape[1])

    result = torch.addcmul(rows(added), rows(x), rows(_over_voxels(scale)))
    return result.view(len(x), *x.shape[2:], x.shape[1]).permute(0, 4, 1, 2, 3)


def _over_voxels(values: Tensor) -> Tensor:
    """(B, C, 1, 1, 1) of (B, C)."""
    return values[..., None, None, None]


def _sum_voxels(x: Tensor) -> Tensor:
    """(B, C) sums of (B, C, D, H, W)."""
    voxels = x.permute(0, 2, 3, 4, 1).flatten(1, 3)
    return torch.matmul(voxels.new_ones(1, voxels.shape[1]), voxels).squeeze(1)
