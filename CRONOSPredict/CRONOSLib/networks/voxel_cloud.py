"""The velocity of a cloud of voxels: the network of NODER, one per patient (arXiv 2407.13241)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import ceil, prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from CRONOSLib.errors import MethodError
from CRONOSLib.flow.deformation import exponential, normalised, resized, voxel_cloud
from CRONOSLib.flow.smoothing import Smoothing, gaussian


class TimeInject(Enum):
    """How time reaches the network (METHODS 8.25).

    NONE:   not at all: the flow is autonomous
    FILM:   scales and shifts the hidden features
    ADD:    an embedding is added to the feature of the cloud: the paper
    CONCAT: the bare number, repeated, stands beside the feature: the release
    """

    NONE = "none"
    FILM = "film"
    ADD = "add"
    CONCAT = "concat"


class Decoder(Enum):
    """What turns the hidden features into velocities.

    LINEAR:      one layer: the release
    AUTOENCODER: the decoder of an auto-encoder of deformations, trained before the fit and refined by it: the paper
    """

    LINEAR = "linear"
    AUTOENCODER = "autoencoder"


@dataclass(frozen=True)
class CloudSettings:
    """Settings of the network.

    width:     channels of the encoder
    levels:    convolutions of stride 2 in the encoder
    hidden:    features between encoder and decoder
    coarser:   the decoder's grid has one node every so many voxels of the cloud
    time:      see `TimeInject`
    decoder:   see `Decoder`
    smoothing: kernel K over the velocity, voxels of the cloud
    """

    width: int = 32
    levels: int = 5
    hidden: int = 32
    coarser: int = 2
    time: TimeInject = TimeInject.FILM
    decoder: Decoder = Decoder.LINEAR
    smoothing: Smoothing = field(default_factory=Smoothing)


class CloudVelocity(nn.Module):
    """dφ/dt = K ∗ D(f(E(φ), t)): velocity of every voxel, from the whole cloud and the time.

    shape: (D, H, W) of the cloud
    still: let the decoder start at 0, and so the velocity
    """

    def __init__(self, shape: Sequence[int], settings: CloudSettings, *, still: bool = True) -> None:
        super().__init__()
        self.shape, self.settings = tuple(shape), settings
        self.coarse = tuple(max(2, ceil(size / settings.coarser)) for size in shape)
        self.evaluations = 0
        small = tuple(ceil(ceil(size / 2) / 2**settings.levels) for size in shape)
        features = settings.width * prod(small)
        self.encoder = _encoder(settings)
        self.embedding = nn.Linear(1, features)
        doubled = 2 if settings.time is TimeInject.CONCAT else 1
        self.hidden = nn.Linear(doubled * features, settings.hidden)
        self.film = nn.Linear(1, 2 * settings.hidden)
        self.decoder: nn.Module = (
            nn.Linear(settings.hidden, 3 * prod(self.coarse))
            if settings.decoder is Decoder.LINEAR
            else _ConvDecoder(settings, small, self.coarse)
        )
        if still:
            last = self.decoder if isinstance(self.decoder, nn.Linear) else self.decoder.last
            for value in last.parameters():
                nn.init.zeros_(value)

    @torch.no_grad()
    def begin_with(self, velocity: Tensor) -> None:
        """Start from a velocity (1, 3, d, h, w) on any grid, in voxels of that grid: the bias of a linear decoder.

        Raises MethodError for another decoder.
        """
        if not isinstance(self.decoder, nn.Linear):
            raise MethodError("Only the linear decoder can begin with a predicted velocity. Choose it, or start still.")
        half_grid = velocity.new_tensor(self.coarse).view(1, 3, 1, 1, 1) / 2
        self.decoder.bias.copy_((resized(velocity, self.coarse) / half_grid).flatten())

    def forward(self, time: Tensor, displacement: Tensor) -> Tensor:
        """(1, 3, D, H, W) velocity, voxels per unit time; `time` has shape (), `displacement` is the cloud's own."""
        self.evaluations += 1
        velocity = self.decode(self._features(self.encode(displacement), time.reshape(1, 1).to(displacement)))
        return self.settings.smoothing(velocity)

    def encode(self, displacement: Tensor) -> Tensor:
        """(N, features) of clouds (N, 3, D, H, W), taken at half resolution in coordinates −1…1."""
        cloud = normalised(voxel_cloud(self.shape, displacement) + displacement)
        half = [ceil(size / 2) for size in self.shape]
        return self.encoder(functional.interpolate(cloud, half, mode="trilinear", align_corners=False))

    def decode(self, hidden: Tensor) -> Tensor:
        """(N, 3, D, H, W) velocity before the kernel, of hidden features (N, hidden)."""
        coarse = self.decoder(hidden).view(len(hidden), 3, *self.coarse)
        scale = coarse.new_tensor(self.shape).view(1, 3, 1, 1, 1) / 2  # the decoder speaks in coordinates −1…1
        return scale * functional.interpolate(coarse, self.shape, mode="trilinear", align_corners=False)

    def _features(self, feature: Tensor, time: Tensor) -> Tensor:
        how = self.settings.time
        if how is TimeInject.ADD:
            feature = feature + self.embedding(time)
        if how is TimeInject.CONCAT:
            feature = torch.cat([feature, time.expand_as(feature)], dim=1)
        hidden = self.hidden(feature)
        if how is TimeInject.FILM:
            scale, shift = self.film(time).chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return hidden.relu()


