"""Columns of numbers in table nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import slicer
from vtk.util.numpy_support import numpy_to_vtk


def set_columns(table: slicer.vtkMRMLTableNode, columns: Mapping[str, Sequence[float]]) -> None:
    """Replace what a table holds by these columns, in one change of the node."""
    modifying = table.StartModify()
    table.RemoveAllColumns()
    for name, values in columns.items():
        column = numpy_to_vtk(np.array(values, np.float64), deep=True)
        column.SetName(name)
        table.AddColumn(column)
    table.EndModify(modifying)
