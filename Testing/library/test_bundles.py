"""A bundle comes back as it was saved, or says in one sentence what is wrong with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.card import model_card
from CRONOSLib.bundles.store import default_bundle, list_bundles, load_bundle, save_bundle
from CRONOSLib.bundles.weights import load_method, round_to_stored, weights_of
from CRONOSLib.errors import BundleError, OutputError
from CRONOSLib.methods.registry import create_method
from CRONOSLib.resources import bundles_folder
from CRONOSLib.series import TimeUnit


@pytest.fixture
def copied(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copied"))


def test_a_bundle_comes_back_as_it_was_saved(tiny_bundle: Bundle) -> None:
    assert Bundle.from_json(json.loads(json.dumps(tiny_bundle.to_json())), tiny_bundle.path) == tiny_bundle
    assert load_bundle(tiny_bundle.path / "bundle.json") == tiny_bundle


def test_rounded_weights_come_back_bit_by_bit(tiny_bundle: Bundle, tmp_path: Path) -> None:
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter)
    exact = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    round_to_stored(method)
    assert all(
        torch.allclose(tensor, exact[name], rtol=1e-3, atol=1e-6) for name, tensor in method.state_dict().items()
    )
    saved = save_bundle(tmp_path / "random", tiny_bundle, method)
    loaded = load_method(load_bundle(saved.path))
    assert not loaded.training
    for name, tensor in method.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_saving_again_replaces_the_bundle_and_leaves_nothing_beside(copied: Path, tiny_bundle: Bundle) -> None:
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    saved = save_bundle(copied, replace(tiny_bundle, title="Second"), method)
    assert load_bundle(copied).title == saved.title == "Second"
    assert [path.name for path in copied.parent.iterdir()] == ["copied"]


def test_a_bundle_never_replaces_a_folder_of_other_files(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(OutputError, match="holds other files"):
        save_bundle(tmp_path, tiny_bundle, create_method(tiny_bundle.method, tiny_bundle.settings))
    assert (tmp_path / "thesis.docx").read_text() == "years of work"


def test_a_failure_while_saving_leaves_the_older_bundle(
    copied: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("CRONOSLib.bundles.store.model_card", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(copied, tiny_bundle, create_method(tiny_bundle.method, tiny_bundle.settings))
    assert load_bundle(copied).title == tiny_bundle.title
    assert [path.name for path in copied.parent.iterdir()] == ["copied"]


def edit(folder: Path, **values: object) -> None:
    description = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**description, **values}))


def test_altered_weights_are_refused(copied: Path) -> None:
    content = bytearray((copied / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "weights.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(copied)


@pytest.mark.parametrize("schema", [2, "1", None])
def test_an_unknown_schema_is_refused(copied: Path, schema: object) -> None:
    edit(copied, schema=schema)
    with pytest.raises(BundleError, match="schema"):
        load_bundle(copied)


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"schema": 1}', '{"schema": 1, "time": 4, "skill": null}'])
def test_a_broken_description_is_refused(copied: Path, content: str) -> None:
    (copied / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=r"bundle|schema"):
        load_bundle(copied)


def test_missing_parts_are_named(copied: Path, tmp_path: Path) -> None:
    (copied / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"no readable weights\.safetensors"):
        load_bundle(copied)
    (copied / "bundle.json").unlink()
    with pytest.raises(BundleError, match="is no bundle"):
        load_bundle(copied)
    with pytest.raises(BundleError, match="There is no bundle 'nowhere'"):
        load_bundle("nowhere")


def test_weights_of_another_network_are_refused(copied: Path, tiny_bundle: Bundle) -> None:
    wider = {"network": {"unet": {**tiny_bundle.settings["network"]["unet"], "width": 8}}}
    edit(copied, settings=wider)
    with pytest.raises(BundleError, match="do not fit"):
        load_method(load_bundle(copied))


def test_a_weights_file_that_is_no_safetensors_is_refused(copied: Path) -> None:
    import hashlib

    (copied / "weights.safetensors").write_bytes(b"not weights")
    edit(copied, weights_sha256=hashlib.sha256(b"not weights").hexdigest())
    with pytest.raises(BundleError, match="do not fit"):
        load_method(load_bundle(copied))


def test_one_broken_bundle_does_not_hide_the_others(copied: Path, tiny_bundle: Bundle) -> None:
    shutil.copytree(tiny_bundle.path, copied.parent / "whole")
    (copied / "bundle.json").write_text("{")
    broken: list[BundleError] = []
    assert [bundle.path.name for bundle in list_bundles(copied.parent, on_broken=broken.append)] == ["whole"]
    assert len(broken) == 1
    with pytest.raises(BundleError):
        list_bundles(copied.parent)


def test_listing_and_loading_need_no_torch(tiny_bundle: Bundle) -> None:
    code = (
        "import sys; from CRONOSLib.bundles.store import list_bundles, load_bundle\n"
        f"list_bundles(); load_bundle({str(tiny_bundle.path)!r}); assert 'torch' not in sys.modules"
    )
    library = bundles_folder().parents[1] / "CRONOSPredict"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=library)


def test_a_method_without_a_bundle_says_what_to_do() -> None:
    with pytest.raises(BundleError, match="No bundle for method 'lci'"):
        default_bundle("lci")


def test_dated_scans_are_not_forecast_by_a_model_of_hearts_unless_it_is_named(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CRONOSLib.bundles.store.bundles_folder", lambda: tmp_path)
    method, skill = load_method(tiny_bundle), tiny_bundle.skill
    save_bundle(tmp_path / "heads", replace(tiny_bundle, name="heads"), method)
    hearts = replace(tiny_bundle, name="hearts", time_unit=TimeUnit.MILLISECOND, skill=replace(skill, mean=0.9))
    save_bundle(tmp_path / "hearts", hearts, method)
    assert default_bundle().name == "heads"
    assert load_bundle("hearts").time_unit is TimeUnit.MILLISECOND


def test_the_card_states_skill_and_use(tiny_bundle: Bundle) -> None:
    card = model_card(tiny_bundle)
    assert "research use only" in card
    assert "0.200 (95 % CI 0.100 to 0.300, 12 validation patients)" in card
    assert "no better than copying" in model_card(replace(tiny_bundle, skill=replace(tiny_bundle.skill, mean=-0.1)))
    assert "was not measured" in model_card(replace(tiny_bundle, skill=None))


def test_every_parameter_is_written(tiny_bundle: Bundle) -> None:
    method = create_method(tiny_bundle.method, tiny_bundle.settings)
    assert len(weights_of(method)) > 2 * sum(parameter.numel() for parameter in method.parameters())


def test_every_bundle_that_comes_with_cronos_loads_and_beats_copying() -> None:
    for bundle in list_bundles():
        load_method(load_bundle(bundle.name))
        assert bundle.skill is not None
        assert bundle.skill.low > 0
