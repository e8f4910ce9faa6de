"""The network of the diffusion methods: a noisy image and a guide in, what is behind the noise out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.time_codes import sinusoidal_features
from CRONOSLib.networks.blocks import (
    Conv3d,
    depth_to_space,
    fitting_groups,
    padding_to_multiple,
    space_to_depth,
    zeroed,
)
from CRONOSLib.networks.unet import UNet, UNetSettings


@dataclass(frozen=True)
class DenoiserSettings:
    """The network and its switches.

    channels: image channels C
    patch:    edge of the cubes folded into channels before the first convolution; 2 works at half resolution inside
    """

    channels: int = 1
    patch: int = 2
    unet: UNetSettings = field(default_factory=UNetSettings)

    @property
    def multiple(self) -> int:
        """Of what the axes of an image must be multiples."""
        return self.patch * 2 ** (len(self.unet.multipliers) - 1)


@dataclass(frozen=True)
class Guide:
    """What a forecast is conditioned on; it does not depend on the diffusion step.

    features:  (B, width, d, h, w), added to those of the noisy image
    embedding: (B, E), added to that of the diffusion step
    known:     (B, n·C, D, H, W), n images that the output weighs, voxel by voxel, and adds to its own, and so the noisy
               image: where there is little noise, all of it is wanted, and no U-Net learns soon to hand it through.
               None: none of them
    """

    features: Tensor
    embedding: Tensor
    known: Tensor | None = None

    def repeated(self, count: int) -> Guide:
        """Every patient `count` times in a row."""
        return self._each(lambda told: told.repeat_interleave(count, dim=0))

    def kept(self, keep: Tensor) -> Guide:
        """Nothing of the guide, which is 0, but where `keep` (B,) is true."""
        return self._each(lambda told: told * keep.view(-1, *[1] * (told.ndim - 1)))

    def with_none(self) -> Guide:
        """(2 B) this guide, then as many that say nothing."""
        return self._each(lambda told: torch.cat([told, torch.zeros_like(told)]))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Guide:
        known = None if self.known is None else change(self.known)
        return Guide(change(self.features), change(self.embedding), known)


class Stem(nn.Module):
    """(B, channels, D, H, W) to (B, width, d, h, w): padded, folded, one convolution.

    Adding the stems of two images is one convolution over both as channels.
    """

    def __init__(self, channels: int, settings: DenoiserSettings) -> None:
        super().__init__()
        self.settings = settings
        self.conv = Conv3d(channels * settings.patch**3, settings.unet.width, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, width, d, h, w)."""
        padded = functional.pad(image, padding_to_multiple(image.shape[2:], self.settings.multiple))
        return self.conv(space_to_depth(padded, self.settings.patch))


class Denoiser(nn.Module):
    """U-Net told the diffusion step and the guide by addition. Starts as 0."""

    def __init__(self, settings: DenoiserSettings, known: int | None = None) -> None:
        """`known`: number n of images in every guide that the output weighs; None: it weighs nothing."""
        super().__init__()
        self.settings = settings
        width, size = settings.unet.width, settings.unet.embedding
        self.stem = Stem(settings.channels, settings)
        self.step = nn.Sequential(nn.Linear(size, size), nn.SiLU(), nn.Linear(size, size))
        self.unet = UNet(settings.unet)
        self.norm = nn.GroupNorm(fitting_groups(settings.unet.groups, width), width)
        outputs = 1 if known is None else 2 + known
        self.head = zeroed(Conv3d(width, outputs * settings.channels * settings.patch**3, 3, padding=1))

    def forward(self, noisy: Tensor, share: Tensor, guide: Guide) -> Tensor:
        """(B, C, D, H, W), float32.

        noisy: (B, C, D, H, W)
        share: (B,), diffusion step k/K, in (0, 1]
        """
        embedding = self.step(sinusoidal_features(1000 * share, self.settings.unet.embedding)) + guide.embedding
        features = self.unet(self.stem(noisy) + guide.features, functional.silu(embedding))
        output = depth_to_space(self.head(functional.silu(self.norm(features))), self.settings.patch)
        depth, height, width = noisy.shape[2:]
        output = output[..., :depth, :height, :width].float()
        if guide.known is None:
            return output
        free, weights = output[:, : noisy.shape[1]], output[:, noisy.shape[1] :]
        weighed = weights * torch.cat([noisy, guide.known], dim=1)
        return free + weighed.unflatten(1, (-1, noisy.shape[1])).sum(dim=1)
