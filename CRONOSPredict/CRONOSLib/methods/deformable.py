"""What the methods share that forecast by deforming a scan of the patient."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional

from CRONOSLib.flow.aggregation import last_weights
from CRONOSLib.flow.deformation import (
    compose,
    exponential,
    inverse,
    resized,
    squared_at_border,
    squared_gradient,
    warp,
)
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.flow.similarity import Dissimilarity
from CRONOSLib.methods.interface import Members, Method, OnStep
from CRONOSLib.methods.untrained import clip_to_contexts
from CRONOSLib.networks.registration import PairwiseVelocity, RegistrationSettings

_CLIP = 0.05
"""The forecast stays in the contexts' own intensity range, widened by this fraction."""


class Reference(Enum):
    """The scan that is deformed, and from which time is measured: FIRST as published."""

    LAST = "last"
    FIRST = "first"


class Residual(Enum):
    """What becomes of intensities that no deformation explains.

    OFF:   nothing: a forecast shows what the reference shows, elsewhere
    RIDGE: carried into the reference, they make a shrunken line over time there, and are carried on by the flow
    """

    OFF = "off"
    RIDGE = "ridge"


@dataclass(frozen=True)
class Descent:
    """How the parameters of one patient are found: Adam, keeping the best parameters.

    patience: stop when so many iterations in a row gave no loss lower by one part in a thousand
    """

    iterations: int = 300
    learning_rate: float = 0.005
    patience: int = 40
    amsgrad: bool = False


@dataclass(frozen=True)
class DeformableSettings:
    """Settings that all deforming methods have.

    fit_size:    most voxels along an axis while fitting; 0: those of the scans. The forecast is made at full resolution
    smoothness:  weight of the mean ‖∇u‖² (λ₁)
    boundary:    weight of the mean ‖u‖² on the faces of the grid, voxels² (λ₂)
    shrinkage:   shortens the horizon beyond the last scan by Σ t² / (Σ t² + shrinkage), the span of the scans being 1:
                 a slope is never certain
    max_ratio:   largest horizon ÷ span of the scans; 0: any
    predictor:   the network that predicts velocities, where one does
    """

    reference: Reference = Reference.LAST
    residual: Residual = Residual.OFF
    fit_size: int = 48
    dissimilarity: Dissimilarity = field(default_factory=Dissimilarity)
    smoothness: float = 0.05
    boundary: float = 1e-4
    descent: Descent = field(default_factory=Descent)
    shrinkage: float = 4.0
    max_ratio: float = 3.0
    predictor: RegistrationSettings = field(default_factory=RegistrationSettings)


@dataclass(frozen=True)
class Visits:
    """The scans of one patient while fitting, oldest first.

    images:    (K, C, d, h, w) on the grid of the fit
    times:     (K,), 0 at the reference, the span of the scans being 1
    reference: index of the scan that is deformed
    """

    images: Tensor
    times: Tensor
    reference: int

    @property
    def followed(self) -> Tensor:
        """(K − 1,) indices of the scans that the deformed reference is compared with."""
        return torch.tensor([k for k in range(len(self.times)) if k != self.reference], device=self.times.device)


@dataclass(frozen=True)
class Flow:
    """φ of one patient: the scan at time t is reference ∘ φ(t).

    at:          times (N,), as those of `Visits`, to displacements (N, 3, d, h, w) in voxels of the fit
    evaluations: of a network so far, those of the fit and of every call
    """

    at: Callable[[Tensor], Tensor]
    evaluations: Callable[[], int] = lambda: 0


