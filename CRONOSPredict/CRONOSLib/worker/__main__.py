"""The worker process: `python -m CRONOSLib.worker --folder …`, or this file by its path."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO


def main(arguments: list[str] | None = None) -> None:
    """Answer requests on standard input until it ends; never returns."""
    parser = argparse.ArgumentParser(prog="CRONOSLib.worker", description="Forecasts what is asked on its input.")
    parser.add_argument("--folder", type=Path, help="holds the files of this process; removed at its end")
    folder = parser.parse_args(arguments).folder
    requests, replies = _private_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is meant for the parent
    if hasattr(os, "nice"):
        os.nice(5)  # the window stays quick while this process uses every core
    from CRONOSLib.worker.server import Server

    Server(requests, replies, folder).serve()


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for the protocol alone: whatever else prints, even from C, prints to the log."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # The standard output would hold back what is printed until the process ends.
    sys.stdout = sys.__stdout__ = sys.stderr  # type: ignore[assignment,misc]
    return requests, replies


def _find_library() -> None:
    """Started by path, Python looks beside this file, where the library's parts would hide modules of that name."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parents[1]), *(path for path in sys.path if Path(path).resolve() != here)]


if __name__ == "__main__":
    if not __package__:
        _find_library()
    main()
