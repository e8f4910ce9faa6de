"""Bundles on disk: find, load, verify, list and save them. Needs no torch except to save."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.card import model_card
from CRONOSLib.errors import BundleError
from CRONOSLib.methods.registry import method_entry
from CRONOSLib.resources import bundles_folder, own_bundles_folder
from CRONOSLib.whole_folder import whole_folder

if TYPE_CHECKING:
    from CRONOSLib.methods.interface import Method

DESCRIPTION = "bundle.json"
WEIGHTS = "weights.safetensors"
CARD = "README.md"


@dataclass(frozen=True)
class Evaluation:
    """How good a bundle is, for its card.

    text:        Markdown
    write_files: puts what the text shows, and the tables behind it, into a folder
    """

    text: str
    write_files: Callable[[Path], None]


def load_bundle(path_or_name: Path | str) -> Bundle:
    """A bundle by its folder, or by its name among those that come with CRONOS or were installed.

    The hash of its weights is checked.

    Raises BundleError when it is not there, its schema is unknown, its description broken, or its weights missing or
    altered.
    """
    bundle = _described(_folder_of(path_or_name))
    verified_weights(bundle)
    return bundle


def list_bundles(folder: Path | None = None, *, on_broken: Callable[[BundleError], None] | None = None) -> list[Bundle]:
    """Bundles in a folder, by name; default: those that come with CRONOS, then the user's own. Weights are not read.

    on_broken: told about each bundle that cannot be read, which is then left out; None: raise instead
    Raises BundleError when the folder is not there, and for a broken bundle unless `on_broken` is given.
    """
    if folder is None:
        places = [*_places(bundles_folder()), *_places(own_bundles_folder())]
    elif Path(folder).is_dir():
        places = [Path(folder)] if (Path(folder) / DESCRIPTION).is_file() else _places(Path(folder))
    else:
        raise BundleError(f"There is no folder '{folder}'. Give a folder that holds bundles.")
    bundles = []
    for place in places:
        try:
            bundles.append(_described(place))
        except BundleError as error:
            if on_broken is None:
                raise
            on_broken(error)
    return bundles


def default_bundle(method: str | None = None) -> Bundle:
    """The bundle for dated scans that comes with CRONOS and has the highest skill, of one method or of any.

    Bundles for the frames of one examination (hearts, perfusion) are chosen by name: their patients are others, and
    easier. Raises BundleError when there is none.
    """
    candidates = [
        bundle
        for bundle in list_bundles(bundles_folder())
        if method in (None, bundle.method) and not bundle.time_unit.within_one_exam
    ]
    if not candidates:
        wanted = f"method '{method}'" if method else "forecasting"
        raise BundleError(
            f"No bundle for {wanted} comes with CRONOS. Give a trained one with --bundle, "
            "or choose a method that needs none, such as linear."
        )
    best = max(candidates, key=lambda bundle: bundle.skill.mean if bundle.skill else float("-inf"))
    return load_bundle(_home(best))


def install_bundle(bundle: Bundle) -> Bundle:
    """Copy a bundle to the user's own, where it is found by its name; one of the same weights is not copied again.

    Returns the copy, whose name gets a number where it is taken. Raises BundleError when its weights are missing or
    altered, OutputError when the copy cannot be written.
    """
    verified_weights(bundle)
    known = list_bundles(on_broken=lambda _: None)
    for one in known:
        if one.weights_sha256 == bundle.weights_sha256:
            return one
    taken = {one.name for one in known}
    names = itertools.chain([bundle.name], (f"{bundle.name}-{number}" for number in itertools.count(2)))
    name = next(name for name in names if name not in taken)
    installed = replace(bundle, name=name, path=own_bundles_folder() / name)
    with whole_folder(_home(installed), DESCRIPTION) as fresh:
        shutil.copytree(_home(bundle), fresh, dirs_exist_ok=True)
        (fresh / DESCRIPTION).write_text(json.dumps(installed.to_json(), indent=2, allow_nan=False) + "\n", "utf-8")
    return installed


def chosen_bundle(path_or_name: Path | str | None, method: str | None) -> Bundle | None:
    """The bundle asked for; without one, the best that comes with CRONOS, or None when the method needs none.

    Raises BundleError as `load_bundle` and `default_bundle`, MethodError for an unknown method.
    """
    if path_or_name is not None:
        return load_bundle(path_or_name)
    return default_bundle(method) if method is None or method_entry(method).needs_bundle else None


def verified_weights(bundle: Bundle) -> bytes:
    """Content of the weights file. Raises BundleError when it is missing or does not have the stated hash."""
    file = _home(bundle) / WEIGHTS
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BundleError(f"Bundle '{bundle.name}' has no readable {WEIGHTS}. Copy the whole bundle again.") from error
    if hashlib.sha256(content).hexdigest() != bundle.weights_sha256:
        raise BundleError(
            f"The weights of bundle '{bundle.name}' are not those that {DESCRIPTION} states (wrong SHA-256). "
            "They are damaged or altered; copy the bundle again."
        )
    return content


def save_bundle(folder: Path, bundle: Bundle, method: Method, evaluation: Evaluation | None = None) -> Bundle:
    """Write a bundle: description, weights and model card, complete or not at all. An older bundle is replaced.

    evaluation: what the card says of how good it is

    Returns the bundle as it now stands on disk. Raises OutputError when the folder cannot be
    written or holds something else.
    """
    from CRONOSLib.bundles.weights import weights_of

    return _written(Path(folder), bundle, weights_of(method), evaluation)


def redescribe_bundle(bundle: Bundle, evaluation: Evaluation) -> Bundle:
    """Write the description and the card of a bundle anew, complete or not at all; its weights stay as they are.

    Returns the bundle as it now stands on disk. Raises BundleError when its weights are missing or altered, OutputError
    when its folder cannot be written.
    """
    return _written(_home(bundle), bundle, verified_weights(bundle), evaluation)


def _written(folder: Path, bundle: Bundle, content: bytes, evaluation: Evaluation | None) -> Bundle:
    saved = replace(bundle, weights_sha256=hashlib.sha256(content).hexdigest(), path=folder)
    with whole_folder(folder, DESCRIPTION, replace=True) as fresh:
        (fresh / WEIGHTS).write_bytes(content)
        (fresh / DESCRIPTION).write_text(json.dumps(saved.to_json(), indent=2, allow_nan=False) + "\n", "utf-8")
        (fresh / CARD).write_text(model_card(saved, evaluation.text if evaluation else ""), "utf-8")
        if evaluation:
            evaluation.write_files(fresh)
    return saved


def _folder_of(path_or_name: Path | str) -> Path:
    path = Path(path_or_name)
    if path.name == DESCRIPTION:
        path = path.parent
    for folder in (path, bundles_folder() / path, own_bundles_folder() / path):
        if (folder / DESCRIPTION).is_file():
            return folder
    if path.is_dir():
        raise BundleError(f"Folder '{path}' is no bundle: it has no {DESCRIPTION}. Give the folder of a bundle.")
    names = ", ".join(bundle.name for bundle in list_bundles(on_broken=lambda _: None))
    known = f"Known are {names}." if names else "None comes with CRONOS."
    raise BundleError(f"There is no bundle '{path_or_name}'. {known}")


def _places(folder: Path) -> list[Path]:
    """The folders of the bundles in a folder, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{DESCRIPTION}"))


def _described(folder: Path) -> Bundle:
    file = folder / DESCRIPTION
    try:
        values = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BundleError(f"'{file}' cannot be read. Check the folder, or copy the bundle again.") from error
    except ValueError as error:
        raise BundleError(f"'{file}' is not valid JSON ({error}). Copy the bundle again.") from error
    return Bundle.from_json(values, folder)


def _home(bundle: Bundle) -> Path:
    if bundle.path is None:
        raise BundleError(f"Bundle '{bundle.name}' is not on disk. Save it first.")
    return bundle.path
