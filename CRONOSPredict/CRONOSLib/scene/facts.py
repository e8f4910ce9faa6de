"""How a forecast was reached, in words that stay with its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def how(reached: Mapping[str, Any], bundle: str | None) -> str:
    """One sentence: trained model or method, preset, evaluations of the network, seconds, device, folding.

    reached: what `CRONOSLib.report.how_reached` tells
    bundle:  name of the trained model, or None
    """
    preset, evaluations = reached["preset"], reached["nfe"]
    made_by = reached["method"] + ("" if preset == "default" else f", preset {preset}")
    facts = [made_by if bundle is None else f"{bundle} ({made_by})"]
    if evaluations > 0:
        facts.append(f"{evaluations} evaluation{'s' if evaluations > 1 else ''} of the network")
    facts.append(f"{reached['seconds']:.1f} s on {reached['device']}")
    if (deformation := reached["deformation"]) is not None:
        facts.append(f"{deformation['folding_percent']:.3g} % of the voxels fold")
    return f"Made by {', '.join(facts)}."
