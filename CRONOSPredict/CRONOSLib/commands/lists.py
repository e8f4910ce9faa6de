"""`cronos methods` and `cronos bundles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from CRONOSLib.commands.console import out, say_warning, table


def methods() -> None:
    """List the methods."""
    from CRONOSLib.methods.registry import method_entry, method_names

    made = table("Method", "", "needs", "presets")
    for name in method_names():
        entry = method_entry(name)
        scans = "1 scan" if entry.min_scans == 1 else f"{entry.min_scans} scans"
        needs = f"{scans}, bundle" if entry.needs_bundle else scans
        made.add_row(Text(name, style="bold"), entry.summary, needs, ", ".join(entry.presets))
    out.print(made)


def bundles(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of bundles; those that come with CRONOS, and your own, unless given.")
    ] = None,
) -> None:
    """List trained models: their method, their measured skill, and how far ahead they have seen.

    Skill is 1 − MSE/MSE of copying the last scan, on patients that training never saw: 0 is copying, 1 is perfect; what
    is not above 0 is red. `cronos forecast --bundle` takes a name of this list, or the folder of a bundle; the card in
    that folder, README.md, says more.
    """
    from CRONOSLib.bundles.store import list_bundles

    found = list_bundles(folder, on_broken=say_warning)
    if not found:
        out.print("There is no bundle. Train one with: cronos train")
        return
    made = table("Bundle", "method", "skill against LCI (95 % CI)", "horizons seen", "licence")
    for bundle in found:
        skill = bundle.skill
        worth = "not measured" if skill is None else f"{skill.mean:.3f} ({skill.low:.3f} to {skill.high:.3f})"
        style = "" if skill is not None and skill.mean > 0 else "bold red"
        horizons = f"{bundle.horizons[0]:g} to {bundle.horizons[1]:g} {bundle.time_unit.plural}"
        made.add_row(Text(bundle.name, style="bold"), bundle.method, Text(worth, style=style), horizons, bundle.licence)
    out.print(made)
