"""Sequences of volumes over a number, which a browser moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import slicer

from CRONOSLib.scene.nodes import filled_volume

if TYPE_CHECKING:
    import SimpleITK as sitk


def new_sequence(name: str, index: str, unit: str = "") -> slicer.vtkMRMLSequenceNode:
    """A sequence without items, in no scene yet; `index` and `unit` are those of its number."""
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(name)
    sequence.SetIndexName(index)
    sequence.SetIndexUnit(unit)
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    return sequence


def set_item(
    sequence: slicer.vtkMRMLSequenceNode, value: float, image: sitk.Image, name: str, attributes: Mapping[str, str]
) -> None:
    """Let a named volume of an image (LPS, mm), with these attributes, stand at a value."""
    node = filled_volume(image)
    node.SetName(name)
    for attribute, text in attributes.items():
        node.SetAttribute(attribute, text)
    sequence.SetDataNodeAtValue(node, _written(value))


def item_at(sequence: slicer.vtkMRMLSequenceNode, value: float) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume at a value, or None when none stands there."""
    return sequence.GetDataNodeAtValue(_written(value))


def number_of(sequence: slicer.vtkMRMLSequenceNode, value: float) -> int:
    """The number, from 0, of the item at a value; −1 when none stands there."""
    return sequence.GetItemNumberFromIndexValue(_written(value), True)


def values_of(sequence: slicer.vtkMRMLSequenceNode) -> tuple[float, ...]:
    """The values of all items, ascending."""
    return tuple(float(sequence.GetNthIndexValue(index)) for index in range(sequence.GetNumberOfDataNodes()))


def browse(
    browser: slicer.vtkMRMLSequenceBrowserNode,
    sequence: slicer.vtkMRMLSequenceNode,
    volume: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Let a browser move a sequence of the scene by showing its items in a volume; the items stay as they are."""
    browser.AddSynchronizedSequenceNode(sequence)
    browser.AddProxyNode(volume, sequence, False)
    browser.SetSaveChanges(sequence, False)


def _written(value: float) -> str:
    return f"{value:.10g}"
