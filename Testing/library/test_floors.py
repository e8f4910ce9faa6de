"""The rule of floors: who may import whom, and what may be imported where."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "CRONOSPredict" / "CRONOSLib"

FLOORS = (
    ("errors", "packages", "resources", "whole_file", "whole_folder", "__init__"),
    ("series", "dates"),
    ("imaging",),
    ("flow",),
    ("networks",),
    ("methods",),
    ("bundles",),
    ("forecasting",),
    ("forecast",),
    ("timeline",),
    ("cohorts",),
    ("evaluation",),  # before training, which chooses the best weights by measured skill
    ("training",),
    ("benchmark",),
    ("report",),
    ("worker",),
    ("scene",),
    ("outputs",),
    ("commands",),
    ("cli",),
)
"""From the ground up: a file imports from its own floor and from those before it."""

ONLY_IN_FUNCTIONS = {"monai", "lightning", "pytorch_lightning", "nilearn", "matplotlib", "pydicom", "scipy", "skimage"}
"""Slicer lacks them, and imports every module file at startup."""

TORCH_FAMILY = {"torch", "torchdiffeq", "safetensors", *ONLY_IN_FUNCTIONS}
NEVER_TORCH = {"series", "dates", "imaging", "scene"}


class Import(NamedTuple):
    """One import: of what, in which file, and whether it runs when the file is imported."""

    module: str
    path: Path
    at_file_scope: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {self.module}"


def imports_of(path: Path) -> Iterator[Import]:
    """Imports of a file that run; those below `if TYPE_CHECKING` do not."""
    yield from _imports(ast.parse(path.read_text(encoding="utf-8")), path, True)


def _imports(node: ast.AST, path: Path, at_file_scope: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, path, at_file_scope) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{path} imports by a relative name"
            assert child.module
            yield from (Import(f"{child.module}.{alias.name}", path, at_file_scope) for alias in child.names)
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _imports(child, path, at_file_scope and not inside)


def imported_part(module: str) -> str:
    """The part of the library an import reaches; `__version__` and the like belong to the ground floor."""
    part = module.split(".")[1]
    return "__init__" if part.startswith("__") else part


def part_of(path: Path) -> str:
    """The part of the library a file belongs to: its folder, or its own name at the root."""
    inside = path.relative_to(LIBRARY)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


FILES = sorted(LIBRARY.rglob("*.py"))
MODULE_FILES = [ROOT / name / f"{name}.py" for name in ("CRONOSPredict", "CRONOSTrain")]
IMPORTS = [found for path in FILES for found in imports_of(path)]
FLOOR_OF = {part: number for number, floor in enumerate(FLOORS) for part in floor}


def said(imports: list[Import]) -> str:
    return "\n".join(map(str, imports))


def test_every_part_of_the_library_has_a_floor() -> None:
    assert {part_of(path) for path in FILES} <= set(FLOOR_OF)


def test_an_import_goes_down_never_up() -> None:
    upward = [
        found
        for found in IMPORTS
        if found.top == "CRONOSLib" and FLOOR_OF[imported_part(found.module)] > FLOOR_OF[part_of(found.path)]
    ]
    assert not upward, said(upward)


def test_only_the_scene_knows_slicer() -> None:
    knowing = [
        found for found in IMPORTS if found.top in {"slicer", "vtk", "qt", "ctk"} and part_of(found.path) != "scene"
    ]
    assert not knowing, said(knowing)


def test_dates_images_and_scenes_never_import_torch() -> None:
    torch = [found for found in IMPORTS if found.top == "torch" and part_of(found.path) in NEVER_TORCH]
    assert not torch, said(torch)


def test_what_slicer_lacks_is_imported_in_functions_only() -> None:
    """Training stands on Lightning's classes; so whoever wants to train imports it in a function, too.

    The scene only follows runs; what it imports is followed below to where a torch would stand.
    """
    at_file_scope = [found for found in IMPORTS if found.at_file_scope]
    heavy = [found for found in at_file_scope if found.top in ONLY_IN_FUNCTIONS - _allowed(found)]
    training = [
        found
        for found in at_file_scope
        if found.module.startswith(("CRONOSLib.training.", "CRONOSLib.benchmark."))
        and part_of(found.path) not in ("training", "benchmark", "scene")
    ]
    assert not heavy + training, said(heavy + training)


@pytest.mark.parametrize("path", MODULE_FILES, ids=lambda path: path.stem)
def test_a_module_file_imports_nothing_at_startup_that_slicer_lacks(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"slicer", "vtk"}
    assert {found.top for found in imports_of(path) if found.at_file_scope} <= allowed


def test_what_a_panel_needs_reaches_no_torch() -> None:
    """Followed through every import at file scope, so that a panel opens on a machine without torch."""
    waiting = [path for path in FILES if part_of(path) in NEVER_TORCH]
    waiting += [LIBRARY / "bundles" / "store.py", LIBRARY / "forecast.py", LIBRARY / "resources.py"]
    waiting += [LIBRARY / "worker" / "client.py"]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for found in imports_of(path):
            if found.at_file_scope:
                assert found.top not in TORCH_FAMILY, found
                waiting += _files_of(found.module)


def _allowed(found: Import) -> set[str]:
    return {"lightning"} if part_of(found.path) == "training" else set()


def _files_of(module: str) -> list[Path]:
    """Files that run when a name of the library is imported: its packages, and itself."""
    parts = module.split(".")
    if parts[0] != "CRONOSLib":
        return []
    found = []
    for count in range(1, len(parts) + 1):
        place = LIBRARY.joinpath(*parts[1:count])
        found += [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return found
