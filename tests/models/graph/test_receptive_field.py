"""Receptive fields: published sizes, the gradient's own answer, and the evidence under each output pixel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.upsample import AlignedUpsample
from landseg.models.networks.build import build_network
from tests.parts.evidence import centroid, evidence, linearised, span
from tests.parts.receptive import check_evidence

NETWORKS = [
    ("deeplab-v3plus", "efficientnet-lite0"),
    ("deeplab-v3plus", "resnet18"),
    ("fcn32s", "efficientnet-lite0"),
    ("fcn32s", "resnet18"),
]


def _features(name: str) -> nn.Module:
    with torch.device("meta"):  # geometry needs no weights
        network = getattr(torchvision.models, name)(weights=None)
    return network.features if name.startswith("vgg") else nn.Sequential(*list(network.children())[:-2])


@pytest.mark.parametrize(
    ("name", "size", "offset"),
    [("resnet18", 435, 0.0), ("resnet50", 427, 0.0), ("resnet101", 971, 0.0), ("vgg16", 212, 15.5)],
)
def test_published_fields(name: str, size: int, offset: float) -> None:
    field = receptive_field(_features(name))
    assert (field.size, field.stride, field.offset) == (size, 32, offset)


def test_atrous_conversion_keeps_resnet50_at_427() -> None:
    with torch.device("meta"):
        network = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
    field = receptive_field(nn.Sequential(*list(network.children())[:-2]))
    assert (field.size, field.stride) == (427, 8)


def _small_networks() -> list[nn.Module]:
    return [
        nn.Conv2d(1, 1, 3, padding=1),
        nn.Sequential(nn.Conv2d(1, 2, 5, stride=2, padding=2), nn.Conv2d(2, 1, 3, dilation=3, padding=3)),
        nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(1, 1, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)),
    ]


@pytest.mark.parametrize("network", _small_networks(), ids=str)
def test_arithmetic_equals_gradient(network: nn.Module) -> None:
    field = receptive_field(network)
    assert field.size is not None
    weights = evidence(linearised(network), 11, bands=1, width=120)
    first, last = span(weights)
    assert last - first + 1 == field.size
    assert (first + last) / 2 == 11 * field.stride + field.offset


@pytest.mark.parametrize(("arch", "encoder"), NETWORKS)
def test_whole_networks_see_what_the_arithmetic_says_and_sit_on_their_evidence(arch: str, encoder: str) -> None:
    network = build_network(arch, encoder=encoder, bands=3, channels=2)
    field = receptive_field(network)
    assert field.size is not None and field.radius is not None and field.offset == 0.0
    low, high = check_evidence(network, field.radius, field.stride)
    assert -low == high == field.radius
    assert field.size == 2 * field.radius + 1


class _PlainResize(nn.Module):
    """What most libraries do: half-pixel resizing of features that sit at multiples of the stride."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        y = F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return y[..., : like.shape[-2], : like.shape[-1]]


class _Rolled(nn.Module):
    """A branch whose output at stride 4 is moved by one unit, 4 px."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        rolled: Tensor = self.branch(x, like).roll(1, dims=-1)
        return rolled


def test_twin_half_pixel_resizing_is_off_its_evidence() -> None:
    network = build_network("deeplab-v3plus", encoder="resnet18", bands=3, channels=2)
    field = receptive_field(network)
    network.upsample = _PlainResize(4)
    with pytest.raises(AssertionError, match="phase"):
        check_evidence(network, field.radius or 0, field.stride)


def test_twin_a_deep_branch_moved_by_one_unit_is_off_its_evidence() -> None:
    network = build_network("deeplab-v3plus", encoder="resnet18", bands=3, channels=2)
    field = receptive_field(network)
    network.to_low_level = _Rolled(network.to_low_level)
    with pytest.raises(AssertionError, match="phase"):
        check_evidence(network, field.radius or 0, field.stride)


@pytest.mark.parametrize("shift", [0.0, 3.5])
def test_upsampler_undoes_the_offset_of_either_grid(shift: float) -> None:
    down: nn.Module = nn.AvgPool2d(8) if shift else nn.Conv2d(1, 1, 1, stride=8)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = down, AlignedUpsample(8, shift)

        def forward(self, x: Tensor) -> Tensor:
            up: Tensor = self.up(self.down(x), x)
            return up

    field = receptive_field(Net())
    assert (field.offset, field.stride) == (0.0, 8)
    probe = linearised(Net())
    for column in range(40, 48):
        assert abs(centroid(evidence(probe, column, bands=1, width=96)) - column) < 1e-9


def test_unbounded_layers_are_named() -> None:
    network = build_network("deeplab-v3plus", encoder="resnet18", bands=3, channels=2, image_pooling=True)
    field = receptive_field(network)
    assert field.size is None and field.halo is None and field.radius is None
    assert field.unbounded_by is not None and "aspp.branches.4.pool" in field.unbounded_by
    norm = receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)))
    assert norm.unbounded_by is not None and norm.unbounded_by.startswith("1 ")


def test_an_operation_without_a_rule_is_never_called_bounded() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft2(x).real

    field = receptive_field(Odd())
    assert field.size is None and field.unbounded_by is not None and "fft" in field.unbounded_by


def test_halo_is_the_radius_rounded_up_to_the_stride() -> None:
    field = receptive_field(build_network("fcn32s", encoder="resnet18", bands=3, channels=2))
    assert (field.radius, field.stride, field.halo) == (248, 32, 256)
    assert field.layers[0].size == 7 and field.layers[-1].size == field.size
