"""The scene to work on: the application's own, or one made outside the application."""

from __future__ import annotations

import slicer
import vtk

CHANGE_COLORS = "vtkMRMLColorTableNodeFileDivergingBlueRed.txt"
"""Colours of change maps: Slicer's own diverging table, blue below zero and red above."""

SPREAD_COLORS = "vtkMRMLColorTableNodeFileInferno.txt"
"""Colours of spread maps: Slicer's own table from black, where the members agree, over red to bright yellow."""

_CONTROL_POINTS = {
    CHANGE_COLORS: ((0.0, (0.02, 0.20, 0.40)), (0.5, (0.97, 0.97, 0.97)), (1.0, (0.40, 0.00, 0.12))),
    SPREAD_COLORS: (
        (0.0, (0.00, 0.00, 0.01)),
        (0.25, (0.34, 0.06, 0.43)),
        (0.5, (0.73, 0.22, 0.33)),
        (0.75, (0.98, 0.56, 0.03)),
        (1.0, (0.99, 1.00, 0.64)),
    ),
}


def new_scene() -> slicer.vtkMRMLScene:
    """An empty scene with the colour tables and slice orientations that the application's scene has."""
    scene = slicer.vtkMRMLScene()
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)
    for identifier in _CONTROL_POINTS:
        if scene.GetNodeByID(identifier) is None:
            scene.AddNode(_table(identifier))
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    return scene


def _table(identifier: str) -> slicer.vtkMRMLColorTableNode:
    """Stand-in for the table of the same ID, which the application loads from a file that slicer-core lacks.

    It is never saved: a saved scene refers to the ID, and the application answers with its own table.
    """
    ramp = vtk.vtkColorTransferFunction()
    for position, color in _CONTROL_POINTS[identifier]:
        ramp.AddRGBPoint(position, *color)
    table = slicer.vtkMRMLColorTableNode()
    table.SetName(identifier.removeprefix("vtkMRMLColorTableNodeFile").removesuffix(".txt"))
    table.SetSingletonTag(identifier.removeprefix("vtkMRMLColorTableNode"))
    table.SetTypeToFile()
    table.SaveWithSceneOff()
    table.HideFromEditorsOn()
    table.SetNumberOfColors(256)
    for index in range(256):
        table.SetColor(index, str(index), *ramp.GetColor(index / 255), 1.0)
    return table
