"""Upconvolutions in the graph: where they sit, what they see, and that streamed rows and windows are the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landseg.models.graph import axes
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers import upconv_parts
from landseg.models.layers.upconv import UPCONVOLUTIONS, Shuffle, upconvolution
from landseg.models.layers.upconv_parts import AlignedNearest, BedOfNails, CropStart
from tests.parts.axes import assert_reads, axis_of
from tests.parts.evidence import centroid, evidence, linearised, span
from tests.parts.streamed import difference, image, lively, streamed, whole

EXACT = 1e-12
GRIDS = [(2, 0.0), (2, 0.5), (3, 0.0), (3, 1.0), (4, 0.0), (4, 1.5)]


class Net(nn.Module):
    """A grid of units with this shift, and back to the pixels."""

    def __init__(self, name: str, factor: int, shift: float, *, channels: int = 2) -> None:
        super().__init__()
        self.down: nn.Module = nn.Conv2d(channels, channels, 1, stride=factor)
        if shift:
            self.down = nn.AvgPool2d(factor, ceil_mode=True)
        self.deep = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = upconvolution(name, channels, channels, factor=factor, shift=shift)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(self.deep(self.down(x)), x)
        return y


@pytest.mark.parametrize(("factor", "shift"), GRIDS)
@pytest.mark.parametrize("name", UPCONVOLUTIONS)
def test_units_are_put_back_where_they_sit(name: str, factor: int, shift: float) -> None:
    network = Net(name, factor, shift)
    field = receptive_field(network)
    assert (field.offset, field.stride) == (0.0, factor)
    check_centred(network, factor)


@pytest.mark.parametrize(("factor", "shift"), GRIDS)
@pytest.mark.parametrize("name", UPCONVOLUTIONS)
def test_they_see_what_the_arithmetic_says(name: str, factor: int, shift: float) -> None:
    network = Net(name, factor, shift)
    field = receptive_field(network)
    start = 8 * factor
    low = high = 0
    for column in range(start, start + factor):
        first, last = span(evidence(linearised(network), column, bands=2, width=16 * factor))
        low, high = min(low, first - column), max(high, last - column)
    # A moved shuffle and a held cell have room for a pixel more at some phases than at any one.
    assert field.radius is not None and max(-low, high) <= field.radius <= max(-low, high) + factor
    if name in ("nearest", "bilinear", "transposed"):
        assert max(-low, high) == field.radius


def check_centred(network: nn.Module, factor: int) -> None:
    """Over the phases, the evidence's mean distance from the pixel is 0."""
    network, start = linearised(network), 8 * factor
    away = [centroid(evidence(network, c, bands=2, width=16 * factor)) - c for c in range(start, start + factor)]
    assert abs(sum(away) / factor) <= 0.1


def test_twin_a_shuffle_that_is_not_moved_is_off_its_units() -> None:
    network = Net("bilinear", 4, 0.0)
    network.up = Shuffle(2, 2, 4, 1.5, None)
    assert receptive_field(network).offset == -1.5
    with pytest.raises(AssertionError):
        check_centred(network, 4)


@given(st.integers(1, 5), st.booleans(), st.integers(1, 9), st.integers(0, 4))
def test_their_pieces_read_what_their_gradients_say(factor: int, half: bool, units: int, count: int) -> None:
    assert_reads(axis_of(nn.PixelShuffle(factor)), _Shuffled(factor), units)
    assert_reads(axis_of(BedOfNails(factor)), BedOfNails(factor), units)
    assert_reads(axis_of(CropStart(count)), CropStart(count), units + count)
    nearest = AlignedNearest(factor, (factor - 1) / 2 if half else 0.0)
    size = units * factor
    assert_reads(axis_of(nearest), nearest, units, torch.zeros(1, 1, size, size))


class _Shuffled(nn.Module):
    """A pixel shuffle of one channel, repeated as often as it needs."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(x.expand(-1, self.factor**2, -1, -1), self.factor)


@settings(max_examples=40)
@given(
    name=st.sampled_from(list(UPCONVOLUTIONS)),
    grid=st.sampled_from(GRIDS),
    size=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    strip=st.integers(1, 20),
    chunk=st.one_of(st.none(), st.integers(1, 20)),
)
def test_rows_streamed_are_the_whole(
    name: str, grid: tuple[int, float], size: tuple[int, int], strip: int, chunk: int | None
) -> None:
    assert_streams(lively(Net(name, *grid)), size, strip=strip, chunk=chunk)


def assert_streams(network: nn.Module, size: tuple[int, int], *, strip: int, chunk: int | None) -> None:
    x = image(*size)
    assert difference(streamed(network, x, strip=strip, chunk=chunk), whole(network, x)) <= 1e-10


@pytest.mark.parametrize("name", UPCONVOLUTIONS)
@pytest.mark.parametrize(("factor", "shift"), GRIDS)
def test_windows_with_the_halo_are_the_whole(name: str, factor: int, shift: float) -> None:
    network, x = lively(Net(name, factor, shift)), image(60, 48)
    halo = receptive_field(network).halo
    assert halo is not None
    start = 24 // factor * factor
    got = whole(network, x[:, :, start - halo :])[:, :, halo:]
    assert difference(got, whole(network, x)[:, :, start:]) <= EXACT


def test_twin_cells_that_are_read_too_short_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively(Net("unpool", 4, 1.5))
    assert_streams(network, (23, 21), strip=3, chunk=5)
    monkeypatch.setattr(axes.CellAxis, "last", lambda self, unit: unit)
    with pytest.raises(AssertionError):
        assert_streams(network, (23, 21), strip=3, chunk=5)


def test_twin_midway_pixels_given_to_one_unit_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    check_centred(Net("nearest", 2, 0.0), 2)
    monkeypatch.setattr(upconv_parts.torch, "lerp", lambda below, above, weight: below)
    with pytest.raises(AssertionError):
        check_centred(Net("nearest", 2, 0.0), 2)
