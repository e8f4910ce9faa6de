"""The bundles of a folder as a table that a panel shows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import list_bundles
from CRONOSLib.errors import BundleError


def bundle_table(folder: Path | None, headings: Sequence[str]) -> str:
    """HTML table of the bundles in a folder; None: those that come with CRONOS.

    headings: of the three columns: name, what it was trained on, skill against copying the last scan

    A skill that is unknown or not above 0 stands in red. What cannot be read is said below the table.
    """
    complaints: list[str] = []
    try:
        bundles = list_bundles(folder, on_broken=lambda error: complaints.append(str(error)))
    except BundleError as error:
        bundles, complaints = [], [str(error)]
    rows = [_row("th", [escape(heading) for heading in headings]), *(_row("td", _cells(bundle)) for bundle in bundles)]
    table = f'<table cellspacing="6">{"".join(rows)}</table>' if bundles else ""
    return table + "".join(f"<p>{escape(complaint)}</p>" for complaint in complaints)


def _cells(bundle: Bundle) -> list[str]:
    trained_on = str(bundle.training.get("cohort", ""))
    proven = bundle.skill is not None and bundle.skill.mean > 0
    skill = escape(str(bundle.skill)) if bundle.skill else "?"
    return [
        f"<b>{escape(bundle.name)}</b><br>{escape(bundle.title)}",
        escape(trained_on),
        skill if proven else f'<font color="red">{skill}</font>',
    ]


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} align="left">{cell}</{tag}>' for cell in cells) + "</tr>"
