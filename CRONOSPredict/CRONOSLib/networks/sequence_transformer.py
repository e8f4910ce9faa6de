"""The attention module of SADM: the scans of a patient to one conditioning volume (arXiv 2212.08228, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.networks.blocks import Conv3d, depth_to_space, padding_to_multiple, space_to_depth
from CRONOSLib.networks.transformer import PLACE_FEATURES, TransformerBlock, token_places


class AttentionSpan(Enum):
    """What a token of the temporal encoder attends to.

    FACTORISED: the tokens at its place, over time: the paper
    JOINT:      all tokens, over space and time: the release
    """

    FACTORISED = "factorised"
    JOINT = "joint"


@dataclass(frozen=True)
class SequenceSettings:
    """Size of the attention module.

    patch:  edge of a token at the finest level, in voxels
    width:  features of a token, a multiple of `heads`
    heads:  of the attention
    blocks: of the encoder, each of which halves the tokens along every axis, and of the decoder, which doubles them
    span:   what the encoder attends to
    """

    patch: int = 4
    width: int = 48
    heads: int = 4
    blocks: int = 2
    span: AttentionSpan = AttentionSpan.FACTORISED

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise MethodError(f"A width of {self.width} cannot be shared by {self.heads} heads. Give a multiple.")


class SequenceTransformer(nn.Module):
    """Temporal encoder, spatial decoder, and the mean over time of what they make of every frame."""

    def __init__(self, settings: SequenceSettings, channels: int, embedding: int) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        self.tokens = nn.Conv3d(channels * settings.patch**3, width, 1)
        self.place = nn.Linear(PLACE_FEATURES, width)
        self.time = nn.Linear(embedding, width)
        self.encoder = nn.ModuleList(TransformerBlock(width, settings.heads) for _ in range(settings.blocks))
        self.shrink = nn.ModuleList(nn.Conv3d(8 * width, width, 1) for _ in range(settings.blocks))
        self.decoder = nn.ModuleList(TransformerBlock(width, settings.heads) for _ in range(settings.blocks))
        self.grow = nn.ModuleList(nn.Conv3d(width, 8 * width, 1) for _ in range(settings.blocks))
        self.to_voxels = nn.Conv3d(width, channels * settings.patch**3, 1)
        self.smooth = Conv3d(channels, channels, 3, padding=1)

    def forward(self, frames: Tensor, mask: Tensor, codes: Tensor) -> Tensor:
        """(B, C, D, H, W) conditioning volume.

        frames: (B, L, C, D, H, W); a missing scan is 0 and keeps its code
        mask:   (B, L), False for padding, which is not looked at
        codes:  (B, L, E), the time of every frame
        """
        tokens = self._tokens(frames, codes)
        for attend, shrink in zip(self.encoder, self.shrink, strict=True):
            tokens = self._over_time(attend, tokens, mask)
            tokens = shrink(space_to_depth(tokens.flatten(0, 1), 2)).unflatten(0, mask.shape)
        for attend, grow in zip(self.decoder, self.grow, strict=True):
            tokens = _over_space(attend, tokens)
            tokens = depth_to_space(grow(tokens.flatten(0, 1)), 2).unflatten(0, mask.shape)
        present = mask[:, :, None, None, None, None].to(tokens.dtype)
        pooled = (tokens * present).sum(dim=1) / present.sum(dim=1)
        volume = self.smooth(depth_to_space(self.to_voxels(pooled), self.settings.patch))
        depth, height, width = frames.shape[3:]
        return volume[..., :depth, :height, :width]

    def _tokens(self, frames: Tensor, codes: Tensor) -> Tensor:
        """(B, L, width, d, h, w)."""
        multiple = self.settings.patch * 2**self.settings.blocks
        images = frames.flatten(0, 1)
        images = functional.pad(images, padding_to_multiple(images.shape[2:], multiple))
        tokens = self.tokens(space_to_depth(images, self.settings.patch)).unflatten(0, frames.shape[:2])
        place = self.place(token_places(tokens.shape[3:], frames.device)).permute(3, 0, 1, 2)
        return tokens + place + self.time(codes)[..., None, None, None]

    def _over_time(self, attend: nn.Module, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, frames, width, *size = tokens.shape
        listed = tokens.flatten(3).permute(0, 3, 1, 2)  # (B, places, L, width)
        places = listed.shape[1]
        if self.settings.span is AttentionSpan.JOINT:
            attended = attend(listed.flatten(1, 2), mask.repeat(1, places)).unflatten(1, (places, frames))
        else:
            attended = attend(listed.flatten(0, 1), mask.repeat_interleave(places, dim=0)).unflatten(0, (batch, places))
        return attended.permute(0, 2, 3, 1).reshape(batch, frames, width, *size)


def _over_space(attend: nn.Module, tokens: Tensor) -> Tensor:
    listed = tokens.flatten(0, 1).flatten(2).transpose(1, 2)  # (B·L, places, width)
    return attend(listed).transpose(1, 2).reshape_as(tokens)
