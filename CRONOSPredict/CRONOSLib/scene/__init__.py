"""The only part that knows 3D Slicer: nodes and dates in, result nodes and scene files out.

Everything here works on a scene that it is given, so it runs in the application, in batch mode without a main window,
and outside the application on the scene of the slicer-core package.
"""

from CRONOSLib.errors import MissingPackageError

try:
    import slicer  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingPackageError(
        "Scenes of 3D Slicer need the package slicer-core outside the application. "
        "Install it with: pip install slicer-core"
    ) from error
except ImportError as error:
    raise MissingPackageError(
        f"The package slicer-core is installed but cannot be loaded ({error}). Install the library that it names."
    ) from error
