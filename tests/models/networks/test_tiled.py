"""Every bounded network, streamed in rows and cut into windows, is the whole image's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers import aligned as align
from landseg.models.layers.aligned import AlignedDownsize, AlignedUpsize, ChannelNorm, GridMaxPool2d, PadToMultiple
from landseg.models.layers.fold import fold_batch_norm
from tests.parts.networks import LEARNT
from tests.parts.streamed import difference, image, lively, streamed, whole
from tests.parts.windowed import NETWORKS, learnt, network_of, windowed

names: list[Any] = list(NETWORKS)
NETWORKS.update(zip(learnt, LEARNT, strict=True))
# Each upconvolution on units on pixels and between them, and each place that has one; the others when there is time.
BRIEF = ("fcn8s", "fpn", "deeplab-v3plus")
names += [pytest.param(name, marks=() if name.startswith(BRIEF) else pytest.mark.slow) for name in learnt]


@pytest.mark.parametrize("name", names)
@pytest.mark.parametrize(
    ("height", "width", "strip", "chunk"), [(1, 1, 16, None), (70, 41, 32, 16), (37, 90, 11, None)]
)
def test_streamed_is_whole(name: str, height: int, width: int, strip: int, chunk: int | None) -> None:
    network, x = network_of(name), image(height, width, bands=3)
    assert difference(streamed(network, x, strip=strip, chunk=chunk, pushes=(16, 5)), whole(network, x)) <= 1e-10


@pytest.mark.parametrize("name", names)
def test_windows_are_whole_and_half_the_halo_is_not_enough(name: str) -> None:
    network = network_of(name)
    field = receptive_field(network)
    assert field.halo is not None
    x = image(9, 2 * field.halo + 3 * field.stride + 5, bands=3)
    expected = whole(network, x)
    assert difference(windowed(network, x, halo=field.halo, stride=field.stride), expected) <= 1e-10
    shorter = windowed(network, x, halo=field.halo // 2 // field.stride * field.stride, stride=field.stride)
    assert difference(shorter, expected) > 1e-9


def test_twin_windows_off_the_stride_are_found_out() -> None:
    """What holds for the stride of one scale does not hold for three."""
    network = network_of("v2, three scales")
    field = receptive_field(network)
    assert field.stride == 32 and field.halo is not None
    x = image(9, 2 * field.halo + 100, bands=3)
    assert difference(windowed(network, x, halo=field.halo + 8, stride=8), whole(network, x)) > 1e-4


class _Layer(nn.Module):
    """A layer between others, with a size to go back to."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.before, self.layers = nn.Conv2d(2, 3, 3, padding=1), nn.ModuleList(layers)
        self.after = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        like = y
        for layer in self.layers:
            y = layer(y, like) if isinstance(layer, align.AlignedUpsample) else layer(y)
        out: Tensor = self.after(y)
        return out


def _pool(kernel: int, dilation: int) -> nn.Module:
    pool = GridMaxPool2d(kernel, 1 if dilation > 1 else 2)
    pool.dilation = (dilation, dilation)
    return pool


@pytest.mark.parametrize(
    "layers",
    [
        (AlignedDownsize(3, 4), AlignedUpsize(4, 3)),
        (AlignedDownsize(1, 2), AlignedUpsize(2, 1)),
        (AlignedDownsize(2, 5), AlignedUpsize(5, 2)),
        (_pool(2, 1),),
        (_pool(3, 1),),
        (_pool(2, 2),),
        (_pool(3, 4),),
        (PadToMultiple(8), GridMaxPool2d(2, 2)),
        (ChannelNorm(3),),
        (align.BilinearDeconv(3, 2, padding=1, learned=False), align.Crop(2)),
    ],
    ids=lambda layers: " ".join(map(repr, layers)),
)
@pytest.mark.parametrize(("height", "width", "strip", "chunk"), [(1, 3, 1, None), (23, 17, 4, 3), (16, 31, 7, None)])
def test_each_layer_streams(
    layers: tuple[nn.Module, ...], height: int, width: int, strip: int, chunk: int | None
) -> None:
    network, x = lively(_Layer(*layers)), image(height, width)
    if any(isinstance(layer, align.Crop) for layer in layers) and height < 5:
        return  # nothing is left to cut
    assert difference(streamed(network, x, strip=strip, chunk=chunk, pushes=(3, 1)), whole(network, x)) <= 1e-12


class _Twice(nn.Module):
    """A convolution and its norm, run on two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(self.block(x), self.block(self.block(x)))


def test_layers_that_run_twice_are_folded_once() -> None:
    network, x = lively(_Twice()), image(9, 8)
    folded = fold_batch_norm(network)
    assert difference(whole(folded, x), whole(network, x)) <= 1e-12
    folded.get_submodule("block.0").weight.mul_(1.01)  # type: ignore[operator, union-attr]
    assert difference(whole(folded, x), whole(network, x)) > 1e-4
