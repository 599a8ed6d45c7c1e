"""Target assignment: truth at the centre of the receptive field, for both geometries and any size of input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.dense.target_grid import UnitGrid, UnitScores, target_at_units
from landseg.errors import TrainingError
from landseg.models.layers.upsample import AlignedUpsample
from landseg.models.networks.build import build_network
from tests.parts.evidence import centroid, evidence, linearised

sizes = st.integers(1, 70)


def resnet_like(stages: int) -> nn.Module:
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, stride=2, padding=1) for _ in range(stages)))


def vgg_like(stages: int, *, ceil: bool = False) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(stages):
        layers += [nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2, ceil_mode=ceil)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_the_grid_of_a_network_is_where_its_evidence_lies(stages: int) -> None:
    stride = 2**stages
    for network, shift in ((resnet_like(stages), 0.0), (vgg_like(stages), (stride - 1) / 2)):
        units = UnitScores(nn.Sequential(network, AlignedUpsample(stride, shift))).grid
        assert units == UnitGrid(stride, shift)
        unit = 5
        found = centroid(evidence(linearised(network), unit, bands=1, width=11 * stride, height=2 * stride))
        assert abs(found - units.centre(unit)) < 1e-9


@given(sizes, sizes, st.sampled_from([1, 2, 3, 4, 8, 16, 32]), st.booleans())
def test_whole_centres_take_their_pixel(height: int, width: int, stride: int, ceil: bool) -> None:
    target = torch.arange(height * width).view(1, height, width) % 200
    size = (-(-height // stride) + ceil, -(-width // stride) + ceil)  # with or without a unit beyond the edge
    check_pixels(target_at_units(target, UnitGrid(stride), size), target, stride)


def check_pixels(got: Tensor, target: Tensor, stride: int) -> None:
    for y in range(got.shape[1]):
        for x in range(got.shape[2]):
            inside = y * stride < target.shape[1] and x * stride < target.shape[2]
            assert got[0, y, x] == (target[0, y * stride, x * stride] if inside else IGNORE_INDEX)


def test_twin_half_pixel_resizing_of_targets_is_not_that() -> None:
    target = torch.arange(32 * 32).view(1, 32, 32) % 200
    check_pixels(target_at_units(target, UnitGrid(8), (4, 4)), target, 8)
    resized = F.interpolate(target[None].double(), (4, 4), mode="nearest-exact")[0].long()
    with pytest.raises(AssertionError):
        check_pixels(resized, target, 8)


@given(st.data(), sizes, sizes, st.sampled_from([2, 4, 8, 32]), st.booleans())
def test_centres_between_pixels_take_the_commonest(
    data: st.DataObject, height: int, width: int, stride: int, ceil: bool
) -> None:
    seed = data.draw(st.integers(0, 999))
    target = torch.randint(0, 3, (2, height, width), generator=torch.Generator().manual_seed(seed))
    target[target == 2] = IGNORE_INDEX if seed % 2 else 2
    target = target.to(torch.uint8 if seed % 3 else torch.int64)
    size = tuple(-(-n // stride) if ceil else max(1, n // stride) for n in (height, width))
    got = target_at_units(target, UnitGrid(stride, (stride - 1) / 2), (size[0], size[1]))
    for n, y, x in np.ndindex(*got.shape):
        top, left = y * stride + stride // 2 - 1, x * stride + stride // 2 - 1
        votes = target[n, top : top + 2, left : left + 2].flatten().tolist()
        votes = [vote for vote in votes if vote != IGNORE_INDEX]
        counts = sorted(((votes.count(vote), vote) for vote in set(votes)), reverse=True)
        clear = counts and (len(counts) == 1 or counts[0][0] > counts[1][0])
        assert got[n, y, x] == (counts[0][1] if clear else IGNORE_INDEX)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 4]))
def test_half_pixel_targets_do_not_prefer_a_side(rows: int, columns: int, stride: int) -> None:
    units = UnitGrid(stride, (stride - 1) / 2)
    target = torch.randint(0, 2, (1, rows * stride, columns * stride))
    assert_flips(lambda t: target_at_units(t, units, (rows, columns)), target)


def assert_flips(sample: object, target: Tensor) -> None:
    for axes in ([1], [2], [1, 2]):
        assert torch.equal(sample(target.flip(axes)), sample(target).flip(axes))  # type: ignore[operator]


def test_twin_rounding_down_prefers_a_side() -> None:
    target = torch.randint(0, 2, (1, 32, 32), generator=torch.Generator().manual_seed(1))
    with pytest.raises(AssertionError):
        assert_flips(lambda t: t[:, 1::4, 1::4], target)


class UpToPixels(nn.Module):
    """Units of 4 pixels, and a bilinear way up to the size of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.upsample = resnet_like(2), AlignedUpsample(4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.upsample(self.encoder(x), x)
        return y


def test_scores_are_the_input_of_the_last_layer_and_logits_stay_as_they_are() -> None:
    network, inputs = UpToPixels(), torch.randn(2, 1, 17, 30)
    scores = UnitScores(network)
    with torch.no_grad():
        before, at_units, after = network(inputs), scores(inputs), network(inputs)
    assert at_units.shape == (2, 1, 5, 8) and torch.equal(before, after)
    assert torch.equal(before[..., ::4, ::4], at_units)  # where pixels are units, both are the same


@pytest.mark.parametrize(
    ("arch", "encoder", "units"),
    [
        ("deeplab-v3plus", "resnet18", UnitGrid(4)),
        ("deeplab-v3", "resnet18", UnitGrid(16)),
        ("fcn32s", "resnet18", UnitGrid(32)),
        ("fpn", "vgg16", UnitGrid(4, 1.5)),
    ],
)
def test_the_units_of_networks(arch: str, encoder: str, units: UnitGrid) -> None:
    assert UnitScores(build_network(arch, encoder=encoder, bands=1, channels=2)).grid == units


@pytest.mark.parametrize(
    ("arch", "options"),
    [("unet", {}), ("deeplab-v3", {"upsampler": "transposed"}), ("fpn", {"upsampler": "shuffle"})],
)
def test_a_network_that_learns_its_way_up_has_no_units(arch: str, options: dict[str, str]) -> None:
    network = build_network(arch, encoder="resnet18", bands=1, channels=2, warn=False, **options)
    with pytest.raises(TrainingError, match=r'needs a network that ends in bilinear .* use loss\.at = "pixels"'):
        UnitScores(network)


def test_a_grid_without_centres_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"multiple of 0\.5"):
        UnitGrid(8, 0.25)
