"""Fine-tuning: a run that starts from the weights of a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.cohorts.manifest import Cohort
from CRONOSLib.errors import MethodError
from CRONOSLib.methods.interface import Method
from CRONOSLib.training.settings import TrainSettings
from CRONOSLib.training.time_scale import time_scale_of


def settings_from_bundle(bundle: Bundle, cohort: Cohort, method: str, settings: TrainSettings) -> TrainSettings:
    """The settings with what the weights were trained for: the method's settings, the grid and intensities, the time.

    A bundle that counts dates keeps its measure of time for another cohort with dates, in that cohort's unit; across
    hearts, perfusion and dates the time scale is that of the new cohort.

    Raises MethodError when the bundle is of another method, or the run asks for other settings of it.
    """
    if bundle.method != method:
        raise MethodError(f"Bundle '{bundle.name}' is of method '{bundle.method}', not '{method}'. Choose that method.")
    if settings.method_settings and settings.method_settings != bundle.settings:
        raise MethodError(
            f"A run from bundle '{bundle.name}' takes the method's settings from it. Leave out 'method_settings'."
        )
    scale = settings.time_scale or (
        bundle.time_unit.convert(bundle.time_scale, cohort.unit)
        if not bundle.time_unit.within_one_exam and not cohort.unit.within_one_exam
        else time_scale_of(cohort)
    )
    return replace(
        settings,
        start_from=str(Path(bundle.path).resolve()) if bundle.path else settings.start_from,
        preset="default",
        method_settings=bundle.settings,
        preprocessing=bundle.preprocessing,
        time_scale=scale,
    )


def start_from(method: Method, bundle: Bundle) -> None:
    """Give the method the weights of the bundle. Raises BundleError when they are altered or do not fit."""
    from CRONOSLib.bundles.weights import load_method

    method.load_state_dict(load_method(bundle).state_dict())
