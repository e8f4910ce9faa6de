"""The folder of a forecast, complete or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from CRONOSLib.evaluation.comparison import Comparison
from CRONOSLib.forecast import Forecast
from CRONOSLib.imaging.volumes import write_volume
from CRONOSLib.outputs.panel import write_panel
from CRONOSLib.report import report
from CRONOSLib.whole_folder import check_writable, whole_folder

REPORT = "report.json"
PANEL = "panel.png"
SCENE = "scene.mrb"

SceneWriter = Callable[[Forecast, Path], None]


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Say before the work whether its result can be written. Raises OutputError as `write_results`."""
    check_writable(folder, REPORT, replace=force)


def write_results(
    forecast: Forecast,
    folder: Path,
    *,
    comparison: Comparison | None = None,
    scene_writer: SceneWriter | None = None,
    force: bool = False,
) -> Path:
    """Write forecast.nrrd, change.nrrd, spread.nrrd (when there is one), panel.png, report.json and scene.mrb.

    The images lie on the last scan's grid, in its units. With a comparison, truth.nrrd lies beside them; with labels
    that were carried along labels.nrrd, and labels-2.nrrd where there are several.

    scene_writer: writes scene.mrb; None leaves it out, which the report says
    force:        replace an older result; a folder that is none is never touched unless empty

    Returns the folder. Raises OutputError when it exists or cannot be written, MissingPackageError without matplotlib.
    """
    images = {"forecast": forecast.image, "change": forecast.change, "spread": forecast.spread}
    images |= {f"labels-{n}" if n > 1 else "labels": carried for n, carried in enumerate(forecast.carried, start=1)}
    if comparison is not None:
        images["truth"] = comparison.truth
    notes = []
    with whole_folder(folder, REPORT, replace=force) as fresh:
        for name, image in images.items():
            if image is not None:
                write_volume(image, fresh / f"{name}.nrrd")
        write_panel(forecast, fresh / PANEL, comparison)
        if forecast.spread is None:
            notes.append("There is one member only, so spread.nrrd was left out.")
        if scene_writer is None:
            notes.append(f"{SCENE} was left out: it needs slicer-core. Install it with: pip install slicer-core.")
        else:
            scene_writer(forecast, fresh / SCENE)
        text = json.dumps(report(forecast, comparison, notes), indent=2, allow_nan=False, ensure_ascii=False)
        (fresh / REPORT).write_text(text + "\n", encoding="utf-8")
    return Path(folder)
