"""Packages that a forecast needs and Slicer lacks: asked for on first use, the way Slicer's users expect."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from slicer.i18n import tr as _

REQUIREMENTS = Path(__file__).resolve().parents[3] / "Resources" / "requirements.txt"
"""What is installed beside torch; it stands in the folder of the module."""

_TORCH = ">=2.10"
_OTHERS = ("torchdiffeq", "safetensors")


def missing_packages() -> list[str]:
    """Names of the packages that a forecast lacks."""
    return [name for name in ("torch", *_OTHERS) if importlib.util.find_spec(name) is None]


def install_missing() -> str:
    """Install what is missing after asking; one sentence when it still is, else ""."""
    missing = missing_packages()
    if "torch" in missing:
        if importlib.util.find_spec("PyTorchUtils") is None:
            return _(
                "Forecasting needs the PyTorch extension. Install it in the Extensions Manager and restart Slicer."
            )
        import PyTorchUtils

        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=True, torchVersionRequirement=_TORCH) is None:
            return _("PyTorch was not installed. Start the forecast again to be asked once more.")
    if set(missing) - {"torch"}:
        import slicer.packaging

        slicer.packaging.pip_ensure(slicer.packaging.load_requirements(REQUIREMENTS), requester="CRONOS")
    if missing_packages():
        return _("Some packages are still missing: {names}. Start the forecast again.").format(
            names=", ".join(missing_packages())
        )
    return ""
