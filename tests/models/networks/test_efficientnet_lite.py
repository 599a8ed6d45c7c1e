"""EfficientNet-Lite beside timm's: the same names, the same weights from a seed, the same features to the bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

from landseg.models.networks.efficientnet_lite import VARIANTS, BatchNormAct2d, EfficientNetLite, InvertedResidual

SIZE = (75, 82)


def timms(name: str, bands: int) -> nn.Module:
    network: nn.Module = get_encoder(f"tu-{name.replace('-', '_')}", in_channels=bands, depth=5, weights=None)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3  # as in the training of the published weights
    return network


def both(name: str, bands: int = 3) -> tuple[EfficientNetLite, nn.Module]:
    """landseg's network and timm's, each from the same seed."""
    made: list[nn.Module] = []
    for build in (lambda: EfficientNetLite(VARIANTS[name], bands), lambda: timms(name, bands)):
        torch.manual_seed(7)
        made.append(build())
    assert isinstance(made[0], EfficientNetLite)
    return made[0], made[1]


def assert_same_weights(mine: nn.Module, theirs: nn.Module) -> None:
    one, other = mine.state_dict(), theirs.state_dict()
    assert list(one) == list(other)
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def assert_same_features(mine: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    assert [torch.equal(a, b) for a, b in zip(mine(x), theirs(x)[1:], strict=True)] == [True] * 5


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_seed_gives_timms_weights_and_leaves_the_generator_where_it_would(name: str, bands: int) -> None:
    torch.manual_seed(7)
    mine = EfficientNetLite(VARIANTS[name], bands)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert_same_weights(mine, timms(name, bands))
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_features_are_timms_to_the_bit(name: str, training: bool) -> None:
    mine, theirs = both(name, bands=4)
    x = torch.randn(2, 4, *SIZE)
    assert_same_features(mine.train(training), theirs.train(training), x)
    assert mine.channels == tuple(theirs.out_channels[1:])  # type: ignore[index]
    assert_same_weights(mine, theirs)  # statistics of batches too


def _other_epsilon(network: EfficientNetLite) -> None:
    next(layer for layer in network.modules() if isinstance(layer, BatchNormAct2d)).eps = 1e-5


def _no_shortcut(network: EfficientNetLite) -> None:
    next(layer for layer in network.modules() if isinstance(layer, InvertedResidual) and layer.adds).adds = False


def _no_activation(network: EfficientNetLite) -> None:
    network.model["bn1"].act = nn.Identity()


@pytest.mark.parametrize("change", [_other_epsilon, _no_shortcut, _no_activation])
def test_twin_one_changed_layer_gives_other_features(change: object) -> None:
    mine, theirs = both("efficientnet-lite0")
    change(mine)  # type: ignore[operator]
    with pytest.raises(AssertionError):
        assert_same_features(mine.eval(), theirs.eval(), torch.randn(1, 3, *SIZE))


def test_twin_one_draw_more_gives_other_weights() -> None:
    torch.manual_seed(7)
    torch.rand(1)
    mine = EfficientNetLite(0, 3)
    torch.manual_seed(7)
    with pytest.raises(AssertionError):
        assert_same_weights(mine, timms("efficientnet-lite0", 3))


HEAVY = ("timm", "torchvision", "segmentation_models_pytorch", "torch._dynamo", "sympy", "PIL")
PROGRAM = f"""
import sys
{{first}}
import landseg
assert landseg.load_model().network.training is False
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def loaded(first: str) -> str:
    """The heavy modules that loading the default model leaves behind in a fresh process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(first=first)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_shipped_models_network_needs_torch_alone() -> None:
    assert loaded("") == "[]"


def test_twin_a_library_that_came_along_is_seen() -> None:
    assert loaded("import PIL") == "['PIL']"
