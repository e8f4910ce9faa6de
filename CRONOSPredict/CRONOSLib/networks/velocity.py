"""The velocity v(X_τ, τ | context, times) of every context scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import Filling
from CRONOSLib.networks.blocks import (
    Conv3d,
    depth_to_space,
    fitting_groups,
    padding_to_multiple,
    space_to_depth,
    zeroed,
)
from CRONOSLib.networks.change import Change
from CRONOSLib.networks.modulation import GroupNorm
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
    time:          how times are told
    unet:          few channels at the finest level, whose many voxels cost most; most of the weights are below it
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
    unet: UNetSettings = field(default_factory=lambda: UNetSettings(16, (1, 4, 8), convolve_first=True))

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
        self.norm = GroupNorm(fitting_groups(settings.unet.groups, width), width)
        self.modulation = zeroed(nn.Linear(embedding, 2 * width))
        slots = 1 if settings.encoder is ScanEncoder.SET else settings.slots
        self.head = Conv3d(width, outputs * slots, 3, padding=1)
        zeroed(self.head)

    def forward(
        self,
        state: Tensor,
        tau: Tensor,
        context: SeriesBatch,
        filling: Filling | None = None,
        shown: Tensor | None = None,
    ) -> Tensor:
        """(B, T, C, D, H, W) velocity, float32.

        state:   (B, T, C, D, H, W), X_τ; padded inside to multiples of patch · 2^(levels − 1)
        tau:     (B,)
        context: the scans that the state started from; 0 in the padding
        filling: of a stacked input, which scan stands in which slot; None: the scans stand in the first slots in turn
        shown:   (B, T), scans that are looked at; None: all
        """
        per_scan, per_patient = self.time(context.times, context.mask, context.target_time, tau)
        inputs = self._inputs(state, context)
        if shown is not None and not shown.all():
            inputs = torch.where(shown[:, :, None, None, None, None], inputs, 0)
        scans, pooled = self.scans(inputs, context, per_scan, filling)
        trunk = self.unet(pooled, per_patient)
        heads = self._heads_of_slots(trunk, state, filling) if scans is None else self._heads(trunk, scans, per_scan)
        candidates = self._folded(self.settings.change.candidates_of(context))
        change = self._unfolded(self.settings.change.weighed(heads, candidates), state.shape)
        if self.settings.from_last:
            change = change + (context.last_image.unsqueeze(1) - context.images)
        return change

    def _inputs(self, state: Tensor, context: SeriesBatch) -> Tensor:
        """(B, T, inputs, D/patch, H/patch, W/patch).

        X_τ, or X₀ and what is small beside it, X₀ − I_last and X_τ − X₀ in units of `change_scale`: as plain images the
        three are nearly the same, and training never finds the difference that matters.
        """
        if not self.settings.clean_context:
            return self._folded(state.flatten(0, 1)).unflatten(0, state.shape[:2])
        start, scale = context.images, 1 / self.settings.change_scale
        images = [start, (start - context.last_image.unsqueeze(1)) * scale, (state - start) * scale]
        folded = [self._folded(_as_computed(image).flatten(0, 1)) for image in images]
        return torch.cat(folded, dim=1).unflatten(0, state.shape[:2])

    def _folded(self, images: Tensor) -> Tensor:
        """(N, C·patch³, D/patch, H/patch, W/patch) of images (N, C, D, H, W), padded at their ends."""
        padding = padding_to_multiple(images.shape[2:], self._multiple)
        return space_to_depth(functional.pad(images, padding) if any(padding) else images, self.settings.patch)

    def _unfolded(self, folded: Tensor, shape: torch.Size) -> Tensor:
        """(B, T, C, D, H, W) without the padding, of (B, T, C·patch³, …)."""
        images = depth_to_space(folded.flatten(0, 1), self.settings.patch).unflatten(0, shape[:2])
        return images[..., : shape[-3], : shape[-2], : shape[-1]]

    @property
    def _multiple(self) -> int:
        return self.settings.patch * 2 ** (len(self.settings.unet.multipliers) - 1)

    def _heads_of_slots(self, trunk: Tensor, state: Tensor, filling: Filling | None) -> Tensor:
        """(B, T, outputs, D/patch, H/patch, W/patch) of each scan; only those of its slot are computed."""
        count, slots = state.shape[1], self.settings.slots
        features = functional.silu(self.norm(trunk))
        if filling is None:
            return self.head(features).unflatten(1, (slots, -1))[:, :count]
        assert self.head.bias is not None
        weights, biases = (
            values.unflatten(0, (slots, -1))[filling.slot].flatten(1, 2)
            for values in (self.head.weight, self.head.bias)
        )
        patients = zip(features.split(1), weights, biases, strict=True)
        return torch.cat([self.head.convolved(*patient) for patient in patients]).unflatten(1, (count, -1))

    def _heads(self, trunk: Tensor, scans: list[Tensor], per_scan: Tensor) -> Tensor:
        """(B, T, outputs, D/patch, H/patch, W/patch) of each scan."""
        # One scan at a time: the gradient of a sum broadcast over T took a sixth of a training step.
        changes = [self._head(trunk + scan, time) for scan, time in zip(scans, per_scan.unbind(1), strict=True)]
        return torch.stack(changes, dim=1)

    def _head(self, features: Tensor, time: Tensor) -> Tensor:
        """(B, outputs, D/patch, H/patch, W/patch) of one scan."""
        return self.head(functional.silu(self.norm(features, self.modulation(time))))


def _as_computed(images: Tensor) -> Tensor:
    """In the precision in which convolutions will take them, before and not after they are copied."""
    device = images.device.type
    return images.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else images
