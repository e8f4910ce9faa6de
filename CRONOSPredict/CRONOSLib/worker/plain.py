"""Frozen dataclasses as plain JSON values and back, checked against their type hints."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Values that JSON has, for dataclasses of them, enums, paths, dates, tuples and dicts of text to any of these."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: to_plain(item) for name, item in value.items()}
    return value


def from_plain(hint: Any, plain: Any) -> Any:
    """The value of type `hint` that `to_plain` turned into `plain`. Raises ValueError when it is none."""
    if get_origin(hint) in (Union, types.UnionType):
        return _from_union(get_args(hint), plain)
    if get_origin(hint) is tuple:
        return _from_tuple(get_args(hint), plain)
    if get_origin(hint) is Literal and plain in get_args(hint):
        return plain
    if hint is Any or get_origin(hint) is dict or hint is dict:
        return plain
    if isinstance(hint, type) and is_dataclass(hint):
        return _from_dataclass(hint, plain)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(plain)
    if hint is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if hint in (Path, datetime) and isinstance(plain, str):
        return Path(plain) if hint is Path else datetime.fromisoformat(plain)
    if isinstance(hint, type) and type(plain) is hint:
        return plain
    raise ValueError(f"{plain!r:.80} is no {getattr(hint, '__name__', hint)}")


def _from_union(hints: tuple[Any, ...], plain: Any) -> Any:
    """Of `X | None` only: nothing else is sent."""
    if plain is None and type(None) in hints:
        return None
    (hint,) = (hint for hint in hints if hint is not type(None))
    return from_plain(hint, plain)


def _from_tuple(hints: tuple[Any, ...], plain: Any) -> tuple:
    if not isinstance(plain, list):
        raise ValueError(f"{plain!r:.80} is no list")
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(from_plain(hints[0], item) for item in plain)
    if len(hints) != len(plain):
        raise ValueError(f"{len(plain)} values stand where {len(hints)} belong")
    return tuple(from_plain(hint, item) for hint, item in zip(hints, plain))


def _from_dataclass(hint: type, plain: Any) -> Any:
    if not isinstance(plain, dict):
        raise ValueError(f"{plain!r:.80} is no {hint.__name__}")
    hints = get_type_hints(hint)
    unknown = set(plain) - set(hints)
    if unknown:
        raise ValueError(f"{hint.__name__} has no field {', '.join(sorted(unknown))}")
    try:
        return hint(**{name: from_plain(hints[name], value) for name, value in plain.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None
