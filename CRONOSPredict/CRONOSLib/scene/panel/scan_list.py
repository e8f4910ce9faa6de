"""The scans that the user chose, as the table shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import SimpleITK as sitk
import slicer
from slicer.i18n import tr as _

from CRONOSLib.dates import parse_when
from CRONOSLib.errors import DateError, SeriesError
from CRONOSLib.scene.dates import DATE_ATTRIBUTE, NodeDate, date_of, keep_date
from CRONOSLib.scene.hierarchy import SubjectHierarchy
from CRONOSLib.scene.panel.scan_status import notes_about, problem_of
from CRONOSLib.scene.times import NodeTime, keep_time, time_of
from CRONOSLib.series import LongitudinalSeries, Scan, TimeSource, TimeUnit

_SCAN_ROLE = "Scan"
_LEFT_OUT_ROLE = "LeftOutScan"


@dataclass(frozen=True)
class ScanRow:
    """One scan of the table.

    used:    whether the forecast looks at it
    when:    its date, or its time in a unit, or None when nothing tells it
    problem: what keeps a forecast from using it, one sentence; "" when nothing does
    notes:   what the user should know about it
    """

    node: slicer.vtkMRMLScalarVolumeNode
    used: bool
    when: NodeDate | NodeTime | None
    problem: str
    notes: tuple[str, ...]


class ScanList:
    """The volume nodes that a parameter node refers to, with the dates that the nodes themselves keep.

    A node that leaves the scene leaves the list.
    """

    def __init__(self, parameter_node: slicer.vtkMRMLScriptedModuleNode) -> None:
        self._parameters = parameter_node

    def nodes(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """The nodes, in the order in which they were added."""
        return self._referred(_SCAN_ROLE)

    def add(self, nodes: Iterable[slicer.vtkMRMLScalarVolumeNode]) -> None:
        """Add nodes that are not in the list yet; a date that is found is kept with its node."""
        present = self.nodes()
        for node in nodes:
            if node not in present:
                present.append(node)
                self._parameters.AddNodeReferenceID(_SCAN_ROLE, node.GetID())
                _keep_found_date(node)

    def remove(self, nodes: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
        """Take nodes out of the list; they stay in the scene."""
        for role in (_SCAN_ROLE, _LEFT_OUT_ROLE):
            self._refer(role, [node for node in self._referred(role) if node not in nodes])

    def use(self, node: slicer.vtkMRMLScalarVolumeNode, used: bool) -> None:
        """Let the forecast look at a scan, or not."""
        left_out = [other for other in self._referred(_LEFT_OUT_ROLE) if other is not node]
        self._refer(_LEFT_OUT_ROLE, left_out if used else [*left_out, node])

    def set_when(self, node: slicer.vtkMRMLScalarVolumeNode, text: str) -> None:
        """Keep a typed date, or a typed time for a scan that has a time in a unit. Raises DateError."""
        known = time_of(node)
        when = parse_when(text, known.unit if known else None)
        if isinstance(when, datetime):
            keep_date(node, when)
        elif known is not None:
            keep_time(node, NodeTime(when, known.unit, TimeSource.TYPED))

    def rows(self) -> list[ScanRow]:
        """The scans by time, those without a time last."""
        left_out = self._referred(_LEFT_OUT_ROLE)
        found = [(node, node not in left_out, *_when(node)) for node in self.nodes()]
        found.sort(key=lambda item: _order(item[2]))
        used = [(node, when) for node, used, when, _complaint in found if used]
        rows = []
        for node, use, when, complaint in found:
            problem = complaint or (problem_of(node, when, used) if use else "")
            rows.append(ScanRow(node, use, when, problem, notes_about(node, used)))
        return rows

    def timeline(self) -> LongitudinalSeries:
        """The used scans without their voxels: what the choice of a target needs. Raises SeriesError or DateError."""
        used = [row for row in self.rows() if row.used]
        _check(used)
        hierarchy = SubjectHierarchy(self._parameters.GetScene())
        voxel = sitk.Image(1, 1, 1, sitk.sitkUInt8)
        scans = [
            Scan(
                image=voxel,
                time=row.when.time if isinstance(row.when, NodeTime) else 0.0,
                name=row.node.GetName(),
                source=row.when.source,
                date=row.when.date if isinstance(row.when, NodeDate) else None,
                patient=hierarchy.patient_name(row.node),
                modality=hierarchy.modality(row.node),
            )
            for row in used
            if row.when is not None
        ]
        if scans and scans[0].date is not None:
            return LongitudinalSeries.from_dates(scans)
        return LongitudinalSeries(tuple(scans), used[0].when.unit if used else TimeUnit.DAY)  # type: ignore[union-attr]

    def _referred(self, role: str) -> list[slicer.vtkMRMLScalarVolumeNode]:
        count = self._parameters.GetNumberOfNodeReferences(role)
        found = (self._parameters.GetNthNodeReference(role, index) for index in range(count))
        return [node for node in found if node is not None]

    def _refer(self, role: str, nodes: Iterable[slicer.vtkMRMLScalarVolumeNode]) -> None:
        self._parameters.RemoveNodeReferenceIDs(role)
        for node in nodes:
            self._parameters.AddNodeReferenceID(role, node.GetID())


def _keep_found_date(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    found = _when(node)[0]
    if isinstance(found, NodeDate) and not node.GetAttribute(DATE_ATTRIBUTE):
        keep_date(node, found.date, found.source)


def _when(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[NodeDate | NodeTime | None, str]:
    """When a scan was taken, and what is wrong with what tells it."""
    try:
        return time_of(node) or date_of(node), ""
    except DateError as error:
        return None, str(error)


def _order(when: NodeDate | NodeTime | None) -> tuple[int, float]:
    if when is None:
        return 1, 0.0
    return 0, when.time if isinstance(when, NodeTime) else (when.date - datetime(1, 1, 1)).total_seconds()


def _check(used: Sequence[ScanRow]) -> None:
    if not used:
        raise SeriesError(_("There is no scan to forecast from. Add the patient's dated scans."))
    for row in used:
        if row.problem:
            raise SeriesError(row.problem)
