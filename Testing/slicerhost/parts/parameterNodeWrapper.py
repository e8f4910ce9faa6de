"""Typed access to a parameter node, for the types that the modules use; any other type raises."""

import pathlib
import typing

_READERS = {str: str, int: int, float: float, bool: lambda text: text == "True", pathlib.Path: pathlib.Path}
_RESERVED = {"default", "getValue", "setValue", "Modified"}


def parameterNodeWrapper(wrapped: type) -> type:
    """Class whose annotated members are kept, as text, in the parameter node that it wraps."""
    members = typing.get_type_hints(wrapped)
    for name, kind in members.items():
        if kind not in _READERS:
            raise TypeError(f"{wrapped.__name__}.{name}: {kind} cannot be kept in a parameter node by this host.")
        if name in _RESERVED:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    defaults = {name: getattr(wrapped, name, kind()) for name, kind in members.items()}

    def initialise(self, parameterNode) -> None:
        self.parameterNode = parameterNode
        for name, value in defaults.items():
            if not parameterNode.HasParameter(name):
                parameterNode.SetParameter(name, str(value))

    wrapped.__init__ = initialise
    wrapped.AddObserver = lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority
    )
    wrapped.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    for name, kind in members.items():
        setattr(wrapped, name, _parameter(name, kind))
    return wrapped


def _parameter(name: str, kind: type) -> property:
    def read(self):
        return _READERS[kind](self.parameterNode.GetParameter(name))

    def write(self, value) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be {kind.__name__}, not {type(value).__name__}.")
        self.parameterNode.SetParameter(name, str(value))

    return property(read, write)
