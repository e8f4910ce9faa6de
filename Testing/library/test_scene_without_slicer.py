"""Without slicer-core, whoever asks for a scene is told what to install."""

from __future__ import annotations

import importlib
import sys

import pytest
from CRONOSLib.errors import MissingPackageError


@pytest.fixture
def without_slicer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("CRONOSLib.scene")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "slicer", None)


def test_a_missing_slicer_core_is_named(without_slicer: None) -> None:
    with pytest.raises(MissingPackageError, match="pip install slicer-core"):
        importlib.import_module("CRONOSLib.scene.mrb")
