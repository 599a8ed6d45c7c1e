"""Classifiers made fully convolutional: at 224 x 224 the scores are the classifier's own, on more there are more."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.networks.fcn import linear_to_conv
from tests.parts.converted import resnet_to_fcn, vgg_to_fcn
from tests.parts.streamed import difference, image

EXACT = 1e-12
# name -> torchvision's letter for the configuration, and whether it has batch norm
VGGS = {"vgg11": ("A", False), "vgg13_bn": ("B", True), "vgg16": ("D", False), "vgg19_bn": ("E", True)}
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
DEEP = ("resnet101", "resnet152")


def _drawn(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2.0)
    return network.double().eval().requires_grad_(False)


def narrow_vgg(name: str) -> nn.Module:
    """torchvision's VGG with an eighth of its channels."""
    torch.manual_seed(1)
    letter, norm = VGGS[name]
    widths = [c if isinstance(c, str) else c // 8 for c in torchvision.models.vgg.cfgs[letter]]
    features = torchvision.models.vgg.make_layers(widths, batch_norm=norm)
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # as torchvision draws them, so that a signal comes through
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    with torch.device("meta"):  # its classifier of 120 million weights is not needed
        network = torchvision.models.VGG(features, init_weights=False)
    act, drop = nn.ReLU(True), nn.Dropout()
    network.classifier = nn.Sequential(
        nn.Linear(64 * 49, 16), act, drop, nn.Linear(16, 16), act, drop, nn.Linear(16, 5)
    )
    return _drawn(network)


def run(network: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        made: Tensor = network(x)
    return made


@pytest.mark.parametrize("name", VGGS)
def test_a_vgg_gives_the_same_scores(name: str) -> None:
    classifier, x = narrow_vgg(name), image(224, 224, bands=3)
    network, expected = vgg_to_fcn(classifier), run(classifier, x)
    scores = run(network, x)
    assert scores.shape == (1, 5, 1, 1) and difference(scores[..., 0, 0], expected) <= EXACT
    assert run(network, image(256, 300, bands=3)).shape == (1, 5, 2, 3)  # 256 // 32 - 6, 300 // 32 - 6
    first = next(layer for layer in list(network)[1:] if isinstance(layer, nn.Conv2d))  # type: ignore[arg-type]
    first.weight.data.copy_(first.weight.flip(-1))  # twin: the window read from right to left
    assert difference(run(network, x)[..., 0, 0], expected) > 1e-3


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in DEEP else ()) for n in RESNETS])
def test_a_resnet_gives_the_same_scores(name: str) -> None:
    torch.manual_seed(1)
    classifier = _drawn(getattr(torchvision.models, name)(weights=None, num_classes=5))
    x = image(224, 224, bands=3)
    expected, window = run(classifier, x), run(resnet_to_fcn(classifier), x)
    assert window.shape == (1, 5, 1, 1) and difference(window[..., 0, 0], expected) <= EXACT
    spread = run(resnet_to_fcn(classifier, window=1), x)
    assert spread.shape == (1, 5, 7, 7) and difference(spread.mean((2, 3)), expected) <= EXACT
    assert difference(spread[..., 3, 3], expected) > 1e-3  # twin: one position is not the mean


def test_a_larger_image_gives_a_map_of_scores() -> None:
    classifier = _drawn(torchvision.models.resnet18(weights=None, num_classes=5))
    assert run(resnet_to_fcn(classifier), image(256, 289, bands=3)).shape == (1, 5, 2, 4)
    assert run(resnet_to_fcn(classifier, window=1), image(65, 289, bands=3)).shape == (1, 5, 3, 10)


def test_a_map_of_scores_is_not_that_of_each_crop_run_alone() -> None:
    """A crop is padded with zeros at edges behind which the image goes on."""
    network, x = vgg_to_fcn(narrow_vgg("vgg11")), image(256, 256, bands=3)
    scores, alone = run(network, x), run(network, x[..., 32:, 32:])
    assert difference(scores[..., 1:, 1:], alone) > 1e-3
    bare = nn.Sequential(*[_unpadded(layer) for layer in network.modules() if not isinstance(layer, nn.Sequential)])
    far = image(32 + 400, 400, bands=3)
    assert difference(run(bare, far)[..., 1:, :], run(bare, far[..., 32:, :])) <= EXACT  # without padding it is


def _unpadded(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        layer.padding = (0, 0)
    return layer


def test_the_flattened_window_keeps_its_order() -> None:
    weight, maps = torch.arange(2 * 3 * 4.0).reshape(2, 12), torch.randn(1, 3, 2, 2)
    expected = nn.functional.linear(maps.flatten(1), weight)
    assert torch.allclose(nn.functional.conv2d(maps, linear_to_conv(weight, 2))[..., 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alexnet", "9216 inputs is no window of 7 x 7"),
        ("mobilenet_v2", "1280 inputs is no window of 7 x 7"),
        ("squeezenet1_1", "fully connected layers, SqueezeNet's has none"),
        ("densenet121", "expected a VGG with features and a classifier, got DenseNet"),
        ("resnet18", "expected a VGG with features and a classifier, got ResNet"),
    ],
)
def test_what_is_no_vgg_is_refused(name: str, message: str) -> None:
    with torch.device("meta"):
        classifier = getattr(torchvision.models, name)(weights=None)
    with pytest.raises(ModelError, match=message):
        vgg_to_fcn(classifier)


def test_what_is_no_resnet_is_refused() -> None:
    with torch.device("meta"):
        others = [torchvision.models.vgg11(weights=None), torchvision.models.shufflenet_v2_x0_5(weights=None)]
        resnet = torchvision.models.resnet18(weights=None)
    for other in [*others, nn.Sequential(nn.Conv2d(1, 1, 1))]:
        with pytest.raises(ModelError, match=f"ends in avgpool and fc, got {type(other).__name__}"):
            resnet_to_fcn(other)
    with pytest.raises(ModelError, match="window must be at least 1, got 0"):
        resnet_to_fcn(resnet, window=0)
