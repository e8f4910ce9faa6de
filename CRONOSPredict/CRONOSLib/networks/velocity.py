"""The velocity v(X_τ, τ | context, times) of every context scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.networks.blocks import Conv3d, depth_to_space, modulate, padding_to_multiple, space_to_depth, zeroed
from CRONOSLib.networks.change import Change
from CRONOSLib.networks.scan_encoders import ScanSet, ScanStack
from CRONOSLib.networks.time_embedding import TimeEmbedding, TimeSettings
from CRONOSLib.networks.unet import UNet, UNetSettings


class ScanEncoder(Enum):
    """How the scans of a patient enter the network.

    SET:   one small encoder shared by all scans, pooled over time: any number of scans, cost linear in it. Ours.
    STACK: scans as input channels in a fixed number of slots, as published
    """

    SET = "set"
    STACK = "stack"


@dataclass(frozen=True)
class VelocitySettings:
    """The network and its switches.

    channels:      image channels C
    encoder:       how the scans enter
    slots:         number of channels slots of a stacked input
    patch:         edge of the cubes folded into channels before the first convolution; 2 works at half resolution
                   inside while the velocity stays at full resolution
    clean_context: the untouched context X₀ beside X_τ
    from_last:     predict the way from the last scan: v_i = (I_last − X₀_i) + change, so that an untrained network
                   forecasts the last scan from every member
    gate_horizon, change_scale, candidates, background: how an output becomes a change, as in `Change`
    """

    channels: int = 1
    encoder: ScanEncoder = ScanEncoder.SET
    slots: int = 8
    patch: int = 2
    clean_context: bool = True
    from_last: bool = True
    gate_horizon: float = 0.05
    change_scale: float = 0.1
    candidates: bool = True
    background: float = 0.05
    time: TimeSettings = field(default_factory=TimeSettings)
    unet: UNetSettings = field(default_factory=UNetSettings)

    @property
    def change(self) -> Change:
        """What the outputs stand for."""
        return Change(self.change_scale, self.candidates, self.gate_horizon, self.background)


class VelocityNetwork(nn.Module):
    """U-Net that predicts the velocity of all context scans at once, at full resolution."""

    def __init__(self, settings: VelocitySettings) -> None:
        super().__init__()
        self.settings = settings
        width, embedding = settings.unet.width, settings.unet.embedding
        inputs = settings.channels * settings.patch**3 * (3 if settings.clean_context else 1)
        outputs = settings.channels * settings.patch**3 * settings.change.outputs
        encoder = ScanSet if settings.encoder is ScanEncoder.SET else ScanStack
        self.time = TimeEmbedding(settings.time, embedding)
        self.scans = encoder(inputs, width, embedding, settings.slots)
        self.unet = UNet(settings.unet)
        self.norm = nn.GroupNorm(min(settings.unet.groups, width), width)
        self.modulation = zeroed(nn.Linear(embedding, 2 * width))
        slots = 1 if settings.encoder is ScanEncoder.SET else settings.slots
        self.head = zeroed(Conv3d(width, outputs * slots, 3, padding=1))

    def forward(self, state: Tensor, tau: Tensor, context: SeriesBatch) -> Tensor:
        """(B, T, C, D, H, W) velocity, float32.

        state:   (B, T, C, D, H, W), X_τ; padded inside to multiples of patch · 2^(levels − 1)
        tau:     (B,)
        context: the scans that the state started from; 0 in the padding
        """
        per_scan, per_patient = self.time(context.times, context.mask, context.target_time, tau)
        scans, pooled = self.scans(self._inputs(state, context), context, per_scan)
        trunk = self.unet(pooled, per_patient)
        heads = self._heads(trunk, scans, per_scan, count=state.shape[1])
        heads = heads[..., : state.shape[-3], : state.shape[-2], : state.shape[-1]].float()
        change = self.settings.change(heads, context)
        if self.settings.from_last:
            change = change + (context.last_image.unsqueeze(1) - context.images)
        return change

    def _inputs(self, state: Tensor, context: SeriesBatch) -> Tensor:
        """(B, T, inputs, D/patch, H/patch, W/patch)."""
        images = self._beside_context(state, context) if self.settings.clean_context else state
        folded = images.flatten(0, 1)
        folded = functional.pad(folded, padding_to_multiple(folded.shape[2:], self._multiple))
        return space_to_depth(folded, self.settings.patch).unflatten(0, state.shape[:2])

    def _beside_context(self, state: Tensor, context: SeriesBatch) -> Tensor:
        """(B, T, 3·C, D, H, W): X₀, and what is small beside it: X₀ − I_last and X_τ − X₀ in units of `change_scale`.

        As plain images the three are nearly the same, and training never finds the difference that matters.
        """
        context_images, last = context.images, context.last_image.unsqueeze(1)
        small = torch.cat([context_images - last, state - context_images], dim=2) / self.settings.change_scale
        return torch.cat([context_images, small], dim=2)

    @property
    def _multiple(self) -> int:
        return self.settings.patch * 2 ** (len(self.settings.unet.multipliers) - 1)

    def _heads(self, trunk: Tensor, scans: list[Tensor] | None, per_scan: Tensor, count: int) -> Tensor:
        """(B, T, outputs, D, H, W) of each scan."""
        if scans is None:
            stacked = depth_to_space(self.head(functional.silu(self.norm(trunk))), self.settings.patch)
            return stacked.unflatten(1, (self.settings.slots, -1))[:, :count]
        # One scan at a time: the gradient of a sum broadcast over T took a sixth of a training step.
        changes = [self._head(trunk + scan, time) for scan, time in zip(scans, per_scan.unbind(1), strict=True)]
        return torch.stack(changes, dim=1)

    def _head(self, features: Tensor, time: Tensor) -> Tensor:
        """(B, outputs, D, H, W) of one scan."""
        features = modulate(self.norm(features), self.modulation(time))
        return depth_to_space(self.head(functional.silu(features)), self.settings.patch)
