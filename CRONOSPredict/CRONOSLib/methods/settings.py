"""Settings of methods as frozen dataclasses, to and from the plain values of a JSON file."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from CRONOSLib.errors import MethodError

S = TypeVar("S")


def settings_from(base: S, values: dict[str, Any]) -> S:
    """`base` with the given fields replaced; nested dataclasses take nested dictionaries.

    Raises MethodError for a field that does not exist or a choice that is not one of its enumeration.
    """
    known = {field.name: getattr(base, field.name) for field in fields(base)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise MethodError(f"There is no setting '{name}'. Choose one of {', '.join(known)}.")
    return replace(base, **{name: _convert(known[name], value, name) for name, value in values.items()})  # type: ignore[type-var]


def settings_to_json(settings: Any) -> dict[str, Any]:
    """Plain JSON values of a settings dataclass; `settings_from` reads them back."""
    return {name: _plain(value) for name, value in asdict(settings).items()}


def _convert(current: Any, value: Any, name: str) -> Any:
    if is_dataclass(current) and isinstance(value, dict):
        return settings_from(current, value)
    if isinstance(current, Enum) and not isinstance(value, Enum):
        try:
            return type(current)(value)
        except ValueError:
            choices = ", ".join(str(choice.value) for choice in type(current))
            raise MethodError(f"Setting '{name}' cannot be '{value}'. Choose one of {choices}.") from None
    if isinstance(current, tuple) and isinstance(value, list):
        return tuple(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
