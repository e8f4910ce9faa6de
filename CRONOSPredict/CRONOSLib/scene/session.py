"""The scene to work on: the application's own, or one made outside the application."""

from __future__ import annotations

import slicer
import vtk

CHANGE_COLORS = "vtkMRMLColorTableNodeFileDivergingBlueRed.txt"
"""Colours of change maps: Slicer's own diverging table, blue below zero and red above."""

SPREAD_COLORS = "vtkMRMLColorTableNodeIron"
"""Colours of spread maps: dark where the members agree."""

_DIVERGING_CONTROL_POINTS = ((0.0, (0.02, 0.20, 0.40)), (0.5, (0.97, 0.97, 0.97)), (1.0, (0.40, 0.00, 0.12)))


def new_scene() -> slicer.vtkMRMLScene:
    """An empty scene with the colour tables and slice orientations that the application's scene has."""
    scene = slicer.vtkMRMLScene()
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)
    if scene.GetNodeByID(CHANGE_COLORS) is None:
        scene.AddNode(_diverging_table())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    return scene


def _diverging_table() -> slicer.vtkMRMLColorTableNode:
    """Stand-in for the table of the same ID, which the application loads from a file that slicer-core lacks.

    It is never saved: a saved scene refers to the ID, and the application answers with its own table.
    """
    ramp = vtk.vtkColorTransferFunction()
    for position, color in _DIVERGING_CONTROL_POINTS:
        ramp.AddRGBPoint(position, *color)
    table = slicer.vtkMRMLColorTableNode()
    table.SetName("DivergingBlueRed")
    table.SetSingletonTag(CHANGE_COLORS.removeprefix("vtkMRMLColorTableNode"))
    table.SetTypeToFile()
    table.SaveWithSceneOff()
    table.HideFromEditorsOn()
    table.SetNumberOfColors(256)
    for index in range(256):
        table.SetColor(index, str(index), *ramp.GetColor(index / 255), 1.0)
    return table
