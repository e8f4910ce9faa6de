"""Typed access to a parameter node, for the types that the modules use; any other type raises."""

import pathlib
import typing
from dataclasses import dataclass

import slicer
import vtk

_READERS = {str: str, int: int, float: float, bool: lambda text: text == "True", pathlib.Path: pathlib.Path}
_RESERVED = {"default", "isCached", "dataType", "getValue", "setValue", "allParameters", "Modified", "StartModify"}
_RESERVED |= {"EndModify", "AddObserver", "RemoveObserver", "connectGui", "connectParametersToGui", "disconnectGui"}


@dataclass(frozen=True)
class WithinRange:
    """Annotation of a number: smallest and largest value."""

    minimum: float
    maximum: float


def parameterNodeWrapper(wrapped: type) -> type:
    """Class whose annotated members are kept, as text or node reference, in the parameter node that it wraps."""
    kinds = {}
    for name, kind in typing.get_type_hints(wrapped, include_extras=True).items():
        plain, *notes = (typing.get_args(kind)[0], *kind.__metadata__) if hasattr(kind, "__metadata__") else (kind,)
        if plain not in _READERS and not _node_classes(plain):
            raise TypeError(f"{wrapped.__name__}.{name}: {plain} cannot be kept in a parameter node by this host.")
        if name in _RESERVED:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        kinds[name] = (plain, next((note for note in notes if isinstance(note, WithinRange)), None))
    defaults = {
        name: getattr(wrapped, name, None if _node_classes(kind) else kind()) for name, (kind, _) in kinds.items()
    }

    def initialise(self, parameterNode) -> None:
        self.parameterNode = parameterNode
        self._guis = {}
        for name, value in defaults.items():
            if value is not None and not parameterNode.HasParameter(name):
                parameterNode.SetParameter(name, str(value))

    wrapped.__init__ = initialise
    wrapped.AddObserver = lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority
    )
    wrapped.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    wrapped.StartModify = lambda self: self.parameterNode.StartModify()
    wrapped.EndModify = lambda self, wasModified: self.parameterNode.EndModify(wasModified)
    wrapped.connectGui = lambda self, ui: _connect(self, ui, kinds)
    wrapped.disconnectGui = _disconnect
    for name, (kind, limits) in kinds.items():
        classes = _node_classes(kind)
        setattr(wrapped, name, _node_parameter(name, classes) if classes else _parameter(name, kind, limits))
    return wrapped


def _node_classes(kind) -> tuple[type, ...]:
    """Node classes that a parameter takes: one, or those of a `typing.Union` with None; () when it takes no nodes."""
    members = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind, type(None))
    classes = tuple(found for found in members if isinstance(found, type) and issubclass(found, slicer.vtkMRMLNode))
    return classes if {*classes, type(None)} == set(members) else ()


def _parameter(name: str, kind: type, limits: WithinRange | None) -> property:
    def read(self):
        return _READERS[kind](self.parameterNode.GetParameter(name))

    def write(self, value) -> None:
        if not (isinstance(value, kind) or (kind is float and isinstance(value, int))):
            raise TypeError(f"{name} must be {kind.__name__}, not {type(value).__name__}.")
        if limits and not limits.minimum <= value <= limits.maximum:
            raise ValueError(f"{name} must lie between {limits.minimum} and {limits.maximum}.")
        self.parameterNode.SetParameter(name, str(value))

    return property(read, write)


def _node_parameter(name: str, classes: tuple[type, ...]) -> property:
    def read(self):
        return self.parameterNode.GetNodeReference(name)

    def write(self, node) -> None:
        if node is not None and not isinstance(node, classes):
            raise TypeError(f"{name} does not take a {type(node).__name__}.")
        self.parameterNode.SetNodeReferenceID(name, node.GetID() if node else None)

    return property(read, write)


def _connect(wrapper, ui, kinds) -> int:
    """Tie every widget with the property SlicerParameterName to its parameter; any pair not known here raises."""
    ties = []
    for widget in vars(ui).values():
        name = widget.property("SlicerParameterName")
        if name:
            ties.append(_tie(wrapper, name, widget, *kinds[name]))
    state = {"busy": False}

    def show(caller=None, event=None) -> None:
        if not state["busy"]:
            state["busy"] = True
            try:
                for name, _, _, write, _, _ in ties:
                    write(getattr(wrapper, name))
            finally:
                state["busy"] = False

    def keep(name, read):
        return lambda *_: None if state["busy"] else setattr(wrapper, name, read())

    show()
    slots = []
    for name, widget, read, _, signal, _ in ties:
        slot = keep(name, read)
        widget.connect(signal, slot)
        slots.append((widget, signal, slot))
    tag = wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, show)
    wrapper._guis[tag] = slots
    return tag


def _tie(wrapper, name, widget, kind, limits):
    """Name, widget, how to read and write it, its signal; the pairs that the real connectors know."""
    if classes := _node_classes(kind):
        assert widget.className() == "qMRMLNodeComboBox"
        widget.nodeTypes = [node_class().GetClassName() for node_class in classes]  # an abstract class raises
        signal = "currentNodeChanged(vtkMRMLNode*)"
        return name, widget, widget.currentNode, widget.setCurrentNode, signal, limits
    pairs = {
        ("QCheckBox", bool): ("checked", "stateChanged(int)"),
        ("QSpinBox", int): ("value", "valueChanged(int)"),
        ("QSlider", int): ("value", "valueChanged(int)"),
        ("QLineEdit", str): ("text", "textChanged(QString)"),
        ("ctkPathLineEdit", pathlib.Path): ("currentPath", "currentPathChanged(QString)"),
    }
    attribute, signal = pairs[(widget.className(), kind)]
    if limits and kind is int:
        widget.minimum, widget.maximum = int(limits.minimum), int(limits.maximum)

    def write(value) -> None:
        shown = str(value) if kind is pathlib.Path else value
        if getattr(widget, attribute) != shown:
            setattr(widget, attribute, shown)

    return name, widget, lambda: kind(getattr(widget, attribute)), write, signal, limits


def _disconnect(wrapper, tag) -> None:
    for widget, signal, slot in wrapper._guis.pop(tag, ()):
        widget.disconnect(signal, slot)
    wrapper.RemoveObserver(tag)
