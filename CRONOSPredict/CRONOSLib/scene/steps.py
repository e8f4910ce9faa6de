"""Work on a scene in steps: a window does one at a time, everybody else all at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Ends a step at each `yield`, and returns the result; what is closed halfway tidies up for itself."""


def finished(work: Steps[T]) -> T:
    """Do all steps, and return the result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
