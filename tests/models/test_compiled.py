"""Compiled models: the same numbers whatever they were read from, and a cache whose entries are never trusted."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from landseg.errors import ModelError
from landseg.models import shipped
from landseg.models.compiled import CompiledModel, NotCompilable, describe_model, model_key, read_compiled
from landseg.models.file import load_model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.named import NamedModel, named_model
from landseg.models.recipe_file import Description, Refusal, from_json, to_json
from landseg.models.tensors import read_tensors
from landseg.runtime import cache
from tests.parts.sample_models import save_small_model
from tools.ship_recipes import place, shipped_recipe

WITHOUT_TORCH = """
import sys
from landseg.models.compiled import NotCompilable, read_compiled
from landseg.models.named import named_model
try:
    print(len(read_compiled(named_model(sys.argv[1])).weights))
except NotCompilable as refused:
    print(refused)
heavy = {"torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning", "geopandas"} & set(sys.modules)
print(sorted(heavy))
"""


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LANDSEG_CACHE", str(folder))
    monkeypatch.setattr(cache, "_warned", set())
    return folder


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "pond.safetensors"
    save_small_model(path)
    return path


@pytest.fixture(scope="module")
def unbounded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "upernet.safetensors"
    save_small_model(path, arch="upernet", encoder="resnet18", options={"decoder_channels": 4})
    return path


def entry(path: Path) -> Path:
    """Return the place of a model's recipe in the cache."""
    return cache.cache_root() / "compiled" / model_key(named_model(path).hash) / "recipe.json"


def same(one: CompiledModel, other: CompiledModel) -> bool:
    arrays = one.weights.keys() == other.weights.keys() and all(
        np.array_equal(array, other.weights[name]) for name, array in one.weights.items()
    )
    return arrays and (one.recipe, one.field) == (other.recipe, other.field)