class DeformableMethod(Method):
    """A flow fitted to one patient, by which a scan is carried to the target time. One scan gives LCI.

    predicts: a network, trained on a cohort, predicts velocities from pairs of scans
    """

    def __init__(self, settings: DeformableSettings, *, predicts: bool = False) -> None:
        super().__init__()
        self.settings = settings
        self.predictor = PairwiseVelocity(settings.predictor) if predicts else None
        self.register_buffer("place", torch.empty(0), persistent=False)  # tells the device where there are no weights
        self._latest: _Fitted | None = None

    @abstractmethod
    def fit(self, visits: Visits, predicted: Tensor | None, on_step: OnStep) -> Flow:
        """The flow of a patient with two scans or more.

        predicted: (1, 3, d, h, w) velocity per span of the scans, of methods that predict one
        """

    def loss(self, batch: SeriesBatch) -> Tensor:
        """Registration loss of the predictor; without one nothing is learnt: mean squared error of the forecast."""
        if self.predictor is not None:
            return registration_loss(self.predictor, batch, self.settings)
        assert batch.target is not None
        return torch.mean((self.forecast(batch).forecast - batch.target) ** 2)

    def forecast(self, batch: SeriesBatch, *, on_step: OnStep | None = None) -> Members:
        """Fit each patient, and carry the reference to the target time; the result is the member of the last scan.

        Gradients are taken whatever mode the caller is in. Every patient starts from the same random numbers, and the
        caller's go on undisturbed.
        """
        tell = on_step or (lambda done: None)
        count = len(batch.images)
        carried = []
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(batch.images.device.type, enabled=False):
            for row in range(count):
                patient = _row(batch, row)
                with torch.random.fork_rng():
                    carried.append(self._carry(patient, _share(tell, row, count)))
        image, displacement = (torch.cat([getattr(one, name) for one in carried]) for name in ("image", "displacement"))
        tell(1.0)
        return Members(
            images=clip_to_contexts(batch, image, _CLIP).unsqueeze(1).expand_as(batch.images),
            mask=batch.mask,
            weights=last_weights(batch.times, batch.mask),
            nfe=sum(one.nfe for one in carried),
            displacement=displacement,
        )

    def _carry(self, patient: SeriesBatch, tell: OnStep) -> _Carried:
        """One patient (a batch of one, oldest scan first, no padding) at the target time."""
        images, times = patient.images[0], patient.times[0]
        shape = images.shape[2:]
        if len(times) < 2:
            return _Carried(images[-1:], images.new_zeros(1, 3, *shape), 0)
        reference = len(times) - 1 if self.settings.reference is Reference.LAST else 0
        span = times[-1] - times[0]
        relative = (times - times[reference]) / span
        visits = Visits(shrunk(images, self.settings.fit_size), relative, reference)
        flow, before = self._fitted(visits, tell)
        with torch.no_grad():
            target = self._reached(relative, patient.horizon[0] / span)
            to_target = resized(flow.at(target[None]), shape)
            image = images[reference][None]
            if self.settings.residual is Residual.RIDGE:
                image = image + target * _residual_slope(images, visits, flow)
            to_last = resized(flow.at(relative[-1:]), shape) if reference != len(times) - 1 else None
            from_last = to_target if to_last is None else compose(inverse(to_last), to_target)
            looks = 0 if self.predictor is None else len(visits.followed)
            return _Carried(warp(image, to_target), from_last, flow.evaluations() - before + looks)

    def _fitted(self, visits: Visits, tell: OnStep) -> tuple[Flow, int]:
        """The flow of a patient, and how many of its evaluations were made for an earlier forecast.

        The latest fit is kept, so that another target time starts at once.
        """
        chance, predicted = torch.random.get_rng_state(), self._predicted(visits)
        latest = self._latest
        if latest is not None and latest.belongs_to(visits, chance, predicted):
            return latest.flow, latest.flow.evaluations()
        flow = self.fit(visits, predicted, tell)
        self._latest = _Fitted(visits, chance, predicted, flow)
        return flow, 0

    def _predicted(self, visits: Visits) -> Tensor | None:
        if self.predictor is None:
            return None
        with torch.no_grad():
            return predicted_slope(self.predictor, visits)

    def _reached(self, times: Tensor, horizon: Tensor) -> Tensor:
        """The target time as the flow takes it: `horizon` after the last scan, in spans, held back."""
        if horizon > 0:
            spread = times.square().sum()
            horizon = horizon.clamp(max=self.settings.max_ratio or torch.inf)
            horizon = horizon * spread / (spread + self.settings.shrinkage)
        return times[-1] + horizon


@dataclass(frozen=True)
class _Fitted:
    """A fit, and what it was made from: scans, the state of the random numbers, and a predicted velocity."""

    visits: Visits
    chance: Tensor
    predicted: Tensor | None
    flow: Flow

    def belongs_to(self, visits: Visits, chance: Tensor, predicted: Tensor | None) -> bool:
        mine = self.visits
        return (
            torch.equal(mine.times, visits.times)
            and torch.equal(mine.images, visits.images)
            and torch.equal(self.chance, chance)
            and (predicted is None or (self.predicted is not None and torch.equal(self.predicted, predicted)))
        )


@dataclass(frozen=True)
class _Carried:
    """One patient's forecast: (1, C, D, H, W), the displacement from the last scan (1, 3, D, H, W), evaluations."""

    image: Tensor
    displacement: Tensor
    nfe: int


def mismatch(displacements: Tensor, visits: Visits, settings: DeformableSettings) -> Tensor:
    """Mean dissimilarity of the deformed reference and each other scan, plus smoothness and boundary terms.

    displacements: (K − 1, 3, d, h, w), in the order of `visits.followed`
    """
    deformed = warp(visits.images[visits.reference][None], displacements)
    unlike = settings.dissimilarity(deformed, visits.images[visits.followed]).mean()
    return unlike + regularity_penalty(displacements, settings)


