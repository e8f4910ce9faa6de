"""What one forecast leaves for the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """The latest aligned scans and the latest loaded method, so that another date of the same patient starts at once.

    Give the same one to every forecast of a long-lived process. It is not for several threads.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tuple, object, Any]] = {}

    def get(self, what: str, key: tuple, make: Callable[[], T], alive: object = None) -> T:
        """The one entry of this kind; made anew when it was made for another key.

        alive: lives as long as the entry, so that no other object takes an `id` that stands in `key`
        """
        if what not in self._entries or self._entries[what][0] != key:
            self._entries.pop(what, None)  # first: the old and the new one may not fit into memory together
            self._entries[what] = (key, alive, make())
        return self._entries[what][2]

    def clear(self) -> None:
        """Let go of everything."""
        self._entries.clear()
