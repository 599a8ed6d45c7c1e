"""Networks that see the whole input, compiled: windows are PyTorch's, and rows are refused in its words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.graph.write_recipe import recipe_of
from landseg.tiling.compiled import compile as compiling
from landseg.tiling.compiled.ready import ReadyNetwork, ReadyWhole, ready_network
from landseg.tiling.compiled.whole_network import WholeNetwork, agrees
from landseg.tiling.rows.program import program_of
from tests.parts.compiled import blocks_here, check_same, network_of, noise, whole_image

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("deeplab-v3plus", "resnet18", {"image_pooling": True}),
    ("deeplab-v3", "mobilenet-v2", {"image_pooling": True, "head_channels": 20}),
    ("fpn", "resnet18", {"norm": "group", "head_channels": 32}),
    ("unet", "resnet18", {"attention": "scse", "decoder_channels": (16,) * 5}),
    ("upernet", "resnet18", {"pool_scales": (1,)}),
    ("fcn32s", "timm:test_efficientnet", {}),
    ("fcn32s", "timm:regnety_002", {"upsampler": "transposed"}),
]
SIZES = [(1, 64, 97), (2, 61, 40), (1, 130, 33)]


def made(network: nn.Module, block: int) -> WholeNetwork:
    return WholeNetwork(*recipe_of(network, bands=3), block=block)


@pytest.mark.parametrize("block", blocks_here())
@pytest.mark.parametrize(("arch", "encoder", "options"), CASES)
def test_windows_of_any_size_are_those_of_pytorch(arch: str, encoder: str, options: Any, block: int) -> None:
    network = network_of(arch, encoder, **options)
    net = made(network, block)
    for count, height, width in SIZES:
        x = noise(count, 3, height, width)
        check_same(net.run(x), whole_image(network, x))


def test_twin_the_mean_of_one_image_is_not_that_of_two() -> None:
    """A pixel far away changes all logits: were the mean left out, or taken over the batch, it would show."""
    net = made(network_of(*CASES[0][:2], **CASES[0][2]), blocks_here()[0])
    x = noise(2, 3, 64, 300)
    x[1] = x[0]
    x[1, :, :, -8:] += 5
    one, two = net.run(x)
    assert np.abs(one - two)[..., :16].max() > 1e-6 * np.abs(one).max()
    with pytest.raises(AssertionError):
        check_same(one[None], two[None])
    np.testing.assert_allclose(net.run(x[:1])[0], one, rtol=0, atol=1e-5 * float(np.abs(one).max()))


@pytest.mark.parametrize(("arch", "encoder", "options"), CASES[::2])
def test_rows_are_refused_in_the_words_of_pytorch(arch: str, encoder: str, options: Any) -> None:
    network = network_of(arch, encoder, **options)
    ready = ready_network(*recipe_of(network, bands=3), threads=1)
    with pytest.raises(PlanError) as refused:
        program_of(network)
    assert isinstance(ready, ReadyWhole) and ready.why_not_streamed == str(refused.value)
    assert str(receptive_field(network).unbounded_by) in ready.why_not_streamed.replace(" cannot be streamed", "")
    with pytest.raises(PlanError, match="cannot be streamed"):
        ready.rows((50, 50), region=None, strip=32)
    with pytest.raises(PlanError, match="cannot be streamed"):
        ready.plan((50, 50), limit=1e9, region=Rect(0, 0, 50, 50), strip=None)


def test_a_bounded_network_is_not_refused() -> None:
    ready = ready_network(*recipe_of(network_of("fcn32s", "resnet18"), bands=3), threads=1)
    assert isinstance(ready, ReadyNetwork) and ready.why_not_streamed is None


def test_memory_is_that_of_the_widest_layers() -> None:
    """Two values of 64 channels at stride 2 are alive at once in the stem of a ResNet, and gaps between them."""
    ready = ready_network(*recipe_of(network_of(*CASES[0][:2], **CASES[0][2]), bands=3), threads=1)
    assert 64 < ready.bytes_per_pixel < 400


def test_blocks_that_are_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, weights = recipe_of(network_of(*CASES[0][:2], **CASES[0][2]), bands=3)
    right, other = WholeNetwork(recipe, weights), {name: 1.01 * array for name, array in weights.items()}
    assert agrees(right, WholeNetwork(recipe, weights, block=blocks_here()[0]), nearly=1e-4, sizes=[(40, 41)])
    assert not agrees(right, WholeNetwork(recipe, other), nearly=1e-4, sizes=[(40, 41)])
    monkeypatch.setattr(compiling.whole_network, "agrees", lambda *of, **how: False)
    assert compiling.compile_whole(recipe, weights, threads=1).block == 0


def test_an_image_that_is_too_small_is_refused() -> None:
    net = made(network_of("fcn32s", "timm:test_efficientnet"), 0)
    with pytest.raises(PlanError, match="an image of 0 x 5 is too small for"):
        net.rows.shapes((0, 5))
