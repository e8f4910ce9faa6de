"""A network that looks at two scans and tells the velocity from the one to the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.deformation import resized
from CRONOSLib.packages import require


@dataclass(frozen=True)
class RegistrationSettings:
    """Settings of a VoxelMorph-type network.

    channels: of encoder and decoder in pairs from top to bottom, as MONAI counts them
    final:    channels of the convolutions at full resolution
    coarser:  the velocity has one node every so many voxels
    """

    channels: tuple[int, ...] = (8, 16, 16, 16, 16, 16)
    final: tuple[int, ...] = (8,)
    coarser: int = 2


class PairwiseVelocity(nn.Module):
    """Stationary velocity v with fixed ≈ moving ∘ exp(v) (diffeomorphic VoxelMorph); 0 until trained.

    Raises MissingPackageError without MONAI, whose U-Net it is.
    """

    def __init__(self, settings: RegistrationSettings) -> None:
        super().__init__()
        require("monai", purpose="Predicting a registration")
        from monai.networks.nets import VoxelMorphUNet

        self.settings = settings
        self.multiple = 2 ** (len(settings.channels) // 2)
        self.unet = VoxelMorphUNet(3, 2, settings.channels[1], settings.channels, settings.final)
        for value in self.unet.get_submodule("net.1.final_conv_out.conv").parameters():
            nn.init.zeros_(value)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """(N, 3, d, h, w) velocity, float32, voxels of its own coarser grid per unit time.

        moving, fixed: (N, C, D, H, W); the mean of the channels, brought to a multiple of 2ⁿ voxels for n levels
        """
        shape = moving.shape[2:]
        pair = torch.cat([moving.mean(dim=1, keepdim=True), fixed.mean(dim=1, keepdim=True)], dim=1)
        fitting = [max(1, round(size / self.multiple)) * self.multiple for size in shape]
        with torch.autocast(pair.device.type, enabled=False):  # MONAI's convolutions are not our Conv3d
            velocity = self.unet(functional.interpolate(pair.float(), fitting, mode="trilinear", align_corners=False))
        coarse = [max(2, round(size / self.settings.coarser)) for size in shape]
        return resized(velocity, coarse)
