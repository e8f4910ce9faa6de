"""The trained models that the user can choose from, and what is said about one."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from slicer.i18n import tr as _

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import list_bundles
from CRONOSLib.errors import BundleError
from CRONOSLib.resources import own_bundles_folder
from CRONOSLib.scene.panel.target import unit_words, unsuitable
from CRONOSLib.series import LongitudinalSeries


@dataclass(frozen=True)
class BundleList:
    """The bundles of a folder, and one sentence for each that cannot be read.

    Best skill first, as far as skills can be compared: those for dated scans stand before those for the frames of one
    examination, and those that come with CRONOS before the user's own.
    """

    bundles: tuple[Bundle, ...] = ()
    complaints: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> BundleList:
        """Bundles of a folder; "." stands for those that come with CRONOS and the user's own."""
        complaints: list[str] = []
        try:
            found = list_bundles(
                None if folder == Path() else folder, on_broken=lambda error: complaints.append(str(error))
            )
        except BundleError as error:
            return cls(complaints=(str(error),))
        return cls(tuple(sorted(found, key=_rank)), tuple(complaints))

    def named(self, name: str) -> Bundle | None:
        """The bundle of that name; the best one when there is none of that name."""
        return next((bundle for bundle in self.bundles if bundle.name == name), next(iter(self.bundles), None))


def label(bundle: Bundle, timeline: LongitudinalSeries | None) -> str:
    """One line of the list: name, skill, and whether it suits the scans."""
    skill = _("skill {skill}").format(skill=f"{bundle.skill.mean:.3f}") if bundle.skill else _("skill not measured")
    suits = timeline is None or not unsuitable(bundle, timeline)
    return f"{bundle.name} · {skill}" + ("" if suits else " · " + _("not for these scans"))


def description(bundle: Bundle) -> str:
    """Rich text: what it is, what it was trained on, its skill; a skill that is not above 0 stands in red."""
    unit = unit_words(bundle.time_unit)
    shortest, longest = bundle.horizons
    facts = _("Trained on {cohort}; horizons of {shortest} to {longest} {unit}.").format(
        cohort=bundle.training.get("cohort", "?"), shortest=f"{shortest:.4g}", longest=f"{longest:.4g}", unit=unit
    )
    skill = _("Skill against copying the last scan: {skill}.").format(skill=bundle.skill or _("not measured"))
    proven = bundle.skill is not None and bundle.skill.mean > 0
    shown = escape(skill) if proven else f'<font color="red">{escape(skill)}</font>'
    return f"<b>{escape(bundle.title)}</b><br>{escape(facts)}<br>{shown}"


def _rank(bundle: Bundle) -> tuple[bool, bool, float]:
    own = bundle.path is not None and bundle.path.parent == own_bundles_folder()
    return own, bundle.time_unit.within_one_exam, -bundle.skill.mean if bundle.skill else float("inf")
