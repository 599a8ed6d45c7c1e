"""Target assignment: truth at the centre of the receptive field, for both geometries and any size of input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.dense import target_grid as module
from landseg.dense.target_grid import UnitGrid, assign, logits_at_pixels, target_at_units, unit_raster
from landseg.errors import TrainingError
from landseg.geo.grid import ControlPoint, Grid
from landseg.models.graph.receptive_field import receptive_field
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
        units = UnitGrid.of(receptive_field(network))
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


@given(sizes, sizes, st.sampled_from([1, 2, 3, 4, 8, 32]), st.booleans(), st.booleans())
def test_upsampled_logits_are_exact_at_the_centres(
    height: int, width: int, stride: int, half: bool, up: bool
) -> None:
    units = UnitGrid(stride, (stride - 1) / 2 if half else 0.0)
    size = tuple(-(-n // stride) + up if up else max(1, n // stride) for n in (height, width))
    check_ramp(units, (height, width), (size[0], size[1]))


def check_ramp(units: UnitGrid, shape: tuple[int, int], size: tuple[int, int]) -> None:
    """Logits that are their own places, upsampled, say at every pixel between units where it is."""
    centres = torch.tensor([units.centre(f) for f in range(max(size))], dtype=torch.float64)
    logits = centres[None, None, : size[0], None] + 1000 * centres[None, None, None, : size[1]]
    got = logits_at_pixels(logits, units, shape)
    assert got.shape == (1, 1, *shape)
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in shape)
    # A unit beyond the edge is not looked at; behind the last one its value is held.
    used = [min(n, -(-s // units.stride)) for n, s in zip(size, shape, strict=True)]
    rows = rows.clamp(centres[0], centres[used[0] - 1])
    columns = columns.clamp(centres[0], centres[used[1] - 1])
    assert torch.allclose(got[0, 0], rows[:, None] + 1000 * columns, rtol=0, atol=1e-8)


def test_twin_the_other_geometry_is_half_a_stride_off(monkeypatch: pytest.MonkeyPatch) -> None:
    check_ramp(UnitGrid(8), (40, 33), (5, 5))
    real = module.AlignedUpsample
    monkeypatch.setattr(module, "AlignedUpsample", lambda stride, shift: real(stride, (stride - 1) / 2 - shift))
    with pytest.raises(AssertionError):
        check_ramp(UnitGrid(8), (40, 33), (5, 5))


def test_both_modes_give_one_grid() -> None:
    logits, target = torch.randn(2, 3, 3, 4), torch.randint(0, 3, (2, 17, 30))
    at_units, sampled = assign(logits, target, UnitGrid(8), at="units")
    assert at_units is logits and sampled.shape == (2, 3, 4)
    at_pixels, same = assign(logits, target, UnitGrid(8))
    assert same is target and at_pixels.shape == (2, 3, 17, 30)
    # Where pixels are units, both are the same.
    assert torch.equal(at_pixels[:, :, ::8, ::8], logits)
    assert torch.equal(target[:, ::8, ::8], sampled)


@given(st.sampled_from([1, 2, 8, 32]), st.booleans(), st.floats(-0.4, 0.4))
def test_a_unit_raster_lies_where_its_units_look(stride: int, half: bool, turn: float) -> None:
    units = UnitGrid(stride, (stride - 1) / 2 if half else 0.0)
    transform = Affine.translation(500_000, 5_400_000) @ Affine.rotation(turn * 90) @ Affine.scale(0.5, -0.5)
    grid = Grid(CRS.from_epsg(32633), transform, 321, 257)
    raster = unit_raster(grid, units, (9, 11))
    assert (raster.shape, raster.crs) == ((9, 11), grid.crs)
    assert_placed(raster, grid, units)


def assert_placed(raster: Grid, grid: Grid, units: UnitGrid) -> None:
    for y, x in ((0, 0), (3, 5), (8, 10)):
        got = raster.transform @ (x + 0.5, y + 0.5)
        expected = grid.transform @ (units.centre(x) + 0.5, units.centre(y) + 0.5)
        assert np.allclose(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("make", [resnet_like, vgg_like])
def test_logits_of_places_say_where_the_raster_puts_them(make: Callable[[int], nn.Module], stages: int) -> None:
    """A network of means over an image of eastings gives logits that are the eastings of their own pixels."""
    grid = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 160, 64)
    eastings = torch.tensor([(grid.transform @ (x + 0.5, 0.5))[0] for x in range(grid.width)], dtype=torch.float64)
    network = make(stages)
    with torch.inference_mode():
        logits = linearised(network)(eastings.expand(1, 1, 64, 160))[0, 0]
    raster = unit_raster(grid, UnitGrid.of(receptive_field(network)), (logits.shape[0], logits.shape[1]))
    middle = logits.shape[0] // 2
    for x in range(4, logits.shape[1] - 4):
        assert abs(float(logits[middle, x]) - (raster.transform @ (x + 0.5, 0.5))[0]) < 1e-6


def test_twin_scaling_alone_misplaces_resnet_like_units() -> None:
    grid = Grid(None, Affine.scale(2.0), 64, 64)
    assert_placed(grid.scaled(8), grid, UnitGrid(8, 3.5))
    with pytest.raises(AssertionError):
        assert_placed(grid.scaled(8), grid, UnitGrid(8))


def test_control_points_move_along() -> None:
    points = tuple(ControlPoint(r, c, 10 * c, -10 * r) for r, c in ((0, 0), (0, 64), (64, 0), (64, 64)))
    grid = Grid.from_control_points(CRS.from_epsg(32633), points, width=64, height=64)
    raster = unit_raster(grid, UnitGrid(8), (8, 8))
    assert raster.gcps is not None
    again = Grid.from_control_points(grid.crs, raster.gcps, width=8, height=8)
    assert np.allclose(again.transform, raster.transform)


def test_refusals() -> None:
    with pytest.raises(TrainingError, match=r"multiple of 0\.5"):
        UnitGrid(8, 0.25)
    with pytest.raises(TrainingError, match=r"shift of 0\.0 or 3\.5"):
        logits_at_pixels(torch.zeros(1, 1, 2, 2), UnitGrid(8, 1.0), (16, 16))
    with pytest.raises(TrainingError, match="see the whole input"):
        UnitGrid.of(receptive_field(nn.Sequential(nn.AdaptiveAvgPool2d(1))))
    with pytest.raises(TrainingError, match="2 logits a pixel"):
        UnitGrid.of(receptive_field(nn.ConvTranspose2d(1, 1, 2, 2)))
    assert UnitGrid.of(receptive_field(nn.Conv2d(1, 1, 1))) == UnitGrid(1)