class _ConvDecoder(nn.Module):
    """From hidden features to a coarse grid by up-sampling and convolving."""

    def __init__(self, settings: CloudSettings, small: Sequence[int], coarse: Sequence[int]) -> None:
        super().__init__()
        self.small, self.coarse = tuple(small), tuple(coarse)
        self.first = nn.Linear(settings.hidden, settings.width * prod(small))
        self.middle = nn.Conv3d(settings.width, settings.width, 3, padding=1, padding_mode="replicate")
        self.last = nn.Conv3d(settings.width, 3, 3, padding=1, padding_mode="replicate")

    def forward(self, hidden: Tensor) -> Tensor:
        grid = self.first(hidden).view(len(hidden), -1, *self.small)
        grid = self.middle(functional.interpolate(grid, self.coarse, mode="trilinear", align_corners=False))
        return self.last(grid.relu())


def _encoder(settings: CloudSettings) -> nn.Sequential:
    layers: list[nn.Module] = []
    for level in range(settings.levels):
        channels = 3 if level == 0 else settings.width
        layers.append(nn.Conv3d(channels, settings.width, 3, stride=2, padding=1, padding_mode="replicate"))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers[:-1], nn.Flatten())


def train_autoencoder(network: CloudVelocity, steps: int, *, clouds: int = 2, largest: float = 0.1) -> None:
    """Teach encoder and decoder to reproduce random diffeomorphic deformations; the encoder then stays as it is.

    The deformations are exponentials of smooth random velocities: the paper takes those of a cohort's registrations.

    largest: standard deviation of the deformations' displacement, fraction of the grid
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    like, shape = network.embedding.weight, [max(4, size // 4) for size in network.shape]
    amplitude = largest * like.new_tensor(network.shape).view(1, 3, 1, 1, 1)
    still = like.new_zeros(1, 1)
    for _ in range(steps):
        noise = gaussian(torch.randn(clouds, 3, *shape).to(amplitude), 1.5)
        noise = noise / noise.std() * torch.rand(clouds, 1, 1, 1, 1).to(amplitude)
        velocity = functional.interpolate(noise, network.shape, mode="trilinear", align_corners=False)
        deformation = exponential(velocity * amplitude)
        loss = (network.decode(network._features(network.encode(deformation), still)) - deformation).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.encoder.requires_grad_(False)
