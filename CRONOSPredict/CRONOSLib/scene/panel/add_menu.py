"""The menu of what can be added to the series."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from CRONOSLib.errors import CronosError
from CRONOSLib.scene.hierarchy import SubjectHierarchy, is_scan
from CRONOSLib.scene.panel.sequences import add_frames
from CRONOSLib.scene.results import RESULT_ATTRIBUTE


class AddMenu:
    """Volumes, patients and sequences of the scene, listed anew each time the menu opens.

    add: called with volume nodes, and with one sentence when something is wrong
    """

    def __init__(self, button, add: Callable[..., None]) -> None:
        self._add = add
        self._menu = qt.QMenu(button)
        self._menu.connect("aboutToShow()", self.fill)
        button.setMenu(self._menu)

    def fill(self) -> None:
        """List what the scene has now."""
        self._menu.clear()
        hierarchy = SubjectHierarchy(slicer.mrmlScene)
        for item, name in hierarchy.patients().items():
            volumes = [node for node in hierarchy.volumes(item) if not node.GetAttribute(RESULT_ATTRIBUTE)]
            if volumes:
                text = _("All {count} scans of {name}").format(count=len(volumes), name=name)
                self._offer(text, partial(self._add, volumes))
        self._menu.addSeparator()
        for sequence in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
            if sequence.GetDataNodeClassName() == "vtkMRMLScalarVolumeNode":
                text = _("Frames of sequence {name}").format(name=sequence.GetName())
                self._offer(text, partial(self._add_frames, sequence))
        self._menu.addSeparator()
        volumes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if is_scan(node)]
        for volume in volumes:
            self._offer(volume.GetName(), partial(self._add, [volume]))
        if self._menu.isEmpty():
            nothing = qt.QAction(_("The scene has no volumes. Load the patient's scans first."), self._menu)
            nothing.enabled = False
            self._menu.addAction(nothing)

    def _offer(self, text: str, chosen: Callable[[], None]) -> None:
        action = qt.QAction(text.replace("&", "&&"), self._menu)
        action.connect("triggered()", chosen)
        self._menu.addAction(action)

    def _add_frames(self, sequence) -> None:
        try:
            self._add(add_frames(sequence))
        except CronosError as error:
            self._add([], str(error))
