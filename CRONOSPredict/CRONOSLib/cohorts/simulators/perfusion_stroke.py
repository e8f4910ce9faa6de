"""Blood flow in a brain with a stroke: core, penumbra and healthy tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.anatomy import Tissue

CORE, PENUMBRA = 1, 2  # values of the label map
_HEALTHY_CBF, _PENUMBRA_CBF, _CORE_CBF = (53.0, 25.0), (16.0, 7.5), (5.3, 2.5)  # grey, white; ml/100 g/min
_HEALTHY_MTT, _PENUMBRA_MTT, _CORE_MTT = (3.7, 4.6), (11.3, 13.6), (8.0, 10.1)  # s
_LEAST_TISSUE = 0.1  # less of it and a voxel is fluid
_TMAX_S = 6.0
_TERRITORY = (42.0, -2.0, 14.0)  # of the left middle cerebral artery: LPS, mm in the template
_DEEP = (32.0, 0.0, 8.0)
_ELONGATION = (1.0, 0.7, 0.9)  # of distances along x, y, z
_BORDER_MM = 6.0


@dataclass(frozen=True)
class StrokeSettings:
    """Ranges from which a patient's stroke is drawn (METHODS 13.5).

    radius_mm:   of the tissue at risk
    core_share:  radius of the core relative to that
    delay_s:     arrival in healthy tissue after the artery
    late_s:      arrival in ischaemic tissue
    cbf_spread, mtt_spread: deviation between patients and, as much again, within a brain; relative
    """

    radius_mm: tuple[float, float] = (16.0, 36.0)
    core_share: tuple[float, float] = (0.2, 0.75)
    delay_s: float = 1.0
    late_s: tuple[float, float] = (4.0, 12.0)
    cbf_spread: float = 0.15
    mtt_spread: float = 0.10


@dataclass(frozen=True)
class Stroke:
    """One patient's stroke.

    side: +1 in the left hemisphere, −1 in the right
    cbf_factor, mtt_factor: of all tissue, relative to the tables
    """

    side: int
    radius_mm: float
    core_mm: float
    delay_s: float
    late_s: float
    cbf_factor: float
    mtt_factor: float

    def states(self, template_points: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """How far tissue at points (..., 3) is at risk, and how far it is core; 0 to 1, the second within the first.

        noise: (...), unit deviation, which makes the outlines irregular
        """
        own_side = (template_points[..., 0] * self.side / _BORDER_MM).clamp(0, 1)
        risk = self._ramp(template_points, _TERRITORY, self.radius_mm, noise) * own_side
        core = self._ramp(template_points, _DEEP, self.core_mm, -noise)
        return risk, torch.minimum(core, risk)

    def _ramp(self, points: Tensor, centre: tuple[float, float, float], radius: float, noise: Tensor) -> Tensor:
        x, y, z = centre
        middle = torch.tensor([x * self.side, y, z], device=points.device)
        distance = ((points - middle) * torch.tensor(_ELONGATION, device=points.device)).square().sum(dim=-1).sqrt()
        return ((radius - distance + 0.12 * radius * noise) / _BORDER_MM + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class Flow:
    """True maps, any one shape.

    cbf:   cerebral blood flow, ml/100 g/min
    mtt:   mean transit time, s
    delay: arrival of the bolus after the large arteries, s
    brain: whether a voxel holds tissue
    core:  whether most of it is core
    """

    cbf: Tensor
    mtt: Tensor
    delay: Tensor
    brain: Tensor
    core: Tensor

    @property
    def cbv(self) -> Tensor:
        """Cerebral blood volume, ml/100 g: flow times transit time."""
        return self.cbf * self.mtt / 60

    @property
    def tmax(self) -> Tensor:
        """Time in s at which the residue of a sharp bolus is centred: the delay and half the transit time."""
        return self.delay + self.mtt / 2

    @property
    def labels(self) -> Tensor:
        """uint8: 1 core, 2 penumbra, which is other tissue with Tmax above 6 s."""
        labels = torch.zeros_like(self.cbf, dtype=torch.uint8)
        labels[self.brain & (self.tmax > _TMAX_S)] = PENUMBRA
        labels[self.brain & self.core] = CORE
        return labels


def draw_stroke(rng: np.random.Generator, settings: StrokeSettings) -> Stroke:
    """A stroke in the territory of one middle cerebral artery."""
    radius = float(rng.uniform(*settings.radius_mm))
    return Stroke(
        side=int(rng.choice([-1, 1])),
        radius_mm=radius,
        core_mm=radius * float(rng.uniform(*settings.core_share)),
        delay_s=settings.delay_s,
        late_s=float(rng.uniform(*settings.late_s)),
        cbf_factor=float(np.exp(settings.cbf_spread * np.clip(rng.standard_normal(), -2, 2))),
        mtt_factor=float(np.exp(settings.mtt_spread * np.clip(rng.standard_normal(), -2, 2))),
    )


def flow_of(stroke: Stroke, settings: StrokeSettings, tissue: Tissue, template_points: Tensor, noise: Tensor) -> Flow:
    """The maps of a brain with a stroke.

    tissue:          at the points, each (d, h, w)
    template_points: (d, h, w, 3)
    noise:           (3, d, h, w), unit deviation: outlines, local flow, local transit time
    """
    outline, flow_noise, transit_noise = noise.clamp(-2, 2)
    risk, core = stroke.states(template_points, outline)
    blood_flow = stroke.cbf_factor * torch.exp(settings.cbf_spread * flow_noise)
    transit = stroke.mtt_factor * torch.exp(settings.mtt_spread * transit_noise)
    cbf, cbv = torch.zeros_like(tissue.grey), torch.zeros_like(tissue.grey)
    for kind, share in enumerate((tissue.grey, tissue.white)):
        flow = _between(_HEALTHY_CBF[kind], _PENUMBRA_CBF[kind], _CORE_CBF[kind], risk, core) * blood_flow
        mtt = _between(_HEALTHY_MTT[kind], _PENUMBRA_MTT[kind], _CORE_MTT[kind], risk, core) * transit
        cbf, cbv = cbf + share * flow, cbv + share * flow * mtt / 60
    brain = (tissue.grey + tissue.white > _LEAST_TISSUE) & (tissue.brain > 0.5)
    return Flow(
        cbf=torch.where(brain, cbf, 0.0),
        mtt=torch.where(brain, 60 * cbv / cbf.clamp(min=1e-3), 0.0),
        delay=stroke.delay_s + (stroke.late_s - stroke.delay_s) * risk,
        brain=brain,
        core=core > 0.5,
    )


def _between(healthy: float, penumbra: float, core: float, risk: Tensor, dead: Tensor) -> Tensor:
    """Geometric interpolation from healthy to penumbra by `risk`, from there to core by `dead`."""
    return healthy * (penumbra / healthy) ** risk * (core / penumbra) ** dead
