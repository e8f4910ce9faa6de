"""The sample patient that comes with CRONOS, for trying out and for the self test."""

from __future__ import annotations

import slicer

from CRONOSLib.imaging.sources import Source, read_series
from CRONOSLib.resources import sample_folder
from CRONOSLib.scene.results import add_scans


def load_sample_patient(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """New volume nodes of the sample patient's scans, oldest first, with their dates; the last one is shown.

    Raises BundleError when the sample patient is not installed.
    """
    nodes = list(add_scans(scene, read_series([Source(sample_folder())])))
    layouts = slicer.app.layoutManager()
    for name in layouts.sliceViewNames() if layouts is not None else ():
        view = layouts.sliceWidget(name)
        view.mrmlSliceCompositeNode().SetBackgroundVolumeID(nodes[-1].GetID())
        view.sliceController().fitSliceToBackground()
    return nodes
