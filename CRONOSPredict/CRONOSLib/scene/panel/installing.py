"""Packages that a forecast or a training needs and Slicer lacks: asked for on first use, as Slicer's users expect."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

_RESOURCES = Path(__file__).resolve().parents[3] / "Resources"
_TORCH = ">=2.10"


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
    if "torch" in missing:
        if importlib.util.find_spec("PyTorchUtils") is None:
            return _("CRONOS needs the PyTorch extension. Install it in the Extensions Manager and restart Slicer.")
        import PyTorchUtils

        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=True, torchVersionRequirement=_TORCH) is None:
            return _("PyTorch was not installed. Start again to be asked once more.")
    if set(missing) - {"torch"}:
        import slicer.packaging

        slicer.packaging.pip_ensure(slicer.packaging.load_requirements(needs.requirements), requester="CRONOS")
    if missing_packages(needs):
        return _("Some packages are still missing: {names}. Start again.").format(
            names=", ".join(missing_packages(needs))
        )
    return ""
