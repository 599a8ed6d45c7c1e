"""Recipes of networks: run layer by layer they are the network, and their geometry is the operators'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.models.graph.nodes import live_graph
from landseg.models.graph.recipe import Layer, NotCompilable, Recipe, axes_of, geometry
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.layers.aligned import (
    AlignedDownsize,
    AlignedUpsize,
    BilinearDeconv,
    ChannelNorm,
    Crop,
    GridMaxPool2d,
    PadToMultiple,
    bilinear_kernel,
)
from landseg.models.layers.upconv_parts import AlignedNearest
from tests.parts.networks import BOUNDED, LEARNT, SMALLEST, small
from tests.parts.recipes import run_recipe
from tests.parts.streamed import Random, image, lively, whole

NETWORKS: list[tuple[str, str, dict[str, Any]]] = [
    *LEARNT,
    *((arch, encoder, {}) for arch, encoder in SMALLEST if arch not in BOUNDED),
    *((arch, "resnet18", options) for arch, options in BOUNDED.items()),
    ("deeplab-v3plus", "efficientnet-lite0", {}),
    ("deeplab-v3plus", "mobilenet-v2", {}),
    ("fcn32s", "resnet50", {}),
    ("unet", "timm:vgg11", {}),
    ("fcn32s", "timm:regnetx_002", {}),
]


def off(network: nn.Module, x: Tensor, recipe: Recipe | None = None) -> float:
    """Return the largest error of a recipe on an image, relative to the largest value of the network's result."""
    bands = x.shape[1]
    written, arrays = recipe_of(network, bands=bands)
    expected = whole(network, x)
    made = run_recipe(recipe or written, arrays, x.to(expected.dtype))
    assert made.shape == expected.shape
    return float((made - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def with_tents(network: nn.Module) -> nn.Module:
    """Put fixed bilinear kernels back in place of random ones."""
    for layer in network.modules():
        if isinstance(layer, BilinearDeconv):
            layer.weight.copy_(bilinear_kernel(layer.kernel_size[0]))
    return network


@pytest.mark.parametrize(("arch", "encoder", "options"), NETWORKS)
def test_the_recipe_is_the_network(arch: str, encoder: str, options: dict[str, Any]) -> None:
    network = with_tents(lively(small(arch, encoder, **options)))
    assert off(network, image(75, 50, bands=3)) < 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_the_recipe_of_random_layers_is_the_network(seed: int) -> None:
    assert off(lively(Random(seed)), image(33, 46, bands=2)) < 1e-5


class Branches(nn.Module):
    """Functions, constants, and values that are read several times, where nothing may be merged."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.twice = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.layer_norm, self.idle = ChannelNorm(4, 1e-6), nn.Dropout2d()
        self.out = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        n = self.norm(y)  # is not folded: the convolution is read once more below
        y = torch.relu(y) + 2.0 * F.leaky_relu(n, 0.2) - F.gelu(n, approximate="tanh")
        y = self.twice(self.idle(torch.relu(self.twice(y))))
        y = torch.maximum(y, 1 - y) / (F.hardswish(y) * y + 20.0) + (y + y)
        y = self.layer_norm(-y.contiguous()) * F.relu6(y)
        scores: Tensor = self.out(torch.cat([y, F.dropout(y, 0.5, False)], 1))
        return scores


class Places(nn.Module):
    """Layers that move units to another grid."""

    def __init__(self) -> None:
        super().__init__()
        self.pad, self.pool, self.down = PadToMultiple(4), GridMaxPool2d(4, 2), AlignedDownsize(2, 3)
        self.up, self.near, self.crop = AlignedUpsize(2, 3), AlignedNearest(2, 0.5), Crop(2)
        self.conv = nn.Conv2d(2, 3, 3, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        half = self.pool(self.pad(x))
        y = self.near(self.up(self.down(half), half), x)
        scores: Tensor = self.crop(self.conv(y), x)
        return scores


class Whole(nn.Module):
    """Layers and calls that read the whole input, and what is made of a single unit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mean = nn.Conv2d(2, 6, 3, 2, 1), nn.GroupNorm(3, 6), nn.AdaptiveAvgPool2d((1, 1))
        self.gate, self.all, self.out = nn.Conv2d(6, 6, 1), nn.GroupNorm(1, 6), nn.Conv2d(24, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        y = self.all(y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))) - torch.mean(y, [-1, -2], True)
        point = torch.relu(self.gate(self.mean(y)) + 0.5)
        spread = point.expand(-1, -1, y.shape[-2], y.shape[-1])
        drawn = F.interpolate(F.adaptive_avg_pool2d(y, 1), size=y.shape[-2:], mode="bilinear", align_corners=False)
        scores: Tensor = self.out(torch.cat([y, spread, drawn, point + y], 1))
        return scores


@pytest.mark.parametrize("network", [Branches(), Places(), Whole()], ids=["branches", "places", "whole"])
def test_the_recipe_of_every_form_is_the_network(network: nn.Module) -> None:
    assert off(lively(network), image(29, 34, bands=2)) < 1e-5


def test_relus_and_batch_norms_become_part_of_convolutions() -> None:
    network = lively(small("fcn32s", "resnet18"))
    recipe, arrays = recipe_of(network, bands=3)
    assert {layer.kind for layer in recipe.layers} == {"conv", "max_pool", "add", "relu", "upsample"}
    first = recipe.layers[0]
    assert first.settings == {
        "kernel": (7, 7), "stride": (2, 2), "padding": (3, 3), "dilation": (1, 1), "groups": 1, "low": 0.0
    }  # fmt: skip
    assert {name.rpartition(".")[2] for name in arrays} == {"weight", "bias"}
    assert all(array.dtype == "float32" and array.flags.c_contiguous for array in arrays.values())


def test_a_recipe_says_which_layer_reads_the_whole_input() -> None:
    recipe, _ = recipe_of(lively(Whole()), bands=2)
    assert recipe.unbounded_by == "norm"
    alone = {recipe.layers[value - 1].kind for value in recipe.points}
    assert alone == {"mean", "conv", "sigmoid", "add", "relu"} and not recipe.points & {1, recipe.output}
    bounded, _ = recipe_of(lively(Places()), bands=2)
    assert bounded.unbounded_by is None and not bounded.points


def test_twin_a_mean_of_something_else_is_found() -> None:
    network, x = lively(Whole()), image(29, 34, bands=2)
    recipe, _ = recipe_of(network, bands=2)
    at = [number for number, layer in enumerate(recipe.layers) if layer.kind == "mean"][-1]
    other = replace(recipe.layers[at], inputs=(1,))
    assert off(network, x, replace(recipe, layers=(*recipe.layers[:at], other, *recipe.layers[at + 1 :]))) > 1e-3


@pytest.mark.parametrize(("arch", "encoder"), [("deeplab-v3plus", "efficientnet-lite0"), ("unet", "vgg16")])
def test_the_geometry_is_that_of_the_operators(arch: str, encoder: str) -> None:
    for live in live_graph(small(arch, encoder).eval()).nodes:
        form = live.operator.form
        if form is not None:
            assert geometry(*form) == axes_of(Layer("", form[0], (0,), None, form[1]))
            assert geometry(*form) == (live.operator.rows, live.operator.columns)


def changed(recipe: Recipe, **settings: Any) -> Recipe:
    """Return a recipe whose sixth convolution has other settings; None takes one away."""
    at = [i for i, layer in enumerate(recipe.layers) if layer.kind == "conv" and "low" in layer.settings][5]
    layer = recipe.layers[at]
    kept = {name: value for name, value in {**layer.settings, **settings}.items() if value is not None}
    return replace(recipe, layers=(*recipe.layers[:at], replace(layer, settings=kept), *recipe.layers[at + 1 :]))


def test_twin_a_recipe_without_a_padding_or_a_bound_is_another_network() -> None:
    network, x = lively(small("fcn32s", "resnet18")), image(75, 50, bands=3)
    recipe, _ = recipe_of(network, bands=3)
    assert off(network, x, changed(recipe)) < 1e-5
    assert off(network, x, changed(recipe, low=None)) > 1e-2
    with pytest.raises(RuntimeError, match="size of tensor"):
        off(network, x, changed(recipe, padding=(0, 0)))


class Odd(nn.Module):
    """A network with one layer or function in the middle."""

    def __init__(self, middle: Any) -> None:
        super().__init__()
        self.conv, self.middle = nn.Conv2d(2, 4, 1), middle
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.middle(self.conv(x))
        return y


@pytest.mark.parametrize(
    ("middle", "why"),
    [
        (nn.GroupNorm(2, 4, affine=False), r"middle cannot be compiled \(a layer that reads the whole input\)"),
        (nn.AdaptiveAvgPool2d(2), r"middle cannot be compiled \(a layer that reads the whole input\)"),
        (lambda x: x.mean((2, 3)), "mean cannot be compiled .an operation whose reach"),
        (lambda x: x.mean(1, keepdim=True), "mean cannot be compiled .an operation whose reach"),
        (lambda x: x.expand(-1, -1, x.shape[-1], x.shape[-2]), "cannot be compiled"),
        (lambda x: x.expand(-1, -1, x.shape[-2], x.shape[-1]), "expand cannot be compiled .it resizes by no factor"),
        (lambda x: torch.add(x, x, alpha=2), "add cannot be compiled .compiled graphs have no operator"),
        (lambda x: F.dropout(x, 0.5), "dropout cannot be compiled"),
        (lambda x: torch.cumsum(x, 2), "cumsum cannot be compiled .an operation whose reach"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), "cannot be compiled"),
    ],
)
def test_what_no_recipe_says_is_refused_by_name(middle: Any, why: str) -> None:
    with pytest.raises(NotCompilable, match=why):
        recipe_of(Odd(middle).eval(), bands=2)


def test_a_constant_of_the_network_and_a_training_network_are_refused() -> None:
    network = Odd(nn.Identity())
    network.middle = nn.Conv2d(4, 2, 1)
    recipe_of(network.eval(), bands=2)
    with pytest.raises(NotCompilable, match="training mode"):
        recipe_of(network.train(), bands=2)


def test_a_convolution_that_runs_before_different_norms_is_refused() -> None:
    class Shared(nn.Module):
        def __init__(self, norms: tuple[nn.Module, nn.Module]) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(2, 2, 3, padding=1), *norms

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.one(self.conv(x)) + self.two(self.conv(x))
            return y

    norm = nn.BatchNorm2d(2)
    assert off(lively(Shared((norm, norm))), image(12, 9, bands=2)) < 1e-5
    with pytest.raises(NotCompilable, match="different batch norms"):
        recipe_of(Shared((nn.BatchNorm2d(2), nn.BatchNorm2d(2))).eval(), bands=2)


def test_a_pixel_forest_is_refused() -> None:
    with pytest.raises(NotCompilable, match="compiled graphs have no operator"):
        recipe_of(small("pixel-forest", "none").eval(), bands=3)
