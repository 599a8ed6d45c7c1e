"""The model file: weights come back as they went in, and what is not a model is refused by name."""

import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from landseg.classes import ClassMap, LandClass
from landseg.errors import LandsegError, ModelError, OutputError
from landseg.models import shipped
from landseg.models.card import Band, Card, Field
from landseg.models.file import Model, load_model, read_card, save_model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.build import build_network

ARCH, ENCODER = "fcn32s", "efficientnet-lite0"
CLASSES = ClassMap((LandClass(1, "water", (0, 0, 255)), LandClass(2, "land", (200, 150, 90))))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(5)
    return build_network(ARCH, encoder=ENCODER, bands=2, channels=2).eval()


@pytest.fixture(scope="module")
def card(network: nn.Module) -> Card:
    return Card(
        name="pond",
        description="Water or not.",
        arch=ARCH,
        encoder=ENCODER,
        bands=(Band("red", "red", 90.0, 40.0), Band("nir", "nir", 110.0, 50.0)),
        classes=CLASSES,
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(weight.numel() for weight in network.parameters()),
        licence="CC0-1.0",
    )


@pytest.fixture(scope="module")
def saved(network: nn.Module, card: Card, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return save_model(tmp_path_factory.mktemp("models") / "pond.safetensors", network, card).read_bytes()


def file_of(data: bytes, tmp_path: Path, name: str = "pond.safetensors") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def with_header(data: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    """The file with its JSON header changed in place."""
    (length,) = struct.unpack("<Q", data[:8])
    table = json.loads(data[8 : 8 + length])
    change(table)
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def with_card(data: bytes, **changes: object) -> bytes:
    """The file with fields of its card changed."""

    def change(table: dict[str, dict[str, str]]) -> None:
        table["__metadata__"]["landseg"] = json.dumps(json.loads(table["__metadata__"]["landseg"]) | changes)

    return with_header(data, change)  # type: ignore[arg-type]


def check_weights_come_back(network: nn.Module, model: Model, *, exact: bool) -> None:
    for name, weight in network.state_dict().items():
        loaded = model.network.state_dict()[name]
        vector = weight.ndim < 2
        wanted = weight if exact or vector else weight.half().to(weight.dtype)
        assert name.endswith("num_batches_tracked") or torch.equal(loaded, wanted), name


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_weights_and_card_come_back(network: nn.Module, card: Card, tmp_path: Path, dtype: str) -> None:
    path = save_model(tmp_path / "pond.safetensors", network, card, dtype=dtype)  # type: ignore[arg-type]
    model = load_model(path)
    check_weights_come_back(network, model, exact=dtype == "float32")
    assert model.card == card == read_card(path)
    assert model.path == path and len(model.hash) == 64
    assert not model.network.training
    assert all(w.dtype == torch.float32 and not w.requires_grad for w in model.network.parameters())
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_differ_are_noticed(network: nn.Module, saved: bytes, tmp_path: Path) -> None:
    model = load_model(file_of(saved[:-2] + b"\x00\x3c", tmp_path))
    with pytest.raises(AssertionError):
        check_weights_come_back(network, model, exact=False)


def test_bytes_depend_on_the_content_alone(network: nn.Module, card: Card, saved: bytes, tmp_path: Path) -> None:
    again = save_model(tmp_path / "other.safetensors", network, card).read_bytes()
    assert again == saved
    model = load_model(tmp_path / "other.safetensors")
    assert save_model(tmp_path / "third.safetensors", model.network, model.card).read_bytes() == saved
    changed = dataclasses.replace(card, name="lake")
    assert save_model(tmp_path / "fourth.safetensors", network, changed).read_bytes() != saved


def test_the_library_reads_the_file(saved: bytes, tmp_path: Path) -> None:
    with safetensors.safe_open(file_of(saved, tmp_path), "pt") as stream:
        metadata = stream.metadata()
        assert metadata["format"] == "pt"
        assert json.loads(metadata["mlm"])["mlm:name"] == "pond"
        assert not [name for name in stream.keys() if name.endswith("num_batches_tracked")]  # noqa: SIM118
    header_size = struct.unpack("<Q", saved[:8])[0]
    assert header_size % 8 == 0


def test_loading_moves_no_random_numbers(saved: bytes, tmp_path: Path) -> None:
    path = file_of(saved, tmp_path)
    torch.manual_seed(1)
    load_model(path)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))


def check_refused(path: Path | str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(LandsegError):
        load_model(path)


def test_refusal_is_really_tested(saved: bytes, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception):
        check_refused(file_of(saved, tmp_path), "anything")


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 5000, -1])
def test_a_truncated_file_says_so(saved: bytes, tmp_path: Path, keep: int) -> None:
    check_refused(file_of(saved[:keep], tmp_path), "truncated: expected at least [0-9]+ bytes, got")
    with pytest.raises(ModelError):
        read_card(tmp_path / "pond.safetensors")


def test_bytes_too_many_say_so(saved: bytes, tmp_path: Path) -> None:
    check_refused(file_of(saved + b"more", tmp_path), "damaged: its header announces [0-9]+ bytes")


@pytest.mark.parametrize(
    "data", [b"II*\x00" + bytes(400), b"hello, world", bytes(64), b"\xff" * 64, struct.pack("<Q", 2) + b"[]"]
)
def test_other_files_are_not_models(tmp_path: Path, data: bytes) -> None:
    check_refused(file_of(data, tmp_path), "not a landseg model")


