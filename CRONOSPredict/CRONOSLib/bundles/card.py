"""The model card of a bundle: what it is for, what it was trained on, how good it is."""

from __future__ import annotations

import numpy as np

from CRONOSLib.bundles.bundle import Bundle


def model_card(bundle: Bundle, evaluation: str = "") -> str:
    """Markdown text for the bundle's README.md.

    evaluation: sections on how good it is, in Markdown
    """
    parts = [f"# {bundle.title}", _warning(bundle), _facts(bundle), evaluation, _training(bundle), _limits(bundle)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _warning(bundle: Bundle) -> str:
    lines = ["**For research use only.** Not a medical device; not for diagnosis or treatment decisions."]
    if bundle.skill is None:
        lines.append("**Its skill was not measured.** Compare it with copying the last scan before you trust it.")
    elif bundle.skill.mean <= 0:
        lines.append("**It is no better than copying the last scan** on patients that training never saw.")
    return "\n\n".join(lines)


def _facts(bundle: Bundle) -> str:
    unit = bundle.time_unit.plural
    rows = [
        ("method", f"`{bundle.method}`"),
        ("skill against copying the last scan", str(bundle.skill or "not measured")),
        ("horizons seen", f"{bundle.horizons[0]:g} to {bundle.horizons[1]:g} {unit}"),
        ("usual time between scans", f"{bundle.typical_gap:g} {unit}"),
        ("most scans of one patient", str(bundle.max_contexts)),
        ("grid", _grid(bundle)),
        ("licence", bundle.licence),
        ("SHA-256 of the weights", f"`{bundle.weights_sha256}`"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _grid(bundle: Bundle) -> str:
    grid = bundle.preprocessing.grid
    if grid.stretch_to:
        return f"field of view stretched to {' x '.join(map(str, grid.stretch_to))} voxels"
    edges = " x ".join(f"{edge:g}" for edge in np.atleast_1d(grid.spacing_mm)) if grid.spacing_mm else ""
    voxels = f"{edges} mm voxels" if edges else "voxels of the last scan"
    return f"{voxels}, at most {' x '.join(map(str, grid.max_size))}" if grid.max_size else voxels


def _training(bundle: Bundle) -> str:
    rows = [f"- {name.replace('_', ' ')}: `{value}`" for name, value in bundle.training.items()]
    return "\n".join(["## How it was trained", "", *(rows or ["Not stated."])])


def _limits(bundle: Bundle) -> str:
    return (
        "## Limits\n\n"
        "It forecasts what usually happens in patients like those of its training data. Outside the horizons above, "
        "or on another disease, organ or kind of image, its skill is unknown. Every forecast comes with the last "
        "scan beside it, which is the baseline to beat."
    )
