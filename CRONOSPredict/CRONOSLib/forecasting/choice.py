"""Which method makes a forecast, with which settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.weights import load_method
from CRONOSLib.errors import MethodError
from CRONOSLib.imaging.grid import GridSpec
from CRONOSLib.imaging.intensity import IntensitySpec
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.imaging.registration import Alignment
from CRONOSLib.methods.registry import create_method, method_entry
from CRONOSLib.series import TimeUnit

if TYPE_CHECKING:
    import torch

    from CRONOSLib.methods.diffusion import Diffusion
    from CRONOSLib.methods.interface import Method


@dataclass(frozen=True)
class MethodChoice:
    """A method by name, and the bundle that holds its training when it needs one, or the preset of its settings."""

    name: str
    bundle: Bundle | None
    preset: str = "default"

    @classmethod
    def of(cls, method: str | None, bundle: Bundle | None, scans: int, preset: str | None = None) -> MethodChoice:
        """The choice that the arguments make together, checked against the number of scans.

        Raises MethodError when there is neither method nor bundle, when they contradict each other, when the preset is
        unknown, was trained already or has to be trained, or when there are too few scans.
        """
        if method is None and bundle is None:
            raise MethodError("No method was chosen. Give a bundle, or a method that needs none, such as linear.")
        name = method or bundle.method  # type: ignore[union-attr]
        entry = method_entry(name)
        if bundle is not None and name != bundle.method:
            raise MethodError(
                f"Bundle '{bundle.name}' holds method '{bundle.method}', but '{name}' was asked for. Leave one out."
            )
        if entry.needs_bundle and bundle is None:
            raise MethodError(
                f"Method '{name}' learns from a cohort. Give a bundle, or choose a method that needs none."
            )
        if scans < entry.min_scans:
            raise MethodError(
                f"Method '{name}' needs {entry.min_scans} scans or more, but there is {scans}. "
                "Add an earlier scan, or choose another method."
            )
        if preset is not None:
            _check_preset(name, preset, bundle)
        return cls(name, bundle, preset or "default")

    def preprocessing(self, unit: TimeUnit, alignment: Alignment | None) -> Preprocessing:
        """The bundle's; without one, the last scan's own voxels. `alignment` takes the place of its alignment.

        Scans of one examination share their intensity scale, and the movement between them is what is forecast: they
        are not aligned unless asked.
        """
        if self.bundle is not None:
            chosen = self.bundle.preprocessing
        else:
            one_exam = unit.within_one_exam
            chosen = Preprocessing(
                grid=GridSpec(multiple=1),
                intensity=IntensitySpec(scope="shared" if one_exam else "each"),
                alignment=Alignment.OFF if one_exam else Alignment.RIGID,
            )
        return chosen if alignment is None else replace(chosen, alignment=alignment)

    def load(self, device: torch.device) -> Method:
        """The method on a device. Raises as `load_method`."""
        if self.bundle is not None:
            return load_method(self.bundle, device)
        return create_method(self.name, preset=self.preset).to(device).eval()


def require_deforming(name: str) -> None:
    """Raises MethodError when a method does not deform, so that it cannot carry labels."""
    if not method_entry(name).deforms:
        raise MethodError(f"Method '{name}' does not deform, so it cannot carry labels. Choose noder.")


def _check_preset(name: str, preset: str, bundle: Bundle | None) -> None:
    entry = method_entry(name)
    if preset not in entry.presets:
        raise MethodError(f"Method '{name}' has no preset '{preset}'. Choose one of {', '.join(entry.presets)}.")
    if bundle is not None:
        raise MethodError(f"Bundle '{bundle.name}' holds the settings it was trained with. Leave the preset out.")
    if entry.learns(preset):
        raise MethodError(f"Preset '{preset}' of '{name}' learns from a cohort. Give a bundle, or leave it out.")


def override(
    method: Method,
    solver: str | None = None,
    steps: int | None = None,
    aggregate: str | None = None,
    samples: int | None = None,
) -> Method:
    """The method itself, made to integrate, average or sample another way than the bundle says; None keeps its way.

    Raises MethodError when the method does not integrate, average or sample, or the choice is unknown.
    """
    if (solver, steps, aggregate, samples) == (None, None, None, None):
        return method
    from CRONOSLib.methods.diffusion import Diffusion

    if isinstance(method, Diffusion):
        return _sampling(method, solver, steps, aggregate, samples)
    from CRONOSLib.methods.vae import Vae

    if isinstance(method, Vae) and (solver, steps, aggregate) == (None, None, None):
        method.settings = replace(method.settings, samples=samples or method.settings.samples)
        return method
    if samples is not None:
        raise MethodError("This method draws no samples: its forecast is always the same. Leave the samples out.")
    from CRONOSLib.flow.aggregation import check_aggregation
    from CRONOSLib.methods.cronos import Cronos

    if not isinstance(method, Cronos):
        raise MethodError("This method integrates no flow. Leave solver, steps and aggregation out.")
    settings = method.settings
    if solver is not None or steps is not None:
        name = settings.solver.name if solver is None else solver
        count = settings.solver.steps if steps is None else steps
        settings = replace(settings, solver=replace(settings.solver, name=name, steps=count))
    if aggregate is not None:
        if check_aggregation(aggregate) == "learned" and method.learned_weights is None:
            raise MethodError("This bundle was trained without learned weights. Aggregate by last or mean.")
        if aggregate != "learned":
            method.learned_weights = None
        settings = replace(settings, aggregate=aggregate)
    method.settings = settings
    return method


def _sampling(
    method: Diffusion, sampler: str | None, steps: int | None, aggregate: str | None, samples: int | None
) -> Diffusion:
    if aggregate is not None:
        raise MethodError("The forecast of this method is the mean of its samples. Leave the aggregation out.")
    settings = method.settings
    if sampler is not None or steps is not None:
        name = settings.sampler.name if sampler is None else sampler
        count = settings.sampler.steps if steps is None else steps
        settings = replace(settings, sampler=replace(settings.sampler, name=name, steps=count))
        settings.schedule.levels(count)
    method.settings = settings if samples is None else replace(settings, samples=samples)
    return method
