"""What to type to train a bundle again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from CRONOSLib.cohorts.usual_settings import read_usual_settings
from CRONOSLib.training.settings import TrainSettings

_SAID = ("steps", "preset", "seed", "start_from", "batch_size")


def command_again(cohort: Path, method: str, settings: TrainSettings) -> str:
    """A `cronos train` command without the folders of this machine, which says all that is not as usual.

    cohort: its folder, whose own usual settings need not be said. Raises CohortError when those cannot be read.
    """
    usual = TrainSettings.from_json(read_usual_settings(cohort)).to_json()
    words = ["cronos", "train", "--cohort", cohort.resolve().name, "--method", method, "--steps", str(settings.steps)]
    words += ["--preset", settings.preset, "--seed", str(settings.seed), "--out", f"runs/{method}"]
    words += ["--from", Path(settings.start_from).name] if settings.start_from else []
    if settings.batch_size != usual["batch_size"]:
        words += ["--batch", str(settings.batch_size or "auto")]
    unsaid = {name: value for name, value in settings.to_json().items() if name not in _SAID}
    for name, value in _differing(unsaid, usual):
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"]
    return shlex.join(words)


def _differing(values: Mapping[str, Any], usual: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Names, as `--set` takes them, and values of the settings that are not as usual."""
    for name, value in values.items():
        before = usual.get(name, {} if isinstance(value, Mapping) else None)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _differing(value, before, f"{within}{name}.")
        elif json.dumps(value) != json.dumps(before):
            yield f"{within}{name}", value
