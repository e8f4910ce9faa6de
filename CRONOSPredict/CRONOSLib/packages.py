"""Packages that some installations lack: Slicer has no torch until asked, and a forecast needs no MONAI."""

from __future__ import annotations

from importlib import import_module

from CRONOSLib.errors import MissingPackageError

_HINTS = {"torch": "; in 3D Slicer, install the PyTorch extension"}


def require(*packages: str, purpose: str) -> None:
    """Import packages, or say how to install the first that is missing.

    purpose: what needs them, as the beginning of a sentence: "Forecasting"
    Raises MissingPackageError when a package is not installed, or is but cannot be loaded.
    """
    for name in packages:
        try:
            import_module(name)
        except ImportError as missing:
            state = "which is not installed" if missing.name == name else f"which cannot be loaded ({missing})"
            hint = _HINTS.get(name, "")
            raise MissingPackageError(
                f"{purpose} needs the package '{name}', {state}. Install it with: pip install {name}{hint}."
            ) from None
