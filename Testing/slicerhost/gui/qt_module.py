"""The module `qt`: the names of Qt that Slicer's Python has, dressed in its manners."""

from __future__ import annotations

from types import ModuleType

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .manners import dressed
from .real_names import QT_NAMES

_CUSTOM: dict[str, type] = {}
"""Widgets of CTK and MRML that `.ui` files name."""


def make_qt_module() -> ModuleType:
    """A module that has the real one's names only: any other raises AttributeError."""
    module = ModuleType("qt")
    module.__getattr__ = _qt_name  # type: ignore[method-assign]
    return module


def register_widget(widget_class: type) -> None:
    """Let `.ui` files create a widget of this class."""
    _CUSTOM[widget_class.__name__] = widget_class


def _qt_name(name: str):
    if name not in QT_NAMES:
        raise AttributeError(f"module 'qt' has no name '{name}' that is known to exist in Slicer.")
    if name == "QUiLoader":
        return UiLoader
    for module in (QtWidgets, QtCore, QtGui):
        if hasattr(module, name):
            found = getattr(module, name)
            is_object = isinstance(found, type) and issubclass(found, QtCore.QObject)
            return dressed(found) if is_object else found
    raise AttributeError(f"module 'qt' has no name '{name}'.")


class UiLoader(QtUiTools.QUiLoader):
    """Reads `.ui` files; every widget it makes is a dressed one, and an unknown class raises."""

    def createWidget(self, class_name: str, parent=None, name: str = ""):
        """A widget of a class that Qt, CTK or MRML has."""
        if class_name in _CUSTOM:
            widget = _CUSTOM[class_name](parent)
        elif hasattr(QtWidgets, class_name):
            widget = dressed(getattr(QtWidgets, class_name))(parent)
        else:
            raise RuntimeError(f"No widget class '{class_name}' is known.")
        widget.setObjectName(name)
        return widget