def in_another_process(path: str | Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make loading a model with torch an error."""

    def load(self: NamedModel) -> None:
        raise AssertionError("the model is loaded with torch")

    monkeypatch.setattr(NamedModel, "load", load)


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_recipes_are_what_is_written_now(name: str) -> None:
    assert place(name).read_bytes() == shipped_recipe(name), "run python tools/ship_recipes.py"


def test_a_shipped_model_is_read_without_torch_and_into_no_cache(empty_cache: Path) -> None:
    weights, heavy = in_another_process("landcover-rgb")
    assert (int(weights), heavy) == (124, "[]")
    assert not empty_cache.exists()


def test_twin_a_model_that_is_met_for_the_first_time_needs_torch(model_file: Path) -> None:
    assert "torch" in in_another_process(model_file)[-1]
    assert in_another_process(model_file)[-1] == "[]"


def test_a_compiled_model_is_the_loaded_model(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_compiled(named_model(model_file))
    model = load_model(model_file)
    recipe, weights = recipe_of(model.network, bands=2)
    assert (first.recipe, first.hash, first.field) == (recipe, model.hash, receptive_field(model.network))
    assert all(np.array_equal(first.weights[name], weights[name]) for name in weights)
    assert same(first, read_compiled(named_model(model)))
    no_torch(monkeypatch)
    assert same(first, read_compiled(named_model(model_file)))
    assert not same(
        first, dataclasses.replace(first, weights={**weights, "score.bias": weights["score.bias"] + 1e-6})
    )


def test_a_model_in_memory_is_compiled_as_it_is(model_file: Path) -> None:
    model = load_model(model_file)
    before = read_compiled(named_model(model))
    assert before.key == read_compiled(named_model(load_model(model_file))).key
    next(model.network.parameters()).mul_(2)
    after = read_compiled(named_model(model))
    assert not same(after, before) and after.key != before.key
    assert same(before, read_compiled(named_model(model_file)))


def test_one_line_is_said_at_the_first_use(model_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "landseg"):
        read_compiled(named_model(model_file))
        assert caplog.messages == ["compiling model pond for ONNX Runtime, once"]
        read_compiled(named_model(model_file))
        assert len(caplog.messages) == 1


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Return what changes a recipe file in place."""

    def apply(text: bytes) -> bytes:
        table = json.loads(text)
        change(table)
        return json.dumps(table).encode()

    return apply


def in_layer(**changes: Any) -> Callable[[bytes], bytes]:
    return changed(lambda table: table["recipe"]["layers"][3].update(changes))


def in_settings(**changes: Any) -> Callable[[bytes], bytes]:
    return changed(lambda table: table["recipe"]["layers"][3]["settings"].update(changes))


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda text: b"",
    "cut off": lambda text: text[:-100],
    "too long": lambda text: text + b" " * (17 << 20),
    "no table": lambda text: b"[1, 2]",
    "not a number": lambda text: text.replace(b'"stride":32', b'"stride":NaN'),
    "of another version": changed(lambda table: table.update(landseg=0)),
    "of another model": changed(lambda table: table.update(model="0" * 64)),
    "a refusal of another model": lambda text: to_json(Refusal("0" * 64, "no")),
    "without a field": changed(lambda table: table.pop("field")),
    "with something more": changed(lambda table: table.update(more=1)),
    "a name that colours the terminal": in_layer(name="red \x1b[31m"),
    "unknown kind": in_layer(kind="attention"),
    "reads its own value": in_layer(inputs=[4]),
    "reads nothing": in_layer(inputs=[]),
    "other arrays": in_layer(arrays={"weight": "a.weight"}),
    "arrays of two layers": in_layer(arrays={"weight": "a.weight", "bias": "b.bias"}),
    "arrays of no tensor": in_layer(arrays={"weight": "a.weight", "bias": "a.bias"}),
    "a setting too many": in_settings(slope=1.0),
    "a kernel of nothing": in_settings(kernel=[0, 0]),
    "a kernel of three": in_settings(kernel=[1, 1, 1]),
    "a kernel of another size": in_settings(kernel=[7, 7]),
    "huge padding": in_settings(padding=[1 << 40, 1]),
    "no groups": in_settings(groups=0),
    "a bound that is text": in_settings(low="0"),
    "output beyond": changed(lambda table: table["recipe"].update(output=10_000)),
    "channels too few": changed(lambda table: table["recipe"]["channels"].pop()),
    "channels of another network": changed(lambda table: table["recipe"]["channels"].__setitem__(5, 3)),
    "a norm that is nowhere": changed(
        lambda table: table["folding"]["norms"].update(score={"name": "a", "eps": 0.1})
    ),
    "a norm below zero": changed(lambda table: table["folding"]["norms"].update(a={"name": "b", "eps": -1})),
    "a huge tent": changed(lambda table: table["folding"]["tents"].update(score=[1 << 20, 1 << 14])),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_entry_is_made_again(model_file: Path, damage: str) -> None:
    sound, path = read_compiled(named_model(model_file)), entry(model_file)
    text = path.read_bytes()
    path.write_bytes(DAMAGED[damage](text))
    assert path.read_bytes() != text
    assert same(read_compiled(named_model(model_file)), sound)
    assert path.read_bytes() == text


def test_twin_a_sound_entry_is_not(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, path = read_compiled(named_model(model_file)), entry(model_file)
    path.write_bytes(changed(lambda table: None)(path.read_bytes()))
    no_torch(monkeypatch)
    assert same(read_compiled(named_model(model_file)), sound)


def test_a_recipe_file_is_what_was_written(model_file: Path, unbounded_file: Path) -> None:
    for path, kind in ((model_file, Description), (unbounded_file, Refusal)):
        found = describe_model(load_model(path))
        assert isinstance(found, kind) and from_json(to_json(found)) == found
    with pytest.raises(ModelError, match="recipe"):
        from_json(b"{}")


def test_without_a_cache_a_model_is_compiled_in_every_run(
    model_file: Path, empty_cache: Path, heard: list[str]
) -> None:
    sound = read_compiled(named_model(model_file))
    shutil.rmtree(empty_cache)
    empty_cache.touch()
    for _ in range(2):
        assert same(read_compiled(named_model(model_file)), sound)
    assert len(heard) == 1 and str(empty_cache) in heard[0]


def test_a_refusal_is_kept(unbounded_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotCompilable, match=r"cannot be compiled \(a layer that reads the whole input\)") as first:
        read_compiled(named_model(unbounded_file))
    no_torch(monkeypatch)
    with pytest.raises(NotCompilable) as second:
        read_compiled(named_model(unbounded_file))
    assert str(first.value) == str(second.value)


def test_two_processes_at_once(model_file: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(model_file)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [one.communicate(timeout=300)[0].splitlines()[0] for one in both]
    assert outputs[0] == outputs[1] == str(len(read_compiled(named_model(model_file)).weights))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_every_precision_are_read(dtype: torch.dtype) -> None:
    wanted = torch.randn(3, 5, 2).to(dtype)
    read = read_tensors(safetensors.torch.save({"a": wanted, "count": torch.tensor(3)}))
    assert read.keys() == {"a"} and read["a"].dtype == np.float32
    assert np.array_equal(read["a"], wanted.float().numpy())
    with pytest.raises(ValueError, match=r"\w"):
        read_tensors(b"\x00" * 20)