def regularity_penalty(displacements: Tensor, settings: DeformableSettings) -> Tensor:
    """λ₁ ‖∇u‖² + λ₂ ‖u at the border‖² (NODER, eq. 5)."""
    return settings.smoothness * squared_gradient(displacements) + settings.boundary * squared_at_border(displacements)


def descend(
    parameters: Iterable[torch.nn.Parameter], loss: Callable[[], Tensor], descent: Descent, on_step: OnStep
) -> float:
    """Minimise `loss`, leave the parameters at their best, and return the lowest loss."""
    fitted = [parameter for parameter in parameters if parameter.requires_grad]
    optimiser = torch.optim.Adam(fitted, lr=descent.learning_rate, amsgrad=descent.amsgrad)
    best, kept, waited, marked = torch.inf, [value.detach().clone() for value in fitted], 0, torch.inf
    for iteration in range(descent.iterations):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        now = float(value.detach())
        if now < best:
            best, kept = now, [parameter.detach().clone() for parameter in fitted]
        waited = 0 if now < 0.999 * marked else waited + 1
        marked = min(marked, now) if waited == 0 else marked
        if waited >= descent.patience:
            break
        optimiser.step()
        on_step((iteration + 1) / descent.iterations)
    with torch.no_grad():
        for parameter, value in zip(fitted, kept):
            parameter.copy_(value)
    return best


def slope_through_reference(times: Tensor, values: Tensor, shrinkage: float = 0.0) -> Tensor:
    """Σ t_i x_i / (Σ t_i² + shrinkage): least-squares slope of values (K, …) over times (K,) that are 0 at time 0."""
    return torch.einsum("k,k...->...", times, values) / (times.square().sum() + shrinkage)


def predicted_slope(predictor: PairwiseVelocity, visits: Visits) -> Tensor:
    """(1, 3, d, h, w) velocity per span of the scans: the slope of those predicted from the reference to each scan."""
    followed = visits.followed
    moving = visits.images[visits.reference][None].expand(len(followed), *visits.images.shape[1:])
    velocities = predictor(moving, visits.images[followed])
    return slope_through_reference(visits.times[followed], velocities)[None]


def registration_loss(predictor: PairwiseVelocity, batch: SeriesBatch, settings: DeformableSettings) -> Tensor:
    """Mismatch of a scan, deformed as predicted, and the other: no velocity is ever shown.

    The last scan is brought to the target, and the target to the last scan: fits look back as well as ahead.
    """
    assert batch.target is not None
    pair = shrunk(torch.cat([batch.last_image, batch.target]), settings.fit_size)
    moving, fixed = pair, pair.roll(len(batch.target), dims=0)
    displacement = resized(exponential(predictor(moving, fixed)), moving.shape[2:])
    unlike = settings.dissimilarity(warp(moving, displacement), fixed).mean()
    return unlike + regularity_penalty(displacement, settings)


def shrunk(images: Tensor, size: int) -> Tensor:
    """Images (K, C, D, H, W) averaged down to at most `size` voxels along every axis; 0: as they are."""
    shape = tuple(min(size or length, length) for length in images.shape[2:])
    return images if shape == tuple(images.shape[2:]) else functional.interpolate(images, shape, mode="area")


def _residual_slope(images: Tensor, visits: Visits, flow: Flow, shrinkage: float = 0.25) -> Tensor:
    """(1, C, D, H, W) change of intensity per span that follows the tissue, in the frame of the reference.

    A voxel y of the reference lies at φ_i⁻¹(y) in scan i: R_i = I_i ∘ φ_i⁻¹ − I_ref.
    """
    back = resized(inverse(flow.at(visits.times)), images.shape[2:])
    carried = warp(images, back)
    return slope_through_reference(visits.times, carried - images[visits.reference][None], shrinkage)[None]


def _share(tell: OnStep, row: int, count: int) -> OnStep:
    """Progress of one of `count` patients as that of all."""
    return lambda done: tell((row + done) / count)


def _row(batch: SeriesBatch, row: int) -> SeriesBatch:
    """One patient, detached from the caller's mode, oldest scan first, without padding."""
    chosen = batch.mask[row].nonzero().squeeze(1)
    chosen = chosen[batch.times[row, chosen].argsort()]
    return SeriesBatch(
        images=batch.images[row, chosen].float().clone()[None],
        times=batch.times[row, chosen].float().clone()[None],
        mask=batch.mask[row, chosen].clone()[None],
        target_time=batch.target_time[row].float().clone()[None],
    )
