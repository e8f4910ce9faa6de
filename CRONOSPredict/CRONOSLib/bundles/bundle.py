"""What a trained model says about itself: the content of bundle.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from CRONOSLib.bundles.calibration import Calibration
from CRONOSLib.bundles.skill import Skill
from CRONOSLib.errors import BundleError
from CRONOSLib.imaging.preparation import Preprocessing
from CRONOSLib.series import TimeUnit

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """A trained method and the facts that its use depends on.

    name:           what users type; among those that come with CRONOS, the name of its folder
    title:          what users read
    method:         name in the registry of methods
    settings:       the method's settings as plain values; the registry reads them
    preprocessing:  what happens to a series before the method sees it
    time_unit:      unit of `time_scale`, `horizons` and `typical_gap`
    time_scale:     one unit of the method's time (365.25 days: the method counts years)
    horizons:       shortest and longest time from the last scan to a target seen in training
    typical_gap:    usual time between neighbouring scans in training
    max_contexts:   most context scans seen in training
    training:       cohort, sha256 of its manifest, seed, steps, command: how to train it again
    skill:          against LCI on patients that training never saw; None: not measured
    calibration:    how wide a range around the forecast holds the truth; None: not measured
    licence:        of the weights
    weights_sha256: of weights.safetensors; set on saving
    path:           folder it was loaded from
    """

    name: str
    title: str
    method: str
    settings: dict[str, Any]
    preprocessing: Preprocessing
    time_unit: TimeUnit
    time_scale: float
    horizons: tuple[float, float]
    typical_gap: float
    max_contexts: int
    training: dict[str, Any] = field(default_factory=dict)
    skill: Skill | None = None
    calibration: Calibration | None = None
    licence: str = "Apache-2.0"
    weights_sha256: str = ""
    path: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values of bundle.json, schema version 1; `calibration` is left out when there is none."""
        return {
            "schema": SCHEMA_VERSION,
            "name": self.name,
            "title": self.title,
            "use": "research only",
            "method": self.method,
            "settings": self.settings,
            "preprocessing": self.preprocessing.to_json(),
            "time": {
                "unit": self.time_unit.value,
                "scale": self.time_scale,
                "horizons": list(self.horizons),
                "typical_gap": self.typical_gap,
            },
            "max_contexts": self.max_contexts,
            "training": self.training,
            "skill": asdict(self.skill) if self.skill else None,
            **({"calibration": self.calibration.to_json()} if self.calibration else {}),
            "licence": self.licence,
            "weights_sha256": self.weights_sha256,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], path: Path | None = None) -> Bundle:
        """Bundle from `to_json`'s values. Raises BundleError when the schema is unknown or a field is missing."""
        source = f"Bundle '{path}'" if path else "The bundle"
        schema = values.get("schema") if isinstance(values, Mapping) else None
        if schema != SCHEMA_VERSION:
            raise BundleError(
                f"{source} has the schema {schema!r}, but this CRONOS reads schema {SCHEMA_VERSION}. "
                "Update CRONOS, or export the bundle again."
            )
        try:
            time, skill, calibration = values["time"], values["skill"], values.get("calibration")
            shortest, longest = map(float, time["horizons"])
            return cls(
                name=str(values["name"]),
                title=str(values["title"]),
                method=str(values["method"]),
                settings=dict(values["settings"]),
                preprocessing=Preprocessing.from_json(values["preprocessing"]),
                time_unit=TimeUnit(time["unit"]),
                time_scale=float(time["scale"]),
                horizons=(shortest, longest),
                typical_gap=float(time["typical_gap"]),
                max_contexts=int(values["max_contexts"]),
                training=dict(values["training"]),
                skill=Skill(**skill) if skill else None,
                calibration=Calibration.from_json(calibration) if calibration else None,
                licence=str(values["licence"]),
                weights_sha256=str(values["weights_sha256"]),
                path=path,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{source} has a missing or unreadable field in bundle.json ({error}). Copy the bundle again."
            ) from error
