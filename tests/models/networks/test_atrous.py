"""Stride into dilation: the converted encoder, read at the original's positions, is the original.

Weights, biases and everything in the batch norms are random; sizes are odd and even; borders count.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from segmentation_models_pytorch.encoders._utils import replace_strides_with_dilation
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import GridMaxPool2d
from landseg.models.networks.atrous import convert_stride_to_dilation
from landseg.models.networks.backbones import ENCODERS, Encoder
from landseg.models.networks.vgg import VGG16
from tests.parts.streamed import difference, image

EXACT = 1e-12
TIMM = "timm:regnetx_002"
DEEP = ("resnet101", "resnet152")
SIZES = [(33, 47), (64, 96), (65, 97)]
CASES = [
    pytest.param(name, size, marks=pytest.mark.slow if name in DEEP and size != SIZES[0] else ())
    for name in [*ENCODERS, TIMM]
    for size in SIZES
]


def random_(network: nn.Module) -> nn.Module:
    """Fill a network that holds no numbers yet, in float64: every parameter and statistic is drawn."""
    network = network.double().to_empty(device="cpu").eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.normal_(0, (2.0 / layer.weight[0].numel()) ** 0.5)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2.0)
            layer.weight.uniform_(0.5, 1.5)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, Tensor):
            bias.normal_(0, 0.2)
    return network


def encoder(name: str, output_stride: int = 32) -> Encoder:
    with torch.device("meta"):
        return Encoder(name, bands=3, output_stride=output_stride, pool=3)


def pair(name: str, output_stride: int) -> tuple[nn.Module, nn.Module]:
    """An encoder with random weights as it was published, and converted."""
    torch.manual_seed(3)
    original, converted = random_(encoder(name)), encoder(name, output_stride).eval()
    converted.load_state_dict(original.state_dict(), assign=True)
    return original, converted


def check_same_function(original: nn.Module, converted: nn.Module, size: tuple[int, int], stride: int) -> None:
    x = image(*size, bands=3)
    with torch.inference_mode():
        features = list(zip((2, 4, 8, 16, 32), original(x), converted(x), strict=True))
    for nominal, a, b in features:
        step = max(1, nominal // stride)
        assert tuple(b.shape[2:]) == tuple(-(-side // min(nominal, stride)) for side in size), f"stride {nominal}"
        assert float(a.abs().max()) > 0.01  # random statistics let something through
        assert difference(b[..., ::step, ::step], a) <= EXACT, f"stride {nominal}"


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(("name", "size"), CASES)
def test_same_function_at_the_original_positions(name: str, output_stride: int, size: tuple[int, int]) -> None:
    check_same_function(*pair(name, output_stride), size, output_stride)


@pytest.mark.parametrize("pool", [2, 3])
@pytest.mark.parametrize("output_stride", [1, 2, 4, 8, 16])
def test_vgg16_with_pools_of_either_kind(pool: int, output_stride: int) -> None:
    """The pools convert as they are; that an encoder refuses the 2 x 2 ones is about where their units sit."""
    with torch.device("meta"):
        original, converted = VGG16(3, pool=pool), VGG16(3, pool=pool)
    convert_stride_to_dilation(converted, output_stride)
    torch.manual_seed(3)
    converted.load_state_dict(random_(original).state_dict(), assign=True)
    check_same_function(original, converted.eval(), (37, 22), output_stride)
    with pytest.raises(ModelError, match="leave its units between pixels"):
        Encoder("vgg16", bands=3, output_stride=16)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_nothing_changes_at_the_stride_that_it_has(name: str) -> None:
    with torch.device("meta"):
        layers = [
            layer for layer in Encoder(name, bands=3, output_stride=32).modules() if isinstance(layer, nn.Conv2d)
        ]
    assert all(layer.dilation == (1, 1) for layer in layers)


def _dilated(network: nn.Module) -> Iterator[nn.Conv2d]:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.dilation != (1, 1) and layer.kernel_size != (1, 1):
            yield layer


QUICK = sorted({*ENCODERS, TIMM} - set(DEEP))


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("name", QUICK)
def test_twin_one_dilation_off_by_one_makes_another_network(name: str, change: int) -> None:
    """The first and the last dilated layer; sizes stay, since the padding goes along."""
    original, converted = pair(name, 8)
    layers = list(_dilated(converted))
    assert len(layers) >= 3
    for layer in (layers[0], layers[-1]):
        was, reach = layer.dilation, layer.kernel_size[0] // 2
        layer.dilation = (was[0] + change, was[1] + change)
        layer.padding = (layer.dilation[0] * reach, layer.dilation[1] * reach)
        with pytest.raises(AssertionError, match=r"stride (16|32)"):
            check_same_function(original, converted, (65, 97), 8)
        layer.dilation, layer.padding = was, (was[0] * reach, was[1] * reach)
    check_same_function(original, converted, (65, 97), 8)


@pytest.mark.parametrize("change", [-1, 1])
def test_twin_one_padding_off_by_one_makes_another_network(change: int) -> None:
    original, converted = pair("resnet18", 8)
    for layer in _dilated(converted):
        was = layer.padding
        layer.padding = (int(was[0]) + change, int(was[1]) + change)
        with pytest.raises((AssertionError, RuntimeError)):  # a shortcut's size no longer fits
            check_same_function(original, converted, (65, 97), 8)
        layer.padding = was
    check_same_function(original, converted, (65, 97), 8)


class _Moved(nn.Module):
    """A layer whose padding is one unit more on the left and one less on the right: the same size."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.layer(nn.functional.pad(x, (1, -1, 0, 0)))
        return moved


@pytest.mark.parametrize("name", QUICK)
def test_twin_padding_on_the_wrong_side_makes_another_network(name: str) -> None:
    original, converted = pair(name, 8)
    found = next(_dilated(converted))
    for parent in list(converted.modules()):
        for child_name, child in list(parent.named_children()):
            if child is found:
                setattr(parent, child_name, _Moved(found))
    with pytest.raises(AssertionError, match=r"stride (16|32)"):
        check_same_function(original, converted, (65, 97), 8)


def test_twin_a_pool_that_is_not_dilated_makes_another_network() -> None:
    original, converted = pair("vgg16", 8)
    pools = [layer for layer in converted.modules() if isinstance(layer, GridMaxPool2d)]
    assert pools[-1].dilation == (2, 2)
    pools[-1].dilation = (1, 1)
    with pytest.raises(AssertionError, match="stride 32"):
        check_same_function(original, converted, (65, 97), 8)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_twin_dilating_the_layer_that_lost_its_stride_makes_another_network(output_stride: int) -> None:
    original, other = pair("resnet18", 32)
    replace_strides_with_dilation(other.body.layer4, dilation_rate=2 if output_stride == 16 else 4)  # type: ignore[union-attr]
    if output_stride == 8:
        replace_strides_with_dilation(other.body.layer3, dilation_rate=2)  # type: ignore[union-attr]
    with pytest.raises(AssertionError, match=r"stride (16|32)"):
        check_same_function(original, other, (128, 128), output_stride)


def test_layers_that_cannot_be_dilated_are_refused() -> None:
    pools = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, stride=2), nn.AvgPool2d(3, 1))
    with pytest.raises(ModelError, match="average pool"):
        convert_stride_to_dilation(pools, 2)
    with pytest.raises(ModelError, match="power of two"):
        convert_stride_to_dilation(pools, 12)
    shared = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    with pytest.raises(ModelError, match="used twice"):
        convert_stride_to_dilation(nn.Sequential(shared, shared), 2)
