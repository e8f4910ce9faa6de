"""Where the bundles and the sample patient are, however CRONOS was installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from CRONOSLib.errors import BundleError

_LIBRARY = Path(__file__).resolve().parent


def resources_folder() -> Path:
    """Folder that holds `bundles` and `sample`.

    Looked for, in this order, in a pip installation (inside the package), a source tree (at its root), and an
    installed Slicer extension (beside the library, in qt-scripted-modules).

    Raises BundleError when none of them is there.
    """
    candidates = (
        _LIBRARY / "_resources",
        _LIBRARY.parent.parent / "Resources",
        _LIBRARY.parent / "Resources" / "CRONOS",
    )
    for folder in candidates:
        if (folder / "bundles").is_dir():
            return folder
    raise BundleError("The bundles that belong to CRONOS are not installed with it. Install CRONOS again.")


def bundles_folder() -> Path:
    """Folder of the bundles that come with CRONOS, one folder each. Raises BundleError as `resources_folder`."""
    return resources_folder() / "bundles"


def own_bundles_folder() -> Path:
    """Folder of the bundles that the user of this computer trained and installed; there may be none yet.

    The environment variable CRONOS_BUNDLES names another one, such as one that a group shares.
    """
    named = os.environ.get("CRONOS_BUNDLES")
    if named:
        return Path(named)
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "CRONOS" / "bundles"


def sample_folder() -> Path:
    """Folder of the sample patient: dated scans, and the true next scan in `truth`.

    Raises BundleError as `resources_folder`, and when the sample patient is missing.
    """
    folder = resources_folder() / "sample"
    if not folder.is_dir():
        raise BundleError("The sample patient is not installed. Install CRONOS again, or give your own scans.")
    return folder
