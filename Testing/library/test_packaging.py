"""What Slicer's build and extensions index read: every file is packaged, and the descriptions agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))
from list_files import MODULES, RESOURCES, differences, files_in_cmake  # noqa: E402

RESERVED_NAMES = {"Testing", "common", "Scripts", "Logic", "utils"}


def cmake_value(name: str) -> str:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf'set\({name} "([^"]*)"\)', text)[1]


@pytest.mark.parametrize("module", MODULES)
def test_cmake_lists_every_file_and_no_other(module: str) -> None:
    assert differences(module) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_folder_has_no_python_file_beside_the_module(module: str) -> None:
    """Slicer takes every one of them for a module."""
    assert [path.name for path in (ROOT / module).glob("*.py")] == [f"{module}.py"]


def test_nothing_installed_has_a_name_that_another_extension_may_have() -> None:
    packages = {path.parent.name for module in MODULES for path in (ROOT / module).glob("*/__init__.py")}
    assert packages == {"CRONOSLib"}
    assert not packages & RESERVED_NAMES
    resources = [file for module in MODULES for file in files_in_cmake(module)[RESOURCES]]
    assert len(resources) == len(set(resources)), "resources of both modules share a path"


def test_the_index_entry_agrees_with_cmake() -> None:
    entry = json.loads((ROOT / "CRONOS.json").read_text(encoding="utf-8"))
    depends = [name for name in cmake_value("EXTENSION_DEPENDS").split() if name != "NA"]
    assert entry["build_dependencies"] == depends == ["PyTorch"]
    assert entry["category"] == "Image Synthesis"
    assert entry["scm_url"] == cmake_value("EXTENSION_HOMEPAGE") + ".git"
    assert "slicer" in entry["scm_url"].rsplit("/", 1)[1].lower(), "the index wants Slicer in the repository's name"
    assert "project(CRONOS)" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("variable", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_pictures_named_to_the_index_exist(variable: str) -> None:
    for url in cmake_value(variable).split():
        assert (ROOT / url.split("/main/", 1)[1]).is_file(), url


@pytest.mark.parametrize("path", ["CRONOS.png", *(f"{module}/Resources/Icons/{module}.png" for module in MODULES)])
def test_an_icon_is_a_png_of_128_pixels(path: str) -> None:
    header = (ROOT / path).read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")) == (128, 128)


@pytest.mark.parametrize("module", MODULES)
def test_a_panel_has_what_its_module_file_uses(module: str) -> None:
    tree = ElementTree.parse(ROOT / module / "Resources" / "UI" / f"{module}.ui")
    widgets = {widget.get("name"): widget.get("class") for widget in tree.iter("widget")}
    code = (ROOT / module / f"{module}.py").read_text(encoding="utf-8")
    assert tree.find("widget").get("class") == "qMRMLWidget"
    assert set(re.findall(r"self\.ui\.(\w+)", code)) <= set(widgets)
    custom = {widget.findtext("class") for widget in tree.iter("customwidget")}
    assert {name for name in widgets.values() if name.startswith(("ctk", "qMRML"))} == custom
    parameters = {
        prop.findtext("string") for prop in tree.iter("property") if prop.get("name") == "SlicerParameterName"
    }
    declared = re.search(r"class \w+ParameterNode:(.*?)\n\n\n", code, re.DOTALL)[1]
    assert parameters <= set(re.findall(r"^    (\w+):", declared, re.MULTILINE))


def test_slicer_installs_what_a_forecast_needs_and_never_torch() -> None:
    lines = (ROOT / "CRONOSPredict/Resources/requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {re.split(r"[<>=~]", line)[0] for line in lines if not line.startswith("#")}
    assert wanted == {"torchdiffeq", "safetensors"}


@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("c++")), reason="cmake or a compiler is not installed")
def test_an_installed_extension_works_without_the_source_tree(tmp_path: Path) -> None:
    """Configure, build and install against a stand-in for Slicer's package, then use the library from there."""
    build, installed = tmp_path / "build", tmp_path / "installed"
    stand_in = ROOT / "Testing" / "slicerhost" / "cmake"
    for command in (
        ["-S", ROOT, "-B", build, f"-DSlicer_DIR={stand_in}", f"-DCMAKE_INSTALL_PREFIX={installed}"],
        ["--build", build],
        ["--install", build, "--component", "RuntimeLibraries"],
    ):
        subprocess.run(["cmake", *map(str, command)], check=True, capture_output=True)
    (modules,) = installed.rglob("qt-scripted-modules")
    code = "import CRONOSLib.resources as r, CRONOSLib.forecast, CRONOSLib.bundles.store as s; "
    code += "s.list_bundles(); print(r.resources_folder())"
    used = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(modules)!r}); {code}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert Path(used.stdout.strip()) == modules / "Resources" / "CRONOS"
    (built,) = build.rglob("Resources/CRONOS")
    assert (built / "bundles" / "README.md").is_file()
