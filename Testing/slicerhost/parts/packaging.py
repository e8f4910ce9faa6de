"""Python packages, as Slicer asks for them; this host has no network, so nothing is ever installed."""

from importlib.metadata import PackageNotFoundError, version
from subprocess import CalledProcessError

import slicer
from packaging.requirements import Requirement


def load_requirements(path) -> list[Requirement]:
    """What a file of requirements names."""
    with open(path) as lines:
        return [Requirement(line) for line in map(str.strip, lines) if line and not line.startswith(("#", "-"))]


def pip_ensure(requirements, *, prompt_install=True, requester=None, skip_in_testing=True) -> None:
    """Ask for what is missing.

    Raises RuntimeError when the user declines, and CalledProcessError when pip fails, which it always does.
    """
    missing = [requirement for requirement in requirements if not _is_there(requirement)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    if prompt_install and not slicer.util.confirmOkCancelDisplay("Continue?", requester):
        raise RuntimeError("User declined package installation")
    raise CalledProcessError(1, "pip install")


def _is_there(requirement: Requirement) -> bool:
    try:
        return version(requirement.name) in requirement.specifier
    except PackageNotFoundError:
        return False
