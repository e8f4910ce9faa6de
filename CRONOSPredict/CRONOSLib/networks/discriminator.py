"""Tells forecasts from scans, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from CRONOSLib.networks.blocks import Conv3d


@dataclass(frozen=True)
class DiscriminatorSettings:
    """Size of the discriminator.

    width:  channels after the first convolution; they double from layer to layer
    layers: convolutions of stride 2, after which a voxel stands for a patch
    """

    width: int = 16
    layers: int = 3


class PatchDiscriminator(nn.Module):
    """Convolutions of stride 2 (Isola et al., arXiv 1611.07004), spectrally normalised (Miyato et al., 1802.05957)."""

    def __init__(self, inputs: int, settings: DiscriminatorSettings) -> None:
        super().__init__()
        sizes = [inputs] + [settings.width * 2**layer for layer in range(settings.layers)]
        layers: list[nn.Module] = []
        for fine, coarse in pairwise(sizes):
            layers += [spectral_norm(Conv3d(fine, coarse, 4, stride=2, padding=2)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(Conv3d(sizes[-1], 1, 3, padding=1)))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, d, h, w) logits of being a scan, float32; `images` (B, inputs, D, H, W)."""
        return self.layers(images).float()

    def held(self, images: Tensor) -> Tensor:
        """The same logits with weights that no gradient reaches."""
        weights = {name: parameter.detach() for name, parameter in self.named_parameters()}
        return functional_call(self, weights, images)
