"""Every bounded network whose layers can be compiled streams as the whole image; the others are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from landseg.models.graph.receptive_field import receptive_field
from landseg.models.graph.recipe import NotCompilable
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.networks.catalogue import ARCHITECTURES, ENCODERS
from landseg.tiling.compiled import network as network_module
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.row_stream import CompiledRows
from tests.parts.compiled import (
    check_same,
    compiled,
    every_step,
    lively_network,
    network_of,
    noise,
    off,
    streamed,
    strip_of,
    tall,
    whole_image,
)
from tests.parts.networks import BOUNDED, LEARNT

Case = tuple[str, str, dict[str, Any]]
REFUSED = ("fractional", "unpool")
ENCODED = [
    (arch, encoder, BOUNDED.get(arch, {}))
    for arch, entry in ARCHITECTURES.items()
    if not entry.fitted
    for encoder in ENCODERS
    if entry.encoders is None or encoder in entry.encoders
]
COMPILED = [*ENCODED, *(case for case in LEARNT if case[2]["upsampler"] not in REFUSED)]
NOT_COMPILED = [case for case in LEARNT if case[2]["upsampler"] in REFUSED]
QUICK: list[Case] = [
    ("deeplab-v3plus", "efficientnet-lite0", {}),
    ("deeplab-v2", "vgg16", {}),
    ("deeplab-largefov", "vgg16", {}),
    ("fcn8s", "vgg16", {}),
    ("fpn", "mobilenet-v2", {}),
    ("fcn32s", "resnet18", {}),
    ("unet", "resnet18", {"upsampler": "shuffle"}),
    ("unet", "vgg16", {"upsampler": "transposed"}),
    ("upernet", "resnet18", {**BOUNDED["upernet"], "upsampler": "bilinear"}),
    ("deeplab-v3", "resnet18", {"upsampler": "nearest"}),
]


def check_network(network: nn.Module, net: CompiledNetwork) -> None:
    """Check all kinds of steps in all sections, and the whole image in one step."""
    field, strip = receptive_field(network), strip_of(net)
    assert field.halo == net.halo
    for height, steps in ((tall(net, strip), 3), (net.rows.period + 1, 1)):
        x = noise(1, 3, height, 41)
        assert all(count >= steps for count in every_step(net, x, strip))
        check_same(streamed(net, x, strip=strip, pushes=(50, 7, 131)), whole_image(network, x))


@pytest.mark.parametrize(("arch", "encoder", "options"), QUICK)
def test_networks(arch: str, encoder: str, options: dict[str, Any]) -> None:
    network = lively_network(arch, encoder, **options)
    check_network(network, compiled(network))


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "encoder", "options"), COMPILED)
def test_every_network(arch: str, encoder: str, options: dict[str, Any]) -> None:
    network = lively_network(arch, encoder, **options)
    check_network(network, compiled(network))


@pytest.mark.parametrize("options", [{"output_stride": 8}, {"output_stride": 32}])
def test_other_strides(options: dict[str, Any]) -> None:
    network = lively_network("deeplab-v3", "resnet18", **options)
    check_network(network, compiled(network))


def test_other_weights_are_found() -> None:
    """The check of this file can fail: one weight that is a little off shows."""
    network, other = (lively_network("fpn", "resnet18") for _ in range(2))
    net = compiled(network)
    x = noise(1, 3, net.rows.period + 1, 41)
    check_same(streamed(net, x, strip=strip_of(net)), whole_image(other, x))
    next(other.parameters())[0, 0, 0, 0] += 0.1
    with pytest.raises(AssertionError):
        check_same(streamed(net, x, strip=strip_of(net)), whole_image(other, x))


@pytest.mark.parametrize(
    ("arch", "encoder", "options", "layer"),
    [
        ("deeplab-v3plus", "resnet18", {"upsampler": "unpool"}, "to_low_level.steps.0.nails"),
        ("unet", "resnet18", {"upsampler": "fractional"}, "ups.0.steps.0.nails"),
        ("deeplab-v2", "resnet18", {"multi_scale": True}, ""),
        ("upernet", "resnet18", {}, "psp.blocks.1.0"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(
    arch: str, encoder: str, options: dict[str, Any], layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refused(lively_network(arch, encoder, **options), layer, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "encoder", "options"), NOT_COMPILED)
def test_every_network_that_is_refused(
    arch: str, encoder: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refused(lively_network(arch, encoder, **options), "", monkeypatch)


def check_refused(network: nn.Module, layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the layer is named before any session is made."""
    monkeypatch.setattr(network_module, "Session", None)  # calling it would raise a TypeError
    with pytest.raises(NotCompilable, match=r"\S+ cannot be compiled") as raised:
        CompiledNetwork(*recipe_of(network, bands=3), block=16)
    assert str(raised.value).startswith(layer) and "\n" not in str(raised.value)


def test_a_network_that_compiles_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception):
        check_refused(network_of("fcn32s", "resnet18"), "", monkeypatch)


def test_blocks_of_columns_make_the_whole() -> None:
    """Blocks of columns beside each other, each with the halo that it reads, have the bits of one stream."""
    network = network_of("fpn", "resnet18")
    net = compiled(network)
    x = noise(1, 3, 97, 3 * net.halo)
    made = streamed(net, x)
    for left in range(0, x.shape[3], 100):
        region = CompiledRows(net, (97, x.shape[3])).region
        region = type(region)(0, left, 97, min(100, x.shape[3] - left))
        assert off(streamed(net, x, region=region), made[..., left : region.right]) == 0
