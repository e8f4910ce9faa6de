"""The network of ViViT (Arnab et al., arXiv 2103.15691) in 3D: attention over space in every scan, then over scans."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.networks.blocks import Conv3d, depth_to_space
from CRONOSLib.networks.transformer import PLACE_FEATURES, TransformerBlock, token_places


@dataclass(frozen=True)
class VideoTransformer:
    """Size of the network.

    token:    edge of a token in voxels of the folded scan, a power of 2
    width:    features of a token, a multiple of `heads`
    heads:    of the attention
    spatial:  blocks over the tokens of a scan
    temporal: blocks over the scans at a token's place
    decoded:  features at the resolution of the folded scan; there are none of its own when a token is one voxel
    """

    token: int = 4
    width: int = 128
    heads: int = 4
    spatial: int = 4
    temporal: int = 4
    decoded: int = 32

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise MethodError(f"A width of {self.width} cannot be shared by {self.heads} heads. Give a multiple.")
        if self.token < 1 or self.token & (self.token - 1):
            raise MethodError(f"A token cannot be {self.token} voxels wide. Give a power of 2.")

    @property
    def features(self) -> int:
        """Channels that come out."""
        return self.width if self.token == 1 else self.decoded


class ViVit(nn.Module):
    """Factorised encoder that keeps a token at every place, as an image is asked for; decoder of convolutions."""

    def __init__(self, inputs: int, embedding: int, settings: VideoTransformer) -> None:
        super().__init__()
        width, heads = settings.width, settings.heads
        self.tokens = nn.Conv3d(inputs, width, settings.token, stride=settings.token)
        self.place = nn.Linear(PLACE_FEATURES, width)
        self.time = nn.Linear(embedding, width)
        self.spatial = nn.ModuleList(TransformerBlock(width, heads) for _ in range(settings.spatial))
        self.temporal = nn.ModuleList(TransformerBlock(width, heads) for _ in range(settings.temporal))
        self.norm = nn.LayerNorm(width)
        doublings = settings.token.bit_length() - 1
        sizes = [width] + [settings.decoded] * doublings
        self.decoder = nn.Sequential(*(_Doubling(a, b) for a, b in pairwise(sizes)))

    def forward(self, scans: Tensor, mask: Tensor, last: Tensor, times: Tensor) -> Tensor:
        """(B, features, d, h, w).

        scans: (B, T, inputs, d, h, w), axes multiples of a token
        mask:  (B, T), False for padding, which is not looked at
        last:  (B,), index of the scan whose tokens are decoded, after they have seen the others
        times: (B, T, E), the time of every scan
        """
        tokens = self.tokens(scans.flatten(0, 1))
        size = tokens.shape[2:]
        listed = tokens.flatten(2).transpose(1, 2) + self.place(token_places(size, scans.device).flatten(0, 2))
        for attend in self.spatial:
            listed = attend(listed)  # (B·T, places, width)
        seen = listed.unflatten(0, mask.shape) + self.time(times).unsqueeze(2)
        places = seen.shape[2]
        sequences = seen.transpose(1, 2).flatten(0, 1)  # (B·places, T, width)
        for attend in self.temporal:
            sequences = attend(sequences, mask.repeat_interleave(places, dim=0))
        chosen = sequences[torch.arange(len(sequences), device=last.device), last.repeat_interleave(places)]
        volume = self.norm(chosen).unflatten(0, (len(scans), places)).transpose(1, 2).unflatten(2, size)
        return self.decoder(volume)


class _Doubling(nn.Module):
    """(B, inputs, d, h, w) to (B, width, 2 d, 2 h, 2 w) by a convolution that also smooths over the seams of tokens."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv3d(inputs, 8 * width, 1)
        self.smooth = Conv3d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.smooth(functional.silu(depth_to_space(self.spread(x), 2)))
