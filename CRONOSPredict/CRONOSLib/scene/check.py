"""A forecast in the scene beside the scan that was really taken."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import slicer

from CRONOSLib.evaluation.metrics import mean_square_error
from CRONOSLib.imaging.intensity import IntensitySpec, scales_of
from CRONOSLib.scene import display
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.results import RESULT_ATTRIBUTE


@dataclass(frozen=True)
class Check:
    """How near a forecast, and copying the last scan (LCI), come to the true scan, over the whole volume.

    nrmse, lci_nrmse: root mean square error of normalised intensity, 0 is perfect
    psnr, lci_psnr:   dB
    skill:            1 - MSE / MSE of LCI; None when nothing changed at all
    error:            (D, H, W), forecast minus true scan, in the last scan's units
    """

    nrmse: float
    lci_nrmse: float
    psnr: float
    lci_psnr: float
    skill: float | None
    error: np.ndarray


def check(forecast: np.ndarray, last: np.ndarray, truth: np.ndarray, spec: IntensitySpec) -> Check:
    """Measure a forecast as `cronos forecast --compare` does.

    forecast, last: (D, H, W), in the last scan's units
    truth:          the same grid, in its own units; where every scan is scaled by itself, so is the truth, or the
                    scanner's gain would be counted as change
    """
    (scale,) = scales_of([last], spec)
    truth_scale = scales_of([truth], spec)[0] if spec.scope == "each" else scale
    real, made, copied = truth_scale.apply(truth), scale.apply(forecast), scale.apply(last)
    error, lci_error = mean_square_error(made, real), mean_square_error(copied, real)
    return Check(
        nrmse=math.sqrt(error),
        lci_nrmse=math.sqrt(lci_error),
        psnr=_decibel(error),
        lci_psnr=_decibel(lci_error),
        skill=1 - error / lci_error if lci_error else None,
        error=forecast - scale.invert(real),
    )


def _decibel(error: float) -> float:
    """PSNR of a mean square error of intensities in 0…1, dB (`CRONOSLib.evaluation.metrics.psnr`)."""
    return -10 * math.log10(error) if error else math.inf


def add_error_map(
    error: np.ndarray, forecast: slicer.vtkMRMLScalarVolumeNode, truth: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    """New volume node of forecast minus true scan, beside the forecast, in the colours of a map of change."""
    scene = forecast.GetScene()
    name = f"{forecast.GetName()} error against {truth.GetName()}"
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.CopyOrientation(forecast)
    slicer.util.updateVolumeFromArray(node, error.astype(np.float32))
    node.SetAttribute(RESULT_ATTRIBUTE, "error")
    display.show_change(node)
    hierarchy = SubjectHierarchy(scene)
    hierarchy.place(node, hierarchy.parent_of(forecast))
    return node
