"""What happens when a package is missing, on first use."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed", exc_type=ImportError)
pytest.importorskip("PySide6.QtWidgets", reason="PySide6-Essentials cannot be loaded", exc_type=ImportError)
from packaging.specifiers import SpecifierSet  # noqa: E402


@pytest.fixture
def absent(host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package that is nowhere, and a user who is asked for it."""
    from CRONOSLib.scene.panel.installing import Needs

    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# it does not exist\ncronos-is-nowhere>=1\n", encoding="utf-8")
    return Needs(("cronos_is_nowhere",), requirements)


@pytest.mark.parametrize("agrees", [False, True], ids=["declined", "without network"])
def test_a_package_that_was_not_installed_is_named(absent, agrees: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from CRONOSLib.scene.panel.installing import install_missing

    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *words: asked.append(words[1]) or agrees)
    said = "These packages were not installed: cronos_is_nowhere. Start again to be asked once more."
    assert install_missing(absent) == said
    assert asked == ["CRONOS"]


@pytest.mark.parametrize(("platform", "newest"), [("win32", "2.12"), ("linux", "2.13"), ("darwin", "2.13")])
def test_torch_comes_in_a_version_that_the_system_can_install(
    absent, platform: str, newest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths of torch 2.13 are too long for Windows."""
    from CRONOSLib.scene.panel import installing

    asked: list[str] = []

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation, torchVersionRequirement):
            asked.append(torchVersionRequirement)

    monkeypatch.setattr(sys, "platform", platform)
    there = ModuleType("PyTorchUtils")
    there.__spec__ = ModuleSpec("PyTorchUtils", None)
    there.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", there)
    monkeypatch.setattr(installing, "missing_packages", lambda needs: ["torch"])
    assert "were not installed: torch" in installing.install_missing()
    allowed = SpecifierSet(asked[0])
    assert [version for version in ("2.9", "2.10", "2.11", "2.12", "2.13") if version in allowed][-1] == newest
    assert "2.9" not in allowed
