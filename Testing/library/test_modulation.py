"""Normalisation and modulation of channels-last volumes against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from CRONOSLib.networks.modulation import GroupNorm, modulate
from torch import Tensor, nn


def _volume(*shape: int) -> Tensor:
    return (1 + 2 * torch.randn(shape)).to(memory_format=torch.channels_last_3d)


def _results(normalise, x: Tensor, modulation: Tensor, towards: Tensor, norm: nn.GroupNorm) -> list[Tensor]:
    """Output, and the gradients of input, modulation and the weights of the norm."""
    x, modulation = x.clone().requires_grad_(), modulation.clone().requires_grad_()
    norm.zero_grad()
    y = normalise(x, modulation)
    y.backward(towards.to(y.dtype))
    return [tensor.detach().float() for tensor in (y, x.grad, modulation.grad, norm.weight.grad, norm.bias.grad)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("shape", [(2, 32, 4, 6, 8), (1, 8, 3, 5, 7), (3, 16, 1, 1, 1)])
def test_channels_last_normalisation_is_that_of_pytorch(shape, dtype, tolerance):
    torch.manual_seed(0)
    norm = GroupNorm(4, shape[1])
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    x, towards = _volume(*shape).to(dtype), _volume(*shape)
    modulation = torch.randn(shape[0], 2 * shape[1])
    theirs = _results(
        lambda x, m: modulate(nn.functional.group_norm(x, 4, norm.weight, norm.bias), m),
        x.float().contiguous(), modulation, towards, norm,
    )  # fmt: skip
    for ours, exact in zip(_results(norm, x, modulation, towards, norm), theirs, strict=True):
        assert (ours - exact).norm() <= tolerance * exact.norm() + 1e-6


def test_modulation_has_the_gradient_of_its_formula():
    x, modulation = torch.randn(2, 4, 2, 3, 2).double().requires_grad_(), torch.randn(2, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(modulate, (x, modulation))
