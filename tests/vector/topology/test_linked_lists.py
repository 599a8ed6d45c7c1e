from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.vector.topology import linked_lists


@st.composite
def successors(draw: st.DrawFn) -> np.ndarray:
    """Draw the successors (n,) of scattered items in open and closed lists."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=12))
    items = np.array(draw(st.permutations(range(sum(size for size, _ in sizes)))), int)
    found, begin = np.full(len(items), -1), 0
    for size, closed in sizes:
        listed = items[begin : begin + size]
        found[listed[:-1]] = listed[1:]
        found[listed[-1]] = listed[0] if closed else -1
        begin += size
    return found


def check_lists(found: linked_lists.LinkedLists, successor: np.ndarray) -> None:
    assert sorted(found.order.tolist()) == list(range(len(successor)))
    for begin, end, closed in zip(found.offsets[:-1], found.offsets[1:], found.closed, strict=True):
        listed = found.order[begin:end]
        assert np.array_equal(successor[listed[:-1]], listed[1:])
        assert successor[listed[-1]] == (listed[0] if closed else -1)
        if not closed:
            assert listed[0] not in successor


@given(successors())
def test_items_follow_one_another(successor: np.ndarray) -> None:
    check_lists(linked_lists.rank_lists(successor), successor)


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 30_000])
def test_long_lists_in_order_and_against_it(count: int) -> None:
    up = np.append(np.arange(1, count), -1)
    down = np.arange(-1, count - 1)
    for successor in (up, down, np.roll(np.arange(count), -1), np.roll(np.arange(count), 1)):
        check_lists(linked_lists.rank_lists(successor), successor)


def test_twin_other_lists_are_noticed() -> None:
    successor = np.array([1, 2, -1, 4, 3])
    with pytest.raises(AssertionError):
        check_lists(linked_lists.rank_lists(np.array([1, 2, 0, 4, 3])), successor)
    with pytest.raises(AssertionError):
        check_lists(linked_lists.rank_lists(np.array([1, -1, -1, 4, 3])), successor)


def naive_components(n: int, edges: list[tuple[int, int]]) -> list[int]:
    least = list(range(n))
    for _ in range(n):
        for one, other in edges:
            least[one] = least[other] = min(least[one], least[other])
    return least


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=25))
def test_components_are_named_by_their_least_member(edges: list[tuple[int, int]]) -> None:
    one, other = np.array(edges, int).reshape(-1, 2).T
    assert linked_lists.find_components(15, one, other).tolist() == naive_components(15, edges)


def test_twin_an_edge_less_makes_other_components() -> None:
    edges = [(3, 1), (4, 3), (9, 4)]
    one, other = np.array(edges[:-1]).T
    assert linked_lists.find_components(15, one, other).tolist() != naive_components(15, edges)


def check_batches(way: Callable[..., Iterator[slice]], counts: list[int], limit: int) -> None:
    parts = list(way(np.array(counts, int), limit))
    assert [index for part in parts for index in range(part.start, part.stop)] == list(range(len(counts)))
    assert all(sum(counts[part]) <= limit or part.stop - part.start == 1 for part in parts)


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 12))
def test_batches_partition_and_stay_below_the_limit(counts: list[int], limit: int) -> None:
    check_batches(linked_lists.batches, counts, limit)


def test_twin_batches_that_overlap_or_are_too_large() -> None:
    for broken in (
        lambda count, limit: (slice(part.start, part.stop + 1) for part in linked_lists.batches(count, limit)),
        lambda count, limit: linked_lists.batches(count, limit + 1),
    ):
        with pytest.raises(AssertionError):
            check_batches(broken, [3, 3, 4, 1, 5], 5)


def check_cut(way: Callable[..., Any], counts: list[int], longest: int) -> None:
    """Pieces of a line follow one another, each from the last point of the one before, and none is longer."""
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    begins, lengths, lines = way(offsets, longest)
    assert (lengths <= longest).all() and (lengths >= 2).all()
    for line, count in enumerate(counts):
        mine = np.flatnonzero(lines == line)
        points = [list(range(begins[i], begins[i] + lengths[i])) for i in mine]
        assert all(one[-1] == other[0] for one, other in pairwise(points))
        assert [point for part in points for point in part[:-1]] == list(
            range(offsets[line], offsets[line] + count - 1)
        )


@given(st.lists(st.integers(2, 20), max_size=9), st.integers(2, 8))
def test_pieces_of_lines(counts: list[int], longest: int) -> None:
    check_cut(linked_lists.cut, counts, longest)


def test_twin_pieces_that_do_not_share_a_point() -> None:
    def apart(offsets: np.ndarray, longest: int) -> Any:
        begins, lengths, lines = linked_lists.cut(offsets, longest)
        return begins, np.maximum(lengths - 1, 2), lines

    with pytest.raises(AssertionError):
        check_cut(apart, [9], 4)
