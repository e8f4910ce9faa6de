"""PythonQt's manners on PySide6's classes.

A Qt property is an attribute, `connect` takes the signature of a signal, and an attribute or signal that the class does
not have raises. The real `connect` only returns False for an unknown signal; raising finds the mistake sooner.
"""

from __future__ import annotations

from typing import ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

_VIRTUAL = {"sizeHint", "minimumSizeHint"}
"""Qt calls these by name on Python classes, so they stay methods."""

_FUNCTIONS = {"singleShot"}
"""PythonQt leaves the name to the function of the class; a timer has setSingleShot."""

_dressed: dict[type, type] = {}


class Manners:
    """What every dressed class does in PythonQt's way; state of the host's own goes into names with an underscore."""

    python_signals: ClassVar[dict[str, str]] = {}
    """Signals with arguments that Qt does not know, such as MRML nodes: signature to attribute."""

    def __init_subclass__(cls, **keywords) -> None:
        super().__init_subclass__(**keywords)
        cls.connect, cls.disconnect = Manners.connect, Manners.disconnect  # PySide6 ignores inherited ones

    def connect(self, signature: str, slot) -> bool:
        """Call a slot on a signal, given by its C++ signature. Raises AttributeError for an unknown signal."""
        signal = self._signal(signature)
        if isinstance(signal, str):
            return QtCore.QObject.connect(self, QtCore.SIGNAL(signal), slot)
        return bool(signal.connect(slot))

    def disconnect(self, signature: str, slot) -> bool:
        """Undo `connect`."""
        signal = self._signal(signature)
        if isinstance(signal, str):
            return QtCore.QObject.disconnect(self, QtCore.SIGNAL(signal), slot)
        return bool(signal.disconnect(slot))

    def className(self) -> str:
        """Name of the C++ class."""
        return type(self).__name__

    def __setattr__(self, name: str, value) -> None:
        if name.startswith("_") or (isinstance(value, QtCore.QObject) and name == value.name):
            super().__setattr__(name, value)  # the second is QUiLoader, which keeps named children this way
        elif self._is_property(name):
            super().__setattr__(name, value)
        elif name in self.dynamicPropertyNames():
            self.setProperty(name, value)
        else:
            raise AttributeError(f"'{name}' is no property of {self.className()}, and nothing new can be set on it.")

    def _is_property(self, name: str) -> bool:
        return isinstance(getattr(type(self), name, None), (property, QtCore.Property))

    def _signal(self, signature: str):
        """The C++ signature, or the Python signal that stands for it."""
        normal = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
        if normal in self.python_signals:
            return getattr(self, self.python_signals[normal])
        if self.metaObject().indexOfSignal(normal) < 0:
            raise AttributeError(f"{self.className()} has no signal {normal}.")
        return normal


def dressed(base: type) -> type:
    """A QObject class with PythonQt's manners; the same class each time."""
    if base not in _dressed:
        _dressed[base] = type(base.__name__, (Manners, base), {"__init__": _without_foreign_parents(base)})
    return _dressed[base]


def turn_properties_into_attributes() -> None:
    """Let `label.text` be the text for every Qt class, also for objects that Qt itself creates."""
    for module in (QtCore, QtGui, QtWidgets):
        for found in (getattr(module, name) for name in dir(module)):
            if isinstance(found, type) and issubclass(found, QtCore.QObject):
                _turn_own_properties(found)
    QtCore.QObject.name = QtCore.QObject.objectName


def _turn_own_properties(qt_class: type) -> None:
    described = qt_class.staticMetaObject
    for index in range(described.propertyOffset(), described.propertyCount()):
        found = described.property(index)
        if found.name() not in _VIRTUAL | _FUNCTIONS:
            setattr(qt_class, found.name(), _attribute(found.name(), found.isWritable()))


def _attribute(name: str, writable: bool) -> property:
    def read(self):
        return QtCore.QObject.property(self, name)

    def write(self, value) -> None:
        if not QtCore.QObject.setProperty(self, name, value):
            raise ValueError(f"{self.className()}.{name} does not take {value!r}.")

    return property(read, write if writable else None)


def _without_foreign_parents(base: type):
    """PythonQt ignores a parent that is no Qt object, such as the Python class of a module's widget."""

    def __init__(self, *arguments) -> None:
        base.__init__(self, *(item for item in arguments if not _is_foreign(item)))

    return __init__


def _is_foreign(item) -> bool:
    return hasattr(item, "setup") and hasattr(item, "cleanup")
