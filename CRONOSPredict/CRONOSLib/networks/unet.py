"""A 3D U-Net whose every residual block is told the time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from CRONOSLib.networks.blocks import Downsample, Film, SelfAttention, TimeResidualBlock, Upsample


@dataclass(frozen=True)
class UNetSettings:
    """Size of the U-Net.

    width:          channels of the finest level
    multipliers:    channels of each level, in multiples of `width`
    strides:        by what a level divides the resolution of the one before, along D, H, W: 1 or 2
    embedding:      size of the time embedding
    groups:         groups of the group normalisation (fewer where the channels do not divide)
    film:           where time acts in a block
    convolve_first: on the way up, convolve before an enlargement and not after it, an eighth of the work
    attention:      self-attention over all voxels of the coarsest level
    checkpoint:     recompute the finest level in the backward pass: less memory, more time
    """

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 4)
    strides: tuple[int, int, int] = (2, 2, 2)
    embedding: int = 128
    groups: int = 8
    film: Film = Film.NORMALISED
    convolve_first: bool = False
    attention: bool = False
    checkpoint: bool = False


class UNet(nn.Module):
    """(B, width, D, H, W) and embedding (B, E) to (B, width, D, H, W)."""

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        sizes = [settings.width * multiplier for multiplier in settings.multipliers]
        self.encoder = nn.ModuleList(self._block(size, size) for size in sizes[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(Downsample(fine, settings.strides), nn.Conv3d(fine, coarse, 1))
            for fine, coarse in pairwise(sizes)
        )
        self.middle = nn.ModuleList([self._block(sizes[-1], sizes[-1]), self._block(sizes[-1], sizes[-1])])
        self.attention = SelfAttention(sizes[-1], settings.groups) if settings.attention else nn.Identity()
        self.up = nn.ModuleList(
            Upsample(coarse, fine, convolve_first=settings.convolve_first) for fine, coarse in pairwise(sizes)
        )
        self.decoder = nn.ModuleList(self._block(size, size) for size in sizes[:-1])

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, width, D, H, W)."""
        skips = []
        for level, (block, down) in enumerate(zip(self.encoder, self.down, strict=True)):
            x = self._run(block, x, embedding, level)
            skips.append(x)
            x = down(x)
        x = self.middle[1](self.attention(self.middle[0](x, embedding)), embedding)
        for level in reversed(range(len(skips))):
            x = self.up[level](x, skips[level]) + skips[level]
            x = self._run(self.decoder[level], x, embedding, level)
        return x

    def _block(self, channels_in: int, channels: int) -> TimeResidualBlock:
        s = self.settings
        return TimeResidualBlock(channels_in, channels, s.embedding, s.groups, s.film)

    def _run(self, block: nn.Module, x: Tensor, embedding: Tensor, level: int) -> Tensor:
        if self.settings.checkpoint and level == 0 and self.training:
            return checkpoint(block, x, embedding, use_reentrant=False)
        return block(x, embedding)
