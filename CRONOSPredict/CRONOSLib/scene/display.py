"""How scans, forecasts, change maps and spreads are shown."""

from __future__ import annotations

import numpy as np
import slicer

from CRONOSLib.scene.session import CHANGE_COLORS, SPREAD_COLORS

_WINDOW_PERCENTILES = (0.5, 99.5)
"""Intensities of a scan that the darkest and the brightest grey stand for."""

_MAP_PERCENTILE = 99.5
"""Strength of a map, among its voxels that are not zero, that the strongest colour stands for."""


def show_scan(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Grey, from the darkest to the brightest half per cent of the voxels."""
    low, high = np.percentile(slicer.util.arrayFromVolume(node), _WINDOW_PERCENTILES)
    _show(node, "vtkMRMLColorTableNodeGrey", window=high - low, level=(high + low) / 2)


def show_like(node: slicer.vtkMRMLScalarVolumeNode, scan: slicer.vtkMRMLScalarVolumeNode) -> None:
    """The window and colours of another volume, so that the eye compares only what differs."""
    if scan.GetDisplayNode() is None:
        show_scan(node)
        return
    like = scan.GetDisplayNode()
    _show(node, like.GetColorNodeID(), window=like.GetWindow(), level=like.GetLevel())


def show_change(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Blue where the intensity falls, red where it rises, neutral at zero: the window is symmetric about zero."""
    _show(node, CHANGE_COLORS, window=2 * _strength(node), level=0.0)


def show_spread(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Dark where the members agree, bright where they differ."""
    strength = _strength(node)
    _show(node, SPREAD_COLORS, window=strength, level=strength / 2)


def _strength(node: slicer.vtkMRMLScalarVolumeNode) -> float:
    magnitude = np.abs(slicer.util.arrayFromVolume(node))
    changed = magnitude[magnitude > 0]
    return float(np.percentile(changed, _MAP_PERCENTILE)) if changed.size else 1.0


def _show(node: slicer.vtkMRMLScalarVolumeNode, colors: str, window: float, level: float) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors)
    display.AutoWindowLevelOff()
    display.SetWindowLevel(window, level)
