"""Small methods and small patients, for the tests of what all methods must obey."""

from __future__ import annotations

from typing import Any

import torch
from CRONOSLib.flow.series_batch import SeriesBatch
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method

FLOWS = ("cronos-continuous", "cronos-discrete", "tfm")
REGRESSIONS = ("convlstm", "simvp", "vivit", "node-lstm", "gan")
LEARNED = (*FLOWS, "one-step-unet", *REGRESSIONS)
"""Methods that learn and whose forecast is always the same."""

SAMPLING = ("vae", "med-ddpm", "diffusemorph")

_UNET = {"width": 8, "multipliers": (1, 2), "embedding": 16, "groups": 4}
_FEW = {"sampler": {"steps": 2}, "samples": 2}
SMALL: dict[str, dict[str, Any]] = {
    **{name: {"network": {"unet": _UNET}} for name in (*FLOWS, "one-step-unet")},
    "convlstm": {"network": {"width": 8}},
    "simvp": {"network": {"width": 8, "levels": 1, "hidden": 16, "translators": 2, "groups": 4}},
    "vivit": {"network": {"width": 16, "heads": 2, "spatial": 1, "temporal": 1, "decoded": 8}},
    "node-lstm": {"network": {"width": 8, "hidden": 8}},
    "gan": {"network": _UNET, "discriminator": {"width": 4, "layers": 2}},
    "vae": {"network": _UNET, "samples": 2},
    "med-ddpm": {"network": {"unet": _UNET}, **_FEW},
    "diffusemorph": {
        "network": {"unet": _UNET},
        "deformation": {"channels": (4, 8, 8, 8), "final": (4,)},
        **_FEW,
    },
}
"""Settings that make a method small, whatever its preset."""


def series(seed: int = 0, scans: int = 3, size: int = 8, target: bool = False) -> SeriesBatch:
    """One patient with irregular visits."""
    torch.manual_seed(seed)
    times = torch.rand(1, scans).cumsum(dim=1) * 0.4
    return SeriesBatch(
        images=torch.rand(1, scans, 1, size, size, size),
        times=times,
        mask=torch.ones(1, scans, dtype=torch.bool),
        target_time=times[:, -1] + 0.3,
        target=torch.rand(1, 1, size, size, size) if target else None,
    )


def untrained(name: str, preset: str = "default", **settings: Any) -> Method:
    """A small method as it is made."""
    torch.manual_seed(1)
    return create_method(name, {**SMALL[name], **settings}, preset).eval()


def stirred(name: str, preset: str = "default", **settings: Any) -> Method:
    """A small method with every weight moved away from its start, so that nothing is 0 by chance."""
    method = untrained(name, preset, **settings)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return method


def forecast(method: Method, batch: SeriesBatch) -> torch.Tensor:
    """(B, C, D, H, W), of the same random numbers at every call."""
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(0)
        return method.forecast(batch).forecast


def trained(method: Method, batch: SeriesBatch, steps: int, rate: float = 5e-3) -> Method:
    """The method after as many steps on one batch."""
    optimiser = torch.optim.Adam(method.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        method.loss(batch).backward()
        optimiser.step()
    return method
