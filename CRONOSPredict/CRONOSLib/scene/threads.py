"""Python's threads beside a window that Slicer's own loop drives."""

from __future__ import annotations

import time

_SHARE = 0.005
"""Seconds of a turn; the window does not answer meanwhile."""


def let_threads_run() -> None:
    """Sleep a moment, to be called in every turn of a timer that waits for a thread.

    Slicer's loop keeps the lock of the interpreter while it waits for the user: between two turns of Python's a thread
    comes no further than to its next file.
    """
    time.sleep(_SHARE)
