"""`--set NAME=VALUE`: single settings of a run, from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from CRONOSLib.errors import MethodError


def with_words(settings: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The settings with those put in place that were typed; what lies beside them in a group stays.

    words: NAME=VALUE, such as learning_rate=1e-4 or preprocessing.grid.spacing_mm=4; a value is JSON, else a word

    Raises MethodError for a word without "=", or a name inside something that is no group.
    """
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise MethodError(f"'{word}' sets nothing. Write --set NAME=VALUE, such as --set learning_rate=1e-4.")
        settings = _placed(settings, name.split("."), _value(value), name)
    return settings


def _placed(settings: dict[str, Any], path: Sequence[str], value: Any, name: str) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {**settings, first: value}
    group = settings.get(first, {})
    if not isinstance(group, dict):
        raise MethodError(f"Setting '{first}' is a single value, so that '{name}' cannot be set. Correct the name.")
    return {**settings, first: _placed(group, rest, value, name)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
