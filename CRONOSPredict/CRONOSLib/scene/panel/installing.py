"""Packages that a forecast or a training needs and Slicer lacks: asked for on first use, as Slicer's users expect."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

_RESOURCES = Path(__file__).resolve().parents[3] / "Resources"


@dataclass(frozen=True)
class Needs:
    """Packages beside torch, and the file that says which versions of them to install."""

    packages: tuple[str, ...]
    requirements: Path


FORECASTING = Needs(("torchdiffeq", "safetensors"), _RESOURCES / "requirements.txt")
TRAINING = Needs(("torchdiffeq", "safetensors", "lightning", "matplotlib"), _RESOURCES / "training-requirements.txt")


def missing_packages(needs: Needs = FORECASTING) -> list[str]:
    """Names of the packages that are needed and not there."""
    return [name for name in ("torch", *needs.packages) if importlib.util.find_spec(name) is None]


def install_missing(needs: Needs = FORECASTING) -> str:
    """Install what is missing after asking; one sentence when it still is, else ""."""
    missing = missing_packages(needs)
    if "torch" in missing and importlib.util.find_spec("PyTorchUtils") is None:
        return _("CRONOS needs the PyTorch extension. Install it in the Extensions Manager and restart Slicer.")
    try:
        _install(missing, needs)
    except (RuntimeError, ImportError, OSError, subprocess.SubprocessError) as error:  # declined, or without network
        logging.warning(error)
    if still := missing_packages(needs):
        return _("These packages were not installed: {names}. Start again to be asked once more.").format(
            names=", ".join(still)
        )
    return ""


def _install(missing: list[str], needs: Needs) -> None:
    if "torch" in missing:
        import PyTorchUtils

        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=True, torchVersionRequirement=_torch_versions()) is None:
            return
    if set(missing) - {"torch"}:
        import slicer.packaging

        slicer.packaging.pip_ensure(slicer.packaging.load_requirements(needs.requirements), requester="CRONOS")


def _torch_versions() -> str:
    """Windows refuses the paths of torch 2.13, which are too long (light-the-torch#176)."""
    return ">=2.10,<2.13" if sys.platform == "win32" else ">=2.10"
