"""How scans, forecasts, change maps and spreads are shown."""

from __future__ import annotations

import numpy as np
import slicer

from CRONOSLib.scene.session import CHANGE_COLORS, SPREAD_COLORS

_WINDOW_PERCENTILES = (0.5, 99.5)
"""Intensities of a scan that the darkest and the brightest grey stand for."""

_MAP_PERCENTILE = 99.5
"""Strength of a map, among its voxels that are not zero, that the strongest colour stands for."""

_SAMPLE = 500_000
"""Voxels of a map that are looked at, evenly spaced: the window must not wait for all of them."""


_WEAK = 0.05
"""Part of the strongest colour of a map below which it counts as zero."""


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
    show_strength(node, _strength(node))


def show_strength(node: slicer.vtkMRMLScalarVolumeNode, strongest: float) -> None:
    """Dark at zero, bright at the strongest value and beyond."""
    _show(node, SPREAD_COLORS, window=strongest, level=strongest / 2)


def let_weak_through(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """What lies below is seen where a map is next to zero."""
    display = node.GetDisplayNode()
    display.SetThreshold(_WEAK * display.GetWindow(), float(np.finfo(np.float32).max))
    display.ApplyThresholdOn()


def _strength(node: slicer.vtkMRMLScalarVolumeNode) -> float:
    voxels = slicer.util.arrayFromVolume(node)
    step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
    magnitude = np.abs(voxels[::step, ::step, ::step])
    changed = magnitude[magnitude > 0]
    return float(np.percentile(changed, _MAP_PERCENTILE)) if changed.size else 1.0


def _show(node: slicer.vtkMRMLScalarVolumeNode, colors: str, window: float, level: float) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors)
    display.AutoWindowLevelOff()
    display.SetWindowLevel(window, level)
