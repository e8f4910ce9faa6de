"""Patients, studies and scans in Slicer's subject hierarchy."""

from __future__ import annotations

from datetime import datetime

import slicer
import vtk

_STUDY_DATE = "DICOM.StudyDate"
_STUDY_TIME = "DICOM.StudyTime"


def is_scan(node: slicer.vtkMRMLNode) -> bool:
    """Whether a node may be a scan: a scalar volume that is shown to users, and no label map."""
    shown = node.IsA("vtkMRMLScalarVolumeNode") and not node.GetHideFromEditors()
    return bool(shown and not node.IsA("vtkMRMLLabelMapVolumeNode"))


class SubjectHierarchy:
    """The subject hierarchy of one scene: patient, study and series as a tree of items.

    An item is an integer; 0 is no item.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._node = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    def add_patient(self, name: str) -> int:
        """New patient item at the root of the tree."""
        return self._node.CreateSubjectItem(self._node.GetSceneItemID(), name)

    def study(self, parent: int, name: str, date: datetime | None) -> int:
        """The study item of that name under an item, new when there is none; `date` is kept the way DICOM writes it."""
        parent = parent or self._node.GetSceneItemID()
        study = self._node.GetItemChildWithName(parent, name) or self._node.CreateStudyItem(parent, name)
        if date is not None:
            self._node.SetItemAttribute(study, _STUDY_DATE, f"{date:%Y%m%d}")
            if date.time() != datetime.min.time():
                self._node.SetItemAttribute(study, _STUDY_TIME, f"{date:%H%M%S}")
        return study

    def folder(self, parent: int, name: str) -> int:
        """New folder item under an item, or at the root."""
        return self._node.CreateFolderItem(parent or self._node.GetSceneItemID(), name)

    def patients(self) -> dict[int, str]:
        """Items and names of all patients of the scene."""
        items = self._below(self._node.GetSceneItemID())
        return {item: self._node.GetItemName(item) for item in items if self._node.GetItemLevel(item) == "Patient"}

    def volumes(self, item: int) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """Scalar volumes anywhere below an item; label maps are none."""
        nodes = (self._node.GetItemDataNode(below) for below in self._below(item))
        return [node for node in nodes if node is not None and is_scan(node)]

    def place(self, node: slicer.vtkMRMLNode, parent: int) -> None:
        """Put a data node under an item; outside the application nothing else makes items for nodes."""
        item = self._node.GetItemByDataNode(node)
        if item:
            self._node.SetItemParent(item, parent)
        else:
            self._node.CreateItem(parent, node)

    def remove(self, node: slicer.vtkMRMLNode) -> None:
        """Take a data node out of its scene, with its item and what only it has: display and storage.

        What the user put under its item stays, under the item above.
        """
        item = self._node.GetItemByDataNode(node)
        if item:
            self._node.RemoveItem(item, False, False)
        scene, own = node.GetScene(), []
        if node.IsA("vtkMRMLDisplayableNode"):
            own += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
        if node.IsA("vtkMRMLStorableNode"):
            own += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
        for other in (node, *own):
            if other is not None:
                scene.RemoveNode(other)

    def home_of(self, node: slicer.vtkMRMLNode) -> int:
        """Item under which the studies of a node's patient belong: its patient, else its parent, else no item."""
        item = self._node.GetItemByDataNode(node)
        if not item:
            return 0
        return self._patient(item) or self._node.GetItemParent(item)

    def parent_of(self, node: slicer.vtkMRMLNode) -> int:
        """Item under which a node stands; the root when it has no item."""
        item = self._node.GetItemByDataNode(node)
        return self._node.GetItemParent(item) if item else self._node.GetSceneItemID()

    def patient_name(self, node: slicer.vtkMRMLNode) -> str | None:
        """Name of the patient a node belongs to, or None."""
        item = self._node.GetItemByDataNode(node)
        patient = self._patient(item) if item else 0
        return self._node.GetItemName(patient) if patient else None

    def modality(self, node: slicer.vtkMRMLNode) -> str | None:
        """DICOM modality of a node, such as MR or CT, or None."""
        item = self._node.GetItemByDataNode(node)
        return (self._node.GetItemAttribute(item, "DICOM.Modality") or None) if item else None

    def study_date(self, node: slicer.vtkMRMLNode) -> str | None:
        """Date of a node's study as DICOM writes it (YYYYMMDD, with HHMMSS when known), or None."""
        item = self._node.GetItemByDataNode(node)
        study = self._node.GetItemAncestorAtLevel(item, "Study") if item else 0
        date = self._node.GetItemAttribute(study, _STUDY_DATE) if study else ""
        return date + (self._node.GetItemAttribute(study, _STUDY_TIME) or "") if date else None

    def _below(self, item: int) -> list[int]:
        found = vtk.vtkIdList()
        self._node.GetItemChildren(item, found, True)
        return [found.GetId(index) for index in range(found.GetNumberOfIds())]

    def _patient(self, item: int) -> int:
        return self._node.GetItemAncestorAtLevel(item, "Patient")
