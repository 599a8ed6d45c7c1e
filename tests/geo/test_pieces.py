"""Rasters cut into rectangles: every pixel lies in one of them, whatever the cut."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.geo.grid import Rect
from landseg.geo.pieces import cut, in_order, parts, rows_within, spread, strips

regions = st.builds(Rect, st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 40), st.integers(1, 40))


def assert_partition(pieces: Iterable[Rect], region: Rect) -> None:
    times = np.zeros(region.shape, int)
    for piece in pieces:
        assert region.contains(piece) and piece.area
        times[piece.relative_to(region).slices] += 1
    assert (times == 1).all()


@given(regions, st.integers(1, 50), st.one_of(st.none(), st.integers(1, 50)))
def test_cut_partitions_a_region(region: Rect, height: int, width: int | None) -> None:
    pieces = list(cut(region, height, width))
    assert_partition(pieces, region)
    assert all((piece.top - region.top) % height == 0 for piece in pieces)
    assert all((piece.left - region.left) % (width or region.width) == 0 for piece in pieces)


def short(region: Rect) -> Iterable[Rect]:
    return list(cut(region, 7))[:-1]


def long(region: Rect) -> Iterable[Rect]:
    return [Rect(piece.top, piece.left, 7, piece.width) for piece in cut(region, 7)]


@pytest.mark.parametrize("wrong", [short, long])
def test_twin_a_cut_that_forgets_its_end_is_no_partition(wrong: Callable[[Rect], Iterable[Rect]]) -> None:
    with pytest.raises(AssertionError):
        assert_partition(wrong(Rect(0, 0, 10, 3)), Rect(0, 0, 10, 3))


@given(regions, st.integers(1, 50), st.integers(1, 50))
def test_spread_has_the_rectangles_of_the_cut(region: Rect, height: int, width: int) -> None:
    found = list(spread(region.shape, (height, width), start=height))
    assert sorted(found, key=lambda one: (one.top, one.left)) == list(cut(Rect(0, 0, *region.shape), height, width))


def test_strips_and_parts_partition_large_rasters_on_their_edges() -> None:
    for region in (Rect(3, 0, 9_000, 2_000), Rect(0, 0, 100, 3)):
        found = list(strips(region, halo=7, edge=32))
        assert sum(one.area for one in found) == region.area
        assert all(one.bottom == two.top and two.top % 32 == 0 for one, two in pairwise(found))
    wide = list(parts((5_000, 20_000)))
    assert sum(one.area for one in wide) == 5_000 * 20_000
    assert {(one.top % 256, one.left % 256) for one in wide} == {(0, 0)}


@given(st.integers(1, 10_000), st.integers(1, 1_000))
def test_rows_hold_at_most_the_pixels(pixels: int, width: int) -> None:
    rows = rows_within(pixels, width)
    assert rows == 1 or rows * width <= pixels < (rows + 1) * width


def test_results_come_in_the_order_of_their_jobs_and_few_are_begun_early() -> None:
    begun = []

    def work(job: int) -> int:
        begun.append(job)
        return job * job

    with ThreadPoolExecutor(3) as pool:
        results = in_order(pool, work, range(20), ahead=4)
        assert next(results) == 0
        assert max(begun) <= 3
        assert list(results) == [job * job for job in range(1, 20)]
