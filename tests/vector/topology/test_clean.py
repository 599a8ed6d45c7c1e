"""Majority filter and sieve: by hand, against brute force and GDAL, and the same however the raster is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio import features

import landseg.vector.topology.clean
from landseg.vector.topology.clean import fill, majority, sieve
from landseg.vector.topology.trace import trace

Array = NDArray[Any]
Way = Callable[[list[Array]], Array]
rasters = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.integers(0, 3))
binary = arrays(np.uint8, (9, 9), elements=st.integers(1, 2))


def cut(values: Array, heights: list[int]) -> list[Array]:
    """Strips of these heights, over and over, as views."""
    strips, top, turn = [], 0, 0
    while top < len(values):
        strips.append(values[top : top + heights[turn % len(heights)]])
        top, turn = top + heights[turn % len(heights)], turn + 1
    return strips


def filtered(strips: list[Array], window: int = 3) -> Array:
    return np.concatenate(list(majority(strips, window, nodata=0)))


def sieved(strips: list[Array], pixels: int = 4, connectivity: int = 4) -> Array:
    return np.concatenate(list(sieve(strips, pixels, nodata=0, connectivity=connectivity)))


def voted(values: Array, window: int) -> Array:
    """The definition, pixel by pixel."""
    reach, result = window // 2, values.copy()
    for y, x in np.argwhere(values > 0):
        near = values[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        counts = np.bincount(near[near > 0].ravel())
        winners = np.flatnonzero(counts == counts.max())
        if len(winners) == 1:
            result[y, x] = winners[0]
    return result


@given(rasters, st.sampled_from([3, 5, 7]))
def test_majority_is_its_definition(values: Array, window: int) -> None:
    assert np.array_equal(filtered([values], window), voted(values, window))


def test_majority_with_nodata_that_votes_is_another() -> None:
    values = np.array([[0, 0, 0], [0, 1, 0], [0, 2, 2]], np.uint8)
    assert filtered([values]).tolist() == [[0, 0, 0], [0, 2, 0], [0, 2, 2]]
    everybody = np.concatenate(list(majority([values], 3, nodata=9)))
    assert everybody[1, 1] == 0


def test_majority_of_floats_and_wide_windows() -> None:
    values = np.full((300, 300), 2.5, np.float32)
    values[::2, ::2], values[0, 0] = 7, np.nan
    found = np.concatenate(list(majority([values], 255, nodata=None)))
    assert np.isnan(found[0, 0]) and (found.ravel()[1:] == 2.5).all()
    assert not list(majority([], 3, nodata=0))
    for window in (1, 4, 257):
        with pytest.raises(ValueError, match="odd"):
            majority([values], window, nodata=None)


def check_any_cut(way: Way, values: Array, heights: list[int]) -> None:
    before = values.copy()
    assert np.array_equal(way(cut(values, heights)), way([values]))
    assert np.array_equal(values, before)


heights = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@given(rasters, heights, st.sampled_from([3, 5]))
def test_majority_does_not_depend_on_the_cut(values: Array, heights: list[int], window: int) -> None:
    check_any_cut(lambda strips: filtered(strips, window), values, heights)


@settings(max_examples=40)
@given(rasters, heights, st.integers(1, 9), st.sampled_from([4, 8]))
def test_sieve_does_not_depend_on_the_cut(values: Array, heights: list[int], pixels: int, connectivity: int) -> None:
    check_any_cut(lambda strips: sieved(strips, pixels, connectivity), values, heights)


STRIPED = np.array([[1, 1, 2], [1, 2, 2], [2, 1, 1], [1, 1, 2], [2, 2, 2]], np.uint8)


@pytest.mark.parametrize("way", [filtered, sieved])
def test_strips_on_their_own_do_depend_on_the_cut(way: Callable[[list[Array]], Array]) -> None:
    check_any_cut(way, STRIPED, [2])
    with pytest.raises(AssertionError):
        check_any_cut(lambda strips: np.concatenate([way([strip]) for strip in strips]), STRIPED, [2])


def regions(values: Array, connectivity: int = 4) -> Iterator[tuple[int, int]]:
    """(value, pixels) of every region, by GDAL."""
    for geometry, value in features.shapes(values, mask=values > 0, connectivity=connectivity):
        burnt = features.rasterize([geometry], values.shape)
        yield int(value), int(burnt.sum())


@settings(max_examples=40)
@given(rasters, st.integers(1, 9))
def test_nothing_small_is_left_but_islands(values: Array, pixels: int) -> None:
    found = sieved([values], pixels)
    assert np.array_equal(found == 0, values == 0)
    islands = sorted(size for _, size in regions((values > 0).astype(np.uint8)))
    small = [size for _, size in regions(found) if size < pixels]
    assert all(size in islands for size in small)  # an island of one value has nowhere to go
    assert set(np.unique(found)) <= set(np.unique(values))


def patched(spots: list[tuple[int, int]]) -> Array:
    """Single pixels, and pairs, in a field of another value."""
    values = np.ones((24, 24), np.uint8)
    for y, x in spots:
        values[4 * y + 1, 4 * x + 1 : 4 * x + 2 + (y + x) % 2] = 2
    return values


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), unique=True, max_size=20), st.integers(1, 3))
def test_gdal_agrees_where_there_is_one_neighbour(spots: list[tuple[int, int]], pixels: int) -> None:
    values = patched(spots)
    assert np.array_equal(sieved([values], pixels), features.sieve(values, pixels) if pixels > 1 else values)


def test_gdal_takes_the_largest_ours_the_longest_border() -> None:
    values = np.array([[1, 1, 1, 2, 2], [1, 1, 1, 3, 2], [1, 1, 1, 2, 2]], np.uint8)
    assert features.sieve(values, 2, connectivity=4)[1, 3] == 1
    assert sieved([values], 2)[1, 3] == 2


def check_fill(way: Callable[..., Iterator[Array]], values: Array, connectivity: int) -> None:
    traced = trace([values], nodata=0, connectivity=connectivity)
    for pixels in (1, 20, 1 << 21):
        with mock.patch.object(landseg.vector.topology.clean, "STRIP_PIXELS", pixels):
            strips = list(way(*traced, shape=values.shape, nodata=0, dtype=values.dtype))
        assert np.array_equal(np.concatenate(strips), values)
        assert all(strip.dtype == values.dtype for strip in strips)


@settings(max_examples=40)
@given(rasters, st.sampled_from([4, 8]))
def test_fill_is_the_reverse_of_trace(values: Array, connectivity: int) -> None:
    check_fill(fill, values, connectivity)


def test_twin_the_first_strip_alone_is_not() -> None:
    def first(*traced: Any, **more: Any) -> Iterator[Array]:
        strips = list(fill(*traced, **more))
        yield from (strips[0][:1] if len(strips) > 1 else strip for strip in strips)

    with pytest.raises(AssertionError):
        check_fill(first, STRIPED, 4)
