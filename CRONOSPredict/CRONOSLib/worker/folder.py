"""A private temporary folder that goes with its process, even when that is killed."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from CRONOSLib.errors import OutputError

_PREFIX = "cronos-worker-"
_OWNER = "owner"
"""File that is locked as long as the process lives that owns the folder; it holds a byte once it is locked."""
_LOCKED_BYTE = 1 << 20
"""Windows locks bytes, and lets nobody read them."""


class PrivateFolder:
    """A folder for the files of one client that other users cannot read.

    It goes by `remove`, with the interpreter, or, when this process is killed, by the next `remove_abandoned`.

    Raises OutputError when the folder for temporary files is full or cannot be written.
    """

    def __init__(self) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
            owner = (self.path / _OWNER).open("wb", buffering=0)
            _lock(owner)
            owner.write(b"+")
        except OSError as error:
            raise OutputError(
                f"Temporary files cannot be written ({error.strerror}). Make room for them on the disk."
            ) from error
        self._finalizer = weakref.finalize(self, _remove, self.path, owner)

    def remove(self) -> None:
        """Remove the folder and all that is in it; once is enough."""
        self._finalizer()


def remove_abandoned() -> None:
    """Remove the private folders whose processes no longer live."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_abandoned(path):
            _remove_files(path)


def _remove_files(path: Path) -> None:
    """Remove a private folder, its mark of ownership last: what is left when this process is killed can be found."""
    with suppress(OSError):
        for child in path.iterdir():
            if child.name != _OWNER:
                shutil.rmtree(child, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path, owner: BinaryIO) -> None:
    owner.close()  # Windows removes no open file
    _remove_files(path)


def _is_abandoned(path: Path) -> bool:
    try:
        with (path / _OWNER).open("r+b", buffering=0) as owner:
            return owner.read(1) == b"+" and _lock(owner)
    except OSError:  # of another user, or gone by now
        return False


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed or this process ends; False when another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
