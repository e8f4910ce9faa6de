"""Scene files (.mrb) that 3D Slicer opens."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.errors import OutputError
from CRONOSLib.scene.results import add_results, add_scans
from CRONOSLib.scene.session import new_scene
from CRONOSLib.scene.views import show_in_slice_views

if TYPE_CHECKING:  # a scene is written without torch, which a forecast needs
    from CRONOSLib.forecast import Forecast

_WRITTEN_FOR = "Slicer 5.12.0 0"
"""Oldest application that must open the file. Slicer warns about a scene from another application, and slicer-core
calls itself one although it is the same code."""


def write_forecast_scene(forecast: Forecast, path: Path) -> None:
    """Write a forecast and the scans it was made from as a scene file; the current scene is left as it is.

    The scene has the scans, the forecast, the change map and the spread, with their display, under one patient with
    dated studies in the subject hierarchy. The slice views show the forecast over the last scan.

    Raises OutputError when the file cannot be written; nothing half-written stays behind.
    """
    scene = new_scene()
    scene.SetVersion(_WRITTEN_FOR)
    scans = add_scans(scene, forecast.series)
    results = add_results(scene, forecast, scans[-1])
    show_in_slice_views(scene, background=scans[-1], foreground=results.forecast)
    write_scene(scene, path)


def write_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Write a scene with all its data into one .mrb file, beside the target first and then renamed.

    Raises OutputError when the file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".cronos-", dir=path.parent) as folder:
            unfinished = Path(folder) / path.with_suffix(".mrb").name
            if not scene.WriteToMRB(str(unfinished)):
                raise OutputError(f"The scene '{path}' cannot be written. Check that the disk has room for it.")
            os.replace(unfinished, path)
    except OSError as error:
        raise OutputError(
            f"The scene '{path}' cannot be written ({error.strerror}). Choose a folder that you may write to."
        ) from error


def read_scene(path: Path) -> slicer.vtkMRMLScene:
    """Read a .mrb file into a new scene.

    Raises OutputError when the file is missing or is no scene file.
    """
    scene = new_scene()
    scene.RegisterNodeClass(slicer.vtkMRMLSequenceBrowserNode())  # else only the application knows it
    with tempfile.TemporaryDirectory(prefix="cronos-") as folder:
        scene.SetURL(str(_unpacked(path, Path(folder))))
        if not scene.Connect():
            raise _no_scene(path)
    return scene


def _unpacked(path: Path, folder: Path) -> Path:
    """Main file of a scene, unpacked by Python: vtkArchive leaves the process in another folder when it fails."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_scene(path) from error
    main_files = sorted(folder.glob("*/*.mrml"))
    if not main_files:
        raise _no_scene(path)
    return main_files[0]


def _no_scene(path: Path) -> OutputError:
    return OutputError(f"'{path}' is not a scene file that can be opened. Choose a .mrb file.")
