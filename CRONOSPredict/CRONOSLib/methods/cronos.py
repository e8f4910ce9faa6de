"""What both variants of CRONOS share: flow matching from every context scan to the target (arXiv 2512.16577)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.flow.aggregation import LearnedWeights, check_aggregation, last_weights, mean_weights
from CRONOSLib.flow.coupling import optimal_transport_resampled, paired
from CRONOSLib.flow.path import StraightPath, draw_flow_steps
from CRONOSLib.flow.penalty import relative_to_copying
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.slot_grid import Filling
from CRONOSLib.flow.solvers import Solver, integrate
from CRONOSLib.methods.interface import Members, Method, OnStep
from CRONOSLib.networks.time_embedding import TimeCode, TimeSettings
from CRONOSLib.networks.unet import UNetSettings
from CRONOSLib.networks.velocity import ScanEncoder, VelocityNetwork, VelocitySettings


class Coupling(Enum):
    """Which target a patient's contexts are trained towards."""

    PAIRED = "paired"
    OT_RELEASE = "ot-release"


@dataclass(frozen=True)
class CronosSettings:
    """Switches of CRONOS; the defaults are what measures best, presets hold the published choices.

    at_start:    share of training draws with the flow step exactly 0 (0: uniform, as published)
    error_floor: normalised intensity²; in training, a patient's squared error counts relative to that of copying the
                 last scan plus this, so that patients who change little teach as much as those who change a lot, as
                 in the skill that is measured. 0: plain squared error, as published
    """

    network: VelocitySettings = field(default_factory=VelocitySettings)
    path: StraightPath = field(default_factory=StraightPath)
    solver: Solver = field(default_factory=Solver)
    aggregate: str = "last"
    coupling: Coupling = Coupling.PAIRED
    at_start: float = 0.5
    error_floor: float = 2e-4


@dataclass(frozen=True)
class Arrangement:
    """The scans as the network takes them.

    batch:   with T′ slots in place of T scans, or with the T scans
    member:  (B, T), the place in `batch` in which each scan stands, or None when it is its own
    copy_of: (B, T′), instead of `member`: the scan in each place, where one may stand in several, or in none
    filling: which scan of `batch` stands in which slot of the network, or None when they do in turn
    shown:   (B, T′), what the network looks at, the rest being 0 to it, or None when that is everything
    """

    batch: SeriesBatch
    member: Tensor | None = None
    filling: Filling | None = None
    shown: Tensor | None = None
    copy_of: Tensor | None = None


