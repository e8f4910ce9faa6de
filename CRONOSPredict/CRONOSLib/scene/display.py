"""How scans, forecasts, change maps and spreads are shown."""

from __future__ import annotations

import numpy as np
import slicer

from CRONOSLib.scene.nodes import thinned
from CRONOSLib.scene.session import CHANGE_COLORS, SPREAD_COLORS

_WINDOW_PERCENTILES = (0.5, 99.5)
"""Intensities of a scan that the darkest and the brightest grey stand for."""

_MAP_PERCENTILE = 99.5
"""Strength of a map, among its voxels that are not zero, that the strongest colour stands for."""

_USUAL_PERCENTILE = 25
"""Spread of most places, such as air: a calibrated range is zero nowhere."""

_WEAK = 0.15
"""Part of the way from the usual spread to the strongest below which it counts as none."""


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


def show_change(node: slicer.vtkMRMLScalarVolumeNode, strongest: float | None = None) -> None:
    """Blue where the intensity falls, red where it rises, neutral at zero: the window is symmetric about zero.

    strongest: change that the strongest colours stand for; None: `strongest_of` the node
    """
    _show(node, CHANGE_COLORS, window=2 * (strongest or strongest_of(node)), level=0.0)


def show_spread(node: slicer.vtkMRMLScalarVolumeNode, strongest: float | None = None) -> None:
    """Bright where the members differ; where they agree as they do in most places, what lies below is seen.

    strongest: as in `show_change`
    """
    strongest = strongest or strongest_of(node)
    _show(node, SPREAD_COLORS, window=strongest, level=strongest / 2)
    usual = float(np.percentile(thinned(slicer.util.arrayFromVolume(node)), _USUAL_PERCENTILE))
    node.GetDisplayNode().SetThreshold(usual + _WEAK * (strongest - usual), float(np.finfo(np.float32).max))
    node.GetDisplayNode().ApplyThresholdOn()


def strongest_of(node: slicer.vtkMRMLScalarVolumeNode) -> float:
    """Magnitude of a map, in its own units, below which almost all of its voxels lie that are not 0; 1 for none."""
    magnitude = np.abs(thinned(slicer.util.arrayFromVolume(node)))
    changed = magnitude[magnitude > 0]
    return float(np.percentile(changed, _MAP_PERCENTILE)) if changed.size else 1.0


def _show(node: slicer.vtkMRMLScalarVolumeNode, colors: str, window: float, level: float) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors)
    display.AutoWindowLevelOff()
    display.SetWindowLevel(window, level)
