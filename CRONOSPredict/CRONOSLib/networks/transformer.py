"""What transformers over images are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.time_codes import fourier_features

_PLACE_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)
"""Cycles over the image, of the code that tells a token where it stands."""

PLACE_FEATURES = 6 * len(_PLACE_FREQUENCIES)
"""Features of `token_places`."""


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each added to its normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, S, width) tokens, of which only those with a true `mask` (N, S) are attended to."""
        qkv = self.to_qkv(self.norm_attention(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        seen = None if mask is None else mask[:, None, None]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(x)


def token_places(size: torch.Size, device: torch.device) -> Tensor:
    """(d, h, w, F) Fourier features of where each token stands, 0 … 1 along every axis."""
    axes = [(torch.arange(length, device=device) + 0.5) / length for length in size]
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return fourier_features(coordinates, _PLACE_FREQUENCIES).flatten(3)
