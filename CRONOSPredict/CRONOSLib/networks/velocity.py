"""The velocity v(X_τ, τ | context, times) of every context scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.known_changes import known_changes
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.networks.blocks import depth_to_space, modulate, padding_to_multiple, space_to_depth, zeroed
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
    gate_horizon:  |t* − t_last| at which the change has reached 76 % of its strength, so that t* = t_last gives
                   I_last exactly; 0 switches the gate off
    change_scale:  normalised intensity that an output of 1 stands for: scans differ by a few per cent, and without it
                   the first steps of training overshoot that many times over
    candidates:    beside a free change, weigh two changes that need no learning, voxel by voxel: to the mean of the
                   scans, and along their least-squares slope; so that training starts from what baselines know
    background:    normalised intensity below which all scans count as air; no change is forecast in air, but for
                   about two voxels around what is not. 0: everywhere
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


class VelocityNetwork(nn.Module):
    """U-Net that predicts the velocity of all context scans at once, at full resolution."""

    def __init__(self, settings: VelocitySettings) -> None:
        super().__init__()
        self.settings = settings
        width, embedding = settings.unet.width, settings.unet.embedding
        inputs = settings.channels * settings.patch**3 * (3 if settings.clean_context else 1)
        outputs = settings.channels * settings.patch**3 * (3 if settings.candidates else 1)
        encoder = ScanSet if settings.encoder is ScanEncoder.SET else ScanStack
        self.time = TimeEmbedding(settings.time, embedding)
        self.scans = encoder(inputs, width, embedding, settings.slots)
        self.unet = UNet(settings.unet)
        self.norm = nn.GroupNorm(min(settings.unet.groups, width), width)
        self.modulation = zeroed(nn.Linear(embedding, 2 * width))
        slots = 1 if settings.encoder is ScanEncoder.SET else settings.slots
        self.head = zeroed(nn.Conv3d(width, outputs * slots, 3, padding=1))

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
        change = self._change(heads, context)
        if self.settings.gate_horizon:
            change = change * _gate(context.horizon, self.settings.gate_horizon)
        if self.settings.background:
            change = change * _body(context, self.settings.background)
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

    def _change(self, heads: Tensor, context: SeriesBatch) -> Tensor:
        """(B, T, C, D, H, W) change from the last scan that the outputs stand for."""
        if not self.settings.candidates:
            return heads * self.settings.change_scale
        free, to_mean, along_slope = heads.chunk(3, dim=2)
        mean, trend = known_changes(context)
        return free * self.settings.change_scale + to_mean * mean.unsqueeze(1) + along_slope * trend.unsqueeze(1)

    def _heads(self, trunk: Tensor, scans: Tensor | None, per_scan: Tensor, count: int) -> Tensor:
        """(B, T, outputs, D, H, W) of each scan."""
        if scans is None:
            stacked = depth_to_space(self.head(functional.silu(self.norm(trunk))), self.settings.patch)
            return stacked.unflatten(1, (self.settings.slots, -1))[:, :count]
        # One scan at a time: the gradient of a sum broadcast over T took a sixth of a training step.
        changes = [
            self._head(trunk + scan, time) for scan, time in zip(scans.unbind(1), per_scan.unbind(1), strict=True)
        ]
        return torch.stack(changes, dim=1)

    def _head(self, features: Tensor, time: Tensor) -> Tensor:
        """(B, outputs, D, H, W) of one scan."""
        features = modulate(self.norm(features), self.modulation(time))
        return depth_to_space(self.head(functional.silu(features)), self.settings.patch)


def _gate(horizon: Tensor, scale: float) -> Tensor:
    return torch.tanh(horizon.abs() / scale)[:, None, None, None, None, None]


def _body(context: SeriesBatch, background: float) -> Tensor:
    """(B, 1, 1, D, H, W) 1 within about two voxels of anything brighter than the background in any scan, else 0."""
    brightest = torch.where(context.mask[:, :, None, None, None, None], context.images, -torch.inf).amax(dim=(1, 2))
    bright = (brightest > background).float().unsqueeze(1)
    coarse = functional.max_pool3d(bright, 2, ceil_mode=True)
    near = functional.max_pool3d(coarse, 3, stride=1, padding=1)
    return functional.interpolate(near, size=bright.shape[2:], mode="nearest").unsqueeze(1)
