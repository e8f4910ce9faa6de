"""The methods by name. A new method is one file and one line here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from CRONOSLib.errors import MethodError

if TYPE_CHECKING:
    from CRONOSLib.methods.interface import Method


@dataclass(frozen=True)
class Way:
    """How a method reaches its forecast, as far as `CRONOSLib.forecast.ForecastOptions` can choose it.

    solvers:      names of those that integrate its flow, or of the samplers that remove its noise; with them go steps
    aggregations: names of the ways in which its members make one forecast
    samples:      whether it draws samples, of which there can be more or fewer
    """

    solvers: tuple[str, ...] = ()
    aggregations: tuple[str, ...] = ()
    samples: bool = False


INTEGRATED = Way(("euler", "midpoint", "heun", "rk4", "dopri5"), ("last", "mean", "learned"))
"""Along a trajectory from every scan; names as in `CRONOSLib.flow.solvers` and `aggregation`, which need torch."""

_DIFFUSED = Way(("dpm++", "ddim", "ancestral"), samples=True)  # as in CRONOSLib.flow.diffusion.sampler
_DRAWN = Way(samples=True)


@dataclass(frozen=True)
class MethodEntry:
    """Where a method stands, without importing it.

    settings: name of its frozen settings dataclass in the same module, or None when it has none
    presets:  names of its presets; a preset is a function of the module's `PRESETS` that returns settings
    way:      how it reaches its forecast
    trained:  presets that hold a network which learns from a cohort, of a method that needs no bundle without them
    deforms:  whether it moves the voxels of the last scan, and with them what was drawn on it
    """

    module: str
    method: str
    settings: str | None
    summary: str
    needs_bundle: bool = False
    min_scans: int = 1
    presets: tuple[str, ...] = ("default",)
    way: Way = Way()
    trained: tuple[str, ...] = ()
    deforms: bool = False

    @property
    def flow(self) -> bool:
        """Whether it carries every scan along a trajectory that can be looked at."""
        return self.way is INTEGRATED

    def learns(self, preset: str) -> bool:
        """Whether the method has something to train with this preset."""
        return self.needs_bundle or preset in self.trained


_METHODS = {
    "cronos-continuous": MethodEntry(
        "cronos_continuous", "CronosContinuous", "ContinuousSettings", "Flow matching in real time", True,
        presets=("default", "paper", "release"), way=INTEGRATED,
    ),
    "cronos-discrete": MethodEntry(
        "cronos_discrete", "CronosDiscrete", "DiscreteSettings", "Flow matching on a grid of time slots", True,
        presets=("default", "paper"), way=INTEGRATED,
    ),
    "tfm": MethodEntry(
        "tfm", "TemporalFlowMatching", "TfmSettings", "Flow matching told no time: the predecessor of CRONOS", True,
        presets=("default", "release"), way=INTEGRATED,
    ),
    "one-step-unet": MethodEntry(
        "one_step_unet", "OneStepUNet", "OneStepSettings",
        "The network of CRONOS without the flow: the ablation to compare with", True,
    ),
    "sadm": MethodEntry(
        "sadm", "Sadm", "SadmSettings", "Diffusion guided by a transformer over the scans", True,
        presets=("default", "paper", "release"), way=_DIFFUSED,
    ),
    "conditional-diffusion": MethodEntry(
        "conditional_diffusion", "ConditionalDiffusion", "ConditionalSettings",
        "Diffusion guided by a source scan and a time interval", True, presets=("default", "paper"), way=_DIFFUSED,
    ),
    "med-ddpm": MethodEntry(
        "med_ddpm", "MedDdpm", "MedDdpmSettings", "Diffusion with the last scan as channels, after Med-DDPM", True,
        presets=("default", "paper"), way=_DIFFUSED,
    ),
    "diffusemorph": MethodEntry(
        "diffusemorph", "DiffuseMorph", "DiffuseMorphSettings",
        "Deformation towards a diffused guess of the target, after DiffuseMorph", True, presets=("default", "paper"),
        way=_DIFFUSED,
    ),
    "convlstm": MethodEntry(
        "convlstm", "ConvLstmRegression", "ConvLstmSettings", "Recurrent network over the scans", True,
        presets=("default", "paper"),
    ),
    "simvp": MethodEntry(
        "simvp", "SimVpRegression", "SimVpSettings", "Convolutions over space, then over the scans", True,
        presets=("default", "paper"),
    ),
    "vivit": MethodEntry(
        "vivit", "ViVitRegression", "ViVitSettings", "Transformer over space, then over the scans", True,
        presets=("default", "paper"),
    ),
    "node-lstm": MethodEntry(
        "node_lstm", "NodeLstm", "NodeLstmSettings", "Recurrent network with a neural ODE between the scans", True,
        presets=("default", "paper"),
    ),
    "gan": MethodEntry(
        "gan", "Gan", "GanSettings", "U-Net trained against a discriminator of patches", True,
        presets=("default", "paper"),
    ),
    "vae": MethodEntry(
        "vae", "Vae", "VaeSettings", "Variational auto-encoder of the change, given the scans", True,
        presets=("default", "paper"), way=_DRAWN,
    ),
    "noder": MethodEntry(
        "noder", "Noder", "NoderSettings", "Neural ODE of the voxels, fitted to the patient", min_scans=2,
        presets=("default", "paper", "release", "amortised"), trained=("amortised",), deforms=True,
    ),
    "geodesic-regression": MethodEntry(
        "geodesic_regression", "GeodesicRegression", "GeodesicSettings",
        "Constant velocity of deformation, fitted to the patient", min_scans=2,
        presets=("default", "paper", "fast"), trained=("fast",), deforms=True,
    ),
    "lci": MethodEntry("last_context_image", "LastContextImage", None, "Copy the last scan: the baseline to beat"),
    "mean": MethodEntry("context_mean", "ContextMean", None, "Mean of the context scans"),
    "linear": MethodEntry(
        "linear_extrapolation", "LinearExtrapolation", "LinearSettings", "Line through the last two scans, clipped",
        min_scans=2,
    ),
    "ridge": MethodEntry(
        "ridge_line", "RidgeLine", "RidgeSettings", "Shrunken least-squares line through the last scan", min_scans=2
    ),
}  # fmt: skip


def method_names() -> tuple[str, ...]:
    """Names of all methods."""
    return tuple(_METHODS)


def method_entry(name: str) -> MethodEntry:
    """Facts about a method. Raises MethodError for an unknown name."""
    if name not in _METHODS:
        raise MethodError(f"There is no method '{name}'. Choose one of {', '.join(_METHODS)}.")
    return _METHODS[name]


def presets(name: str) -> tuple[str, ...]:
    """Names of a method's presets, the default first. Raises MethodError for an unknown name."""
    return method_entry(name).presets


def create_method(name: str, settings: dict[str, Any] | None = None, preset: str = "default") -> Method:
    """A fresh method: the settings of the preset, with those given in `settings` (by field name) put in their place.

    Raises MethodError for an unknown name, preset or setting. Needs torch.
    """
    entry = method_entry(name)
    if preset not in entry.presets:
        raise MethodError(f"Method '{name}' has no preset '{preset}'. Choose one of {', '.join(entry.presets)}.")
    module = import_module(f"CRONOSLib.methods.{entry.module}")
    method = getattr(module, entry.method)
    if entry.settings is None:
        if settings:
            raise MethodError(f"Method '{name}' has no settings, but {', '.join(settings)} was given. Leave it out.")
        return method()
    from CRONOSLib.methods.settings import settings_from

    base = module.PRESETS[preset]() if preset != "default" else getattr(module, entry.settings)()
    return method(settings_from(base, settings or {}))