class Cronos(Method):
    """Flow matching with temporal broadcasting: X₀ is the context stack, X₁ the target repeated for every scan."""

    def __init__(self, settings: CronosSettings) -> None:
        super().__init__()
        check_aggregation(settings.aggregate)
        self.settings = settings
        self.velocity = VelocityNetwork(settings.network)
        self.learned_weights = LearnedWeights() if settings.aggregate == "learned" else None

    @abstractmethod
    def arrange(self, batch: SeriesBatch) -> Arrangement:
        """The scans in the slots of the network."""

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Squared error of the velocity, mean over true scans: E ‖v(X_τ, τ) − (X₁ − X₀)‖² (CRONOS, eq. 4)."""
        arranged = self.arrange(batch)
        context = arranged.batch
        assert context.target is not None
        couple = paired if self.settings.coupling is Coupling.PAIRED else optimal_transport_resampled
        source, target = couple(context.images, context.target)
        tau = draw_flow_steps(len(source), self.settings.at_start, source.device)
        sample = self.settings.path.sample(source, target, tau)
        velocity = self.velocity(sample.point, tau, context, arranged.filling, arranged.shown)
        loss = self._mean(functional.mse_loss(velocity, sample.velocity, reduction="none"), context, target)
        if self.learned_weights is not None:
            remaining = (1 - tau)[:, None, None, None, None, None]
            members = (sample.point + remaining * velocity).detach()
            forecast = Members(members, context.mask, self._weights(context)).forecast
            loss = loss + torch.mean((forecast - target) ** 2)
        return loss

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None, keep_trajectory: bool = False) -> Members:
        """Integrate the velocity from every context scan to τ = 1; the trajectory on request."""
        arranged = self.arrange(batch)
        context = arranged.batch

        def velocity(state: Tensor, tau: Tensor) -> Tensor:
            if on_step:
                on_step(float(tau))
            return self.velocity(state, tau.expand(len(state)), context, arranged.filling, arranged.shown)

        flow = integrate(velocity, context.images, self.settings.solver, keep_trajectory=keep_trajectory)
        if on_step:
            on_step(1.0)
        members = Members(flow.state, context.mask, self._weights(context), flow.nfe, flow.trajectory, flow.one_step)
        if arranged.copy_of is not None:
            return _merged(members, arranged.copy_of, batch.images)
        return members if arranged.member is None else _pick(members, arranged.member, batch.mask, self._weights(batch))

    def _mean(self, error: Tensor, context: SeriesBatch, target: Tensor) -> Tensor:
        """Scalar mean of (B, T, C, D, H, W) squared errors, over everything but padding."""
        per_patient = (error.flatten(2).mean(dim=2) * context.mask).sum(dim=1) / context.mask.sum(dim=1)
        return relative_to_copying(per_patient, context.last_image, target, self.settings.error_floor).mean()

    def _weights(self, batch: SeriesBatch) -> Tensor:
        if self.learned_weights is not None:
            return self.learned_weights(batch.last_time[:, None] - batch.times, batch.horizon, batch.mask)
        if self.settings.aggregate == "mean":
            return mean_weights(batch.mask)
        return last_weights(batch.times, batch.mask)


def published_network(code: TimeCode) -> VelocitySettings:
    """The network of the paper: X_τ alone enters as channels, full resolution, width 32, multipliers 1, 1, 2, 4.

    The frequencies of its time code are not published; these are ours.
    """
    return VelocitySettings(
        encoder=ScanEncoder.STACK,
        patch=1,
        clean_context=False,
        from_last=False,
        gate_horizon=0.0,
        change_scale=1.0,
        candidates=False,
        background=0.0,
        time=TimeSettings(code, frequencies=(0.5, 1.0, 2.0, 4.0)),
        unet=UNetSettings(multipliers=(1, 1, 2, 4), attention=True),
    )


def _pick(members: Members, slot: Tensor, mask: Tensor, weights: Tensor) -> Members:
    """The members of the scans, out of those of the slots; `slot` (B, T) says which."""
    index = slot[:, :, None, None, None, None].expand(-1, -1, *members.images.shape[2:])
    path, one_step = members.trajectory, members.one_step
    return Members(
        images=members.images.gather(1, index),
        mask=mask,
        weights=weights,
        nfe=members.nfe,
        trajectory=None if path is None else path.gather(2, index.expand(len(path), *index.shape)),
        one_step=None if one_step is None else one_step.gather(1, index),
    )


def _merged(members: Members, copy_of: Tensor, scans: Tensor) -> Members:
    """The members of the scans (B, T, C, D, H, W): of one in several places the mean, of one in none it stays itself.

    copy_of: (B, T′), the scan in each place; their weights add up, so that the forecast is the same
    """
    present = members.mask.to(members.weights.dtype)
    nothing = torch.zeros_like(present[:, :1]).expand(scans.shape[:2])
    counts = nothing.scatter_add(1, copy_of, present)
    mask = counts > 0

    def of_scans(images: Tensor) -> Tensor:
        shown = torch.where(_per_scan(members.mask), images, 0)
        sums = torch.zeros_like(scans).scatter_add(1, _per_scan(copy_of).expand_as(images), shown)
        return torch.where(_per_scan(mask), sums / _per_scan(counts.clamp(min=1)), scans)

    path, one_step = members.trajectory, members.one_step
    return Members(
        images=of_scans(members.images),
        mask=mask,
        weights=nothing.scatter_add(1, copy_of, members.weights),
        nfe=members.nfe,
        trajectory=None if path is None else torch.stack([of_scans(state) for state in path]),
        one_step=None if one_step is None else of_scans(one_step),
    )


def _per_scan(values: Tensor) -> Tensor:
    """(B, T, 1, 1, 1, 1) of (B, T)."""
    return values[:, :, None, None, None, None]
