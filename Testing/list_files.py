"""Compare the lists of files in the modules' CMakeLists.txt with the files that are there.

`python Testing/list_files.py` says what differs and fails when something does; `--write` brings the lists up to date.
A file that the lists leave out is missing from the installed extension.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("CRONOSPredict", "CRONOSTrain")
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def files_in_tree(module: str) -> dict[str, list[str]]:
    """Paths of the scripts and resources of a module, relative to its folder, sorted."""
    folder = ROOT / module
    scripts = [path for path in folder.rglob("*.py") if not path.is_relative_to(folder / "Resources")]
    resources = [path for path in (folder / "Resources").rglob("*") if path.is_file()]
    return {
        name: sorted(path.relative_to(folder).as_posix() for path in paths if _is_shipped(path.relative_to(folder)))
        for name, paths in ((SCRIPTS, scripts), (RESOURCES, resources))
    }


def files_in_cmake(module: str) -> dict[str, list[str]]:
    """The same paths as the module's CMakeLists.txt lists them, in its order."""
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
    return {name: _block(name).search(text)[2].split() for name in (SCRIPTS, RESOURCES)}  # type: ignore[index]


def write_lists(module: str) -> None:
    """Put the files of the tree into the module's CMakeLists.txt."""
    path = ROOT / module / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    for name, files in files_in_tree(module).items():
        lines = "".join(f"  {file}\n" for file in files)
        text = _block(name).sub(lambda found, lines=lines: f"{found[1]}\n{lines}{found[3]}", text)
    path.write_text(text, encoding="utf-8")


def differences(module: str) -> list[str]:
    """One sentence for each file that is missing from a list or stands there without existing."""
    said = []
    for name, tree in files_in_tree(module).items():
        listed = files_in_cmake(module)[name]
        said += [f"{module}/{file} is missing from {name}." for file in tree if file not in listed]
        said += [f"{module}/{file} stands in {name} but not in the tree." for file in listed if file not in tree]
        if listed != sorted(set(listed)):
            said.append(f"{name} of {module} is not sorted or lists a file twice.")
    return said


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(set\({name}\b)(.*?)(^  \)|\))", re.DOTALL | re.MULTILINE)


def _is_shipped(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring the lists up to date")
    if parser.parse_args().write:
        for module in MODULES:
            write_lists(module)
    said = [sentence for module in MODULES for sentence in differences(module)]
    print("\n".join(said) or "The lists hold every file.")
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
