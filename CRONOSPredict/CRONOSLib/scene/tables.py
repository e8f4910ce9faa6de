"""Columns of numbers in table nodes, as plots draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import slicer
from vtk.util.numpy_support import numpy_to_vtk

T = TypeVar("T")


def set_columns(table: slicer.vtkMRMLTableNode, columns: Mapping[str, Sequence[float]]) -> None:
    """Replace what a table holds by these columns, in one change of the node."""
    modifying = table.StartModify()
    table.RemoveAllColumns()
    for name, values in columns.items():
        column = numpy_to_vtk(np.array(values, np.float64), deep=True)
        column.SetName(name)
        table.AddColumn(column)
    table.EndModify(modifying)


def for_a_line(points: Sequence[T]) -> Sequence[T]:
    """A lone point twice: Slicer's plot views report an error for a line of one point."""
    return [*points, *points] if len(points) == 1 else points