def test_pickles_are_never_loaded(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    for name in ("model.pt", "model.pth", "disguised.safetensors"):
        torch.save({"weight": torch.zeros(2)}, tmp_path / name)
        check_refused(tmp_path / name, "never loads because a pickle runs code: train with landseg")


def test_a_foreign_safetensors_has_no_card(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata={"format": "pt"})
    check_refused(path, "without a landseg card")


def test_a_card_that_is_no_json_says_so(saved: bytes, tmp_path: Path) -> None:
    broken = with_header(saved, lambda table: table["__metadata__"].update(landseg="{"))  # type: ignore[attr-defined]
    check_refused(file_of(broken, tmp_path), "not JSON")


def test_a_later_format_says_upgrade(saved: bytes, tmp_path: Path) -> None:
    check_refused(file_of(with_card(saved, format_version=3), tmp_path), "newer landseg .*upgrade")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"arch": "unheard-of"}, "cannot build the card's network.*unheard-of"),
        ({"encoder": "unheard-of"}, "cannot build the card's network"),
        ({"options": {"unheard_of": 1}}, "cannot build the card's network.*unheard_of"),
        ({"options": {"output_stride": "many"}}, "cannot build the card's network"),
        ({"arch": "deeplab-v3plus"}, "tensors are missing"),
        ({"classes": CLASSES.to_json()["classes"][:1]}, r"should be \(1, .*got \(2, "),
    ],
)
def test_weights_of_another_network_are_refused(
    saved: bytes, tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    check_refused(file_of(with_card(saved, **changes), tmp_path), sentence)


def test_tensors_that_nobody_knows_are_refused(network: nn.Module, card: Card, tmp_path: Path) -> None:
    wrapped = nn.ModuleDict({"network": network})
    check_refused(save_model(tmp_path / "a.safetensors", wrapped, card), "tensors are missing")
    network_and_more = build_network(ARCH, encoder=ENCODER, bands=2, channels=2)
    network_and_more.register_parameter("stray", nn.Parameter(torch.zeros(3)))
    check_refused(save_model(tmp_path / "b.safetensors", network_and_more, card), "1 tensors are unknown.*stray")


def spoiled(value: float) -> nn.Module:
    network = build_network(ARCH, encoder=ENCODER, bands=2, channels=2)
    kernel = next(weight for weight in network.parameters() if weight.ndim == 4)
    kernel.data.view(-1)[3] = value
    return network


def test_weights_beyond_float16_ask_for_float32(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with pytest.raises(ModelError, match=r"reaches 1e\+05, more than float16 holds \(65504\): save as float32"):
        save_model(path, spoiled(1e5), card)
    assert not list(tmp_path.iterdir())
    save_model(path, spoiled(1e5), card, dtype="float32")
    load_model(path)


def test_diverged_weights_are_not_saved(card: Card, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not finite: training diverged"):
        save_model(tmp_path / "nan.safetensors", spoiled(float("nan")), card, dtype="float32")
    assert not list(tmp_path.iterdir())


def test_outputs_are_refused_or_appear_whole(
    network: nn.Module, card: Card, saved: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(b"precious", tmp_path)
    with pytest.raises(OutputError, match="exists"):
        save_model(path, network, card)
    with pytest.raises(OutputError, match=r"use pond\.safetensors"):
        save_model(tmp_path / "pond.pt", network, card)
    with pytest.raises(OutputError, match="has no folder: make"):
        save_model(tmp_path / "nowhere" / "pond.safetensors", network, card)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("landseg.runtime.replacement.os.fsync", full)
        with pytest.raises(OutputError, match="nothing was kept: make space there"):
            save_model(path, network, card, overwrite=True)
    assert path.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [path]
    assert save_model(path, network, card, overwrite=True).read_bytes() == saved


def test_names_and_missing_files(tmp_path: Path, saved: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    check_refused("nothing", "no model 'nothing': expected a .safetensors file .*ships no models")
    with pytest.raises(ModelError, match="ships no default model"):
        load_model()
    file_of(saved, tmp_path)
    assert shipped.names() == ("pond",)
    assert load_model("pond").path == tmp_path / "pond.safetensors"
    check_refused(str(tmp_path / "missing.safetensors"), "shipped models: pond")
    file_of(saved, tmp_path, f"{shipped.DEFAULT}.safetensors")
    assert shipped.names() == (shipped.DEFAULT, "pond")
    assert load_model().path == tmp_path / f"{shipped.DEFAULT}.safetensors"


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_models_keep_their_promises(name: str) -> None:
    model = load_model(name)
    card = model.card
    assert card.name == name and model.path.stat().st_size <= 12_000_000
    assert Field.of(receptive_field(model.network)) == card.receptive_field and card.receptive_field.exact
    assert sum(weight.numel() for weight in model.network.parameters()) == card.parameters
    assert card.limitations and card.licence and card.training is not None and card.training.sources
    assert card.metrics is not None and set(card.metrics.per_class) <= set(card.classes.names)
    with torch.inference_mode():
        logits = model.network(torch.zeros(1, len(card.bands), 33, 47))
    assert logits.shape == (1, card.channels, 33, 47) and torch.isfinite(logits).all()
