"""How a cohort is trained on unless something else is said: train.json beside its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CRONOSLib.errors import CohortError
from CRONOSLib.whole_file import write_whole_file

_NAME = "train.json"


def write_usual_settings(cohort: Path, settings: Mapping[str, Any]) -> None:
    """Keep fields of `TrainSettings` beside the manifest, in the form of a `cronos train` configuration.

    cohort: folder, which exists. Raises OSError when it cannot be written.
    """
    write_whole_file(cohort / _NAME, json.dumps({"settings": settings}, indent=2) + "\n")


def read_usual_settings(cohort: Path) -> dict[str, Any]:
    """Fields of `TrainSettings` that follow from the cohort; none where nothing was kept.

    Raises CohortError when they cannot be read.
    """
    path = cohort / _NAME
    try:
        return dict(json.loads(path.read_text("utf-8"))["settings"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CohortError(f"'{path}' cannot be read ({error}). Make the cohort again, or remove the file.") from error
