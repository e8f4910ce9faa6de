"""Bundles and sample patient are found from a source tree, a pip installation and an installed extension alike."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from CRONOSLib.resources import bundles_folder

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "CRONOSPredict" / "CRONOSLib"
ASK = "from CRONOSLib.resources import bundles_folder, sample_folder; print(bundles_folder()); print(sample_folder())"


def folders_seen_from(path: Path) -> list[Path]:
    """The two folders, as a fresh interpreter sees them with only `path` holding CRONOSLib."""
    asked = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {ASK}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=path,
    )
    return [Path(line) for line in asked.stdout.splitlines()]


def source_tree(root: Path) -> Path:
    """What a build needs, copied so that it leaves nothing in the repository; with a sample patient of one file."""
    for name in ("pyproject.toml", "setup.py", "LICENSE.txt"):
        shutil.copy(ROOT / name, root / name)
    (root / "README.md").write_text("CRONOS")
    shutil.copytree(LIBRARY, root / "CRONOSPredict" / "CRONOSLib", ignore=shutil.ignore_patterns("__pycache__"))
    for inside in ("bundles/tiny/bundle.json", "sample/a.nrrd", "sample/truth/b.nrrd", "Screenshots/large.png"):
        file = root / "Resources" / inside
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    return root


def test_the_source_tree_is_found() -> None:
    assert bundles_folder() == ROOT / "Resources" / "bundles"


def test_a_copied_source_tree_finds_its_own_resources(tmp_path: Path) -> None:
    tree = source_tree(tmp_path)
    bundles, sample = folders_seen_from(tree / "CRONOSPredict")
    assert (bundles, sample) == (tree / "Resources" / "bundles", tree / "Resources" / "sample")


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="only setuptools can build the wheel")
def test_a_pip_installation_carries_bundles_and_sample(tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "installed"
    tree.mkdir()
    offline = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*offline, "--target", str(target), str(source_tree(tree))], check=True)
    bundles, sample = folders_seen_from(target)
    assert (bundles / "tiny" / "bundle.json").is_file()
    assert (sample / "truth" / "b.nrrd").is_file()
    assert bundles.is_relative_to(target / "CRONOSLib")
    assert {item.name for item in target.iterdir() if item.suffix != ".dist-info"} <= {"CRONOSLib", "bin"}
    assert not list(target.rglob("large.png"))
    shelves = {folder.name for folder in LIBRARY.iterdir() if (folder / "__init__.py").is_file()}
    assert shelves <= {folder.name for folder in (target / "CRONOSLib").iterdir()}


def test_an_installed_extension_is_found(tmp_path: Path) -> None:
    modules = tmp_path / "lib" / "Slicer-5.12" / "qt-scripted-modules"
    shutil.copytree(LIBRARY, modules / "CRONOSLib", ignore=shutil.ignore_patterns("__pycache__"))
    for inside in ("bundles", "sample"):
        (modules / "Resources" / "CRONOS" / inside).mkdir(parents=True)
    bundles, sample = folders_seen_from(modules)
    assert (bundles, sample) == (modules / "Resources" / "CRONOS" / "bundles", modules / "Resources/CRONOS/sample")


def test_missing_resources_are_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(LIBRARY, tmp_path / "CRONOSLib", ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        folders_seen_from(tmp_path)
    assert "BundleError: The bundles that belong to CRONOS are not installed" in failed.value.stderr
