"""A folder of results that appears complete or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from CRONOSLib.errors import OutputError


@contextmanager
def whole_folder(folder: Path, marker: str, *, replace: bool = False) -> Iterator[Path]:
    """Write into the folder this yields; when the block ends well, it takes the place and name of `folder`.

    The yielded folder stands beside, so that taking its place is one rename. An error or Ctrl-C inside the block
    removes it and leaves what was there before.

    marker:  name of the file by which a folder of this kind is known
    replace: allow to replace an older folder of this kind; a folder without `marker` is never replaced unless empty

    Raises OutputError when the folder exists and must stay, or cannot be written.
    """
    folder = Path(folder).resolve()
    _check_replaceable(folder, marker, replace)
    try:
        fresh = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
        fresh.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield fresh
        _flush(fresh)
        _take_place(fresh, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_writable(folder: Path, marker: str, *, replace: bool = False) -> None:
    """Say now what `whole_folder` would say after hours of work. Raises OutputError like it; writes nothing."""
    folder = Path(folder).resolve()
    _check_replaceable(folder, marker, replace)
    parent = next((parent for parent in folder.parents if parent.exists()), folder.anchor)
    if not (os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK)):
        raise OutputError(f"Folder '{folder}' cannot be written. Choose a folder that you may write to.")


def _check_replaceable(folder: Path, marker: str, replace: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"'{folder}' is a file, but a folder is needed. Choose another name.")
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from error
    if empty:
        return
    if not (folder / marker).is_file():
        raise OutputError(f"Folder '{folder}' holds other files and is left alone. Choose a new or empty folder.")
    if not replace:
        raise OutputError(f"Folder '{folder}' holds an earlier result. Choose another folder, or replace it (--force).")


def _take_place(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        fresh.rename(folder)
        return
    old = fresh.with_name(f"{fresh.name}-old")
    folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Ask the system to put every file on disk before the folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _unwritable(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or "the disk may be full"  # numpy's own error of a write that came to an end
    return OutputError(f"Folder '{folder}' cannot be written ({reason}). Choose a folder that you may write to.")
