"""Patients, studies and scans in Slicer's subject hierarchy."""

from __future__ import annotations

from datetime import datetime

import slicer

_STUDY_DATE = "DICOM.StudyDate"
_STUDY_TIME = "DICOM.StudyTime"


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

    def place(self, node: slicer.vtkMRMLNode, parent: int) -> None:
        """Put a data node under an item; outside the application nothing else makes items for nodes."""
        item = self._node.GetItemByDataNode(node)
        if item:
            self._node.SetItemParent(item, parent)
        else:
            self._node.CreateItem(parent, node)

    def home_of(self, node: slicer.vtkMRMLNode) -> int:
        """Item under which the studies of a node's patient belong: its patient, else its parent, else no item."""
        item = self._node.GetItemByDataNode(node)
        if not item:
            return 0
        return self._patient(item) or self._node.GetItemParent(item)

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

    def _patient(self, item: int) -> int:
        return self._node.GetItemAncestorAtLevel(item, "Patient")
