"""Treatment: surgery, radiotherapy and chemotherapy, as they act on cell density."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from CRONOSLib.cohorts.simulators.growth import ReactionDiffusion

_RESECTED_DENSITY = 0.3  # what the surgeon sees and removes
_FRACTIONS, _FRACTION_GY = 30, 2.0  # the standard course of glioblastoma, on weekdays (Stupp et al. 2005)
_CYCLES, _CYCLE_DAYS, _CYCLE_LENGTH_DAYS = 6, 5, 28


@dataclass(frozen=True)
class TreatmentSettings:
    """How a cohort is treated (METHODS 13.3); days count from the first visit.

    *_share:           share of the patients that get it
    resection_day:     range of the day of surgery
    recovery_days:     range from surgery to the first fraction of radiotherapy
    alpha_per_gy:      range of α in the linear-quadratic model; α/β is `alpha_beta_gy`
    kill_per_day:      range of the chemotherapy's kill rate
    """

    resection_share: float = 0.7
    radiotherapy_share: float = 0.9
    chemotherapy_share: float = 0.7
    resection_day: tuple[float, float] = (7.0, 28.0)
    recovery_days: tuple[float, float] = (28.0, 42.0)
    alpha_per_gy: tuple[float, float] = (0.02, 0.1)
    alpha_beta_gy: float = 10.0
    kill_per_day: tuple[float, float] = (0.005, 0.05)


@dataclass(frozen=True)
class Treatment:
    """One patient's treatment; days count from the first visit.

    resection_day: None without surgery
    fraction_days: days of radiotherapy, empty without
    fraction_survival: share of the cells that survive one fraction, exp(−α D − β D²)
    chemotherapy_days: (start, end) of every cycle
    kill_per_day: during a cycle
    """

    resection_day: float | None = None
    fraction_days: tuple[float, ...] = ()
    fraction_survival: float = 1.0
    chemotherapy_days: tuple[tuple[float, float], ...] = ()
    kill_per_day: float = 0.0

    def days_between(self, start: float, end: float) -> list[float]:
        """`start`, every day in between on which the treatment acts or changes, and `end`."""
        events = [*self.fraction_days, *itertools.chain.from_iterable(self.chemotherapy_days)]
        if self.resection_day is not None:
            events.append(self.resection_day)
        return [start, *sorted({day for day in events if start < day < end}), end]

    def kill_rate(self, day: float) -> float:
        """Kill rate of the chemotherapy just after `day`, 1/day."""
        return self.kill_per_day if any(start <= day < end for start, end in self.chemotherapy_days) else 0.0


@dataclass(frozen=True)
class Tumour:
    """State of a tumour on the growth grid.

    density: cell density (D, H, W), 0 to 1
    cavity:  (D, H, W), 1 where surgery left fluid, else 0
    """

    density: Tensor
    cavity: Tensor


def draw_treatment(rng: np.random.Generator, settings: TreatmentSettings) -> Treatment:
    """One patient's treatment."""
    surgery = float(np.rint(rng.uniform(*settings.resection_day)))
    first = surgery + float(np.rint(rng.uniform(*settings.recovery_days)))
    alpha = rng.uniform(*settings.alpha_per_gy)
    dose = alpha * _FRACTION_GY * (1 + _FRACTION_GY / settings.alpha_beta_gy)
    cycles = tuple(
        (first + _CYCLE_LENGTH_DAYS * cycle, first + _CYCLE_LENGTH_DAYS * cycle + _CYCLE_DAYS)
        for cycle in range(_CYCLES)
    )
    operated, irradiated, medicated = rng.random(3) < (
        settings.resection_share,
        settings.radiotherapy_share,
        settings.chemotherapy_share,
    )
    return Treatment(
        resection_day=surgery if operated else None,
        fraction_days=tuple(first + 7 * (n // 5) + n % 5 for n in range(_FRACTIONS)) if irradiated else (),
        fraction_survival=math.exp(-dose),
        chemotherapy_days=cycles if medicated else (),
        kill_per_day=float(rng.uniform(*settings.kill_per_day)),
    )


def advance_treated(
    equation: ReactionDiffusion, tumour: Tumour, start: float, end: float, treatment: Treatment
) -> Tumour:
    """The tumour on day `end`, grown and treated since day `start`; what falls on `end` itself is still to come."""
    for day, until in _spans(treatment, start, end):
        tumour = _act(tumour, day, treatment)
        open_tissue = replace(equation, diffusion=equation.diffusion * (1 - tumour.cavity))
        density = open_tissue.advance(tumour.density, until - day)
        tumour = replace(tumour, density=density * math.exp(-treatment.kill_rate(day) * (until - day)))
    return tumour


def _spans(treatment: Treatment, start: float, end: float) -> Iterator[tuple[float, float]]:
    return itertools.pairwise(treatment.days_between(start, end))


def _act(tumour: Tumour, day: float, treatment: Treatment) -> Tumour:
    """What surgery and radiotherapy do on `day`."""
    density, cavity = tumour.density, tumour.cavity
    if day == treatment.resection_day:
        removed = density > _RESECTED_DENSITY
        cavity = torch.where(removed, torch.ones_like(cavity), cavity)
        density = torch.where(removed, torch.zeros_like(density), density)
    if day in treatment.fraction_days:
        density = density * treatment.fraction_survival
    return Tumour(density, cavity)
