"""Small things that join a neighbour: equal to the definition taken literally, and what it means for ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.dense.grouping import Maps, group
from landseg.dense.small_things import Borders, join_small


def joined_literally(numbers: NDArray[Any], least: float, *, longest: bool = True) -> NDArray[Any]:
    """Return numbers (h, w) after the smallest small thing joined a neighbour, as long as one can."""
    numbers = numbers.copy()
    while True:
        sizes = {int(n): int((numbers == n).sum()) for n in np.unique(numbers) if n}
        for small in sorted((n for n in sizes if sizes[n] < least), key=lambda n: (sizes[n], n)):
            shared: dict[int, int] = {}
            rows, columns = np.nonzero(numbers == small)
            for row, column in zip(rows, columns, strict=True):
                for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                    if 0 <= y < numbers.shape[0] and 0 <= x < numbers.shape[1]:
                        other = int(numbers[y, x])
                        if other not in (0, small):
                            shared[other] = shared.get(other, 0) + 1
            if shared:
                best = min(shared, key=lambda n: (-shared[n] if longest else shared[n], n))
                numbers[numbers == small] = best
                break
        else:
            return numbers


def joined_at_once(numbers: NDArray[Any], least: float) -> NDArray[Any]:
    count = int(numbers.max())
    area = np.bincount(numbers.ravel(), minlength=count + 1)[1:].astype(np.float64)
    joined = join_small(area, np.arange(count), Borders.between(numbers), least=least)
    return np.append(0, joined + 1)[numbers]


def pieces(seed: int, size: int = 9) -> NDArray[Any]:
    """Return numbers (h, w) from 1 to n without a gap, some of them 0."""
    random = np.random.default_rng(seed)
    made = np.kron(random.integers(0, 12, (size, size)), np.ones((1, 2), np.int64))
    made = np.where(random.random(made.shape) < 0.15, random.integers(0, 12, made.shape), made)
    _, numbers = np.unique(made, return_inverse=True)
    return np.asarray(numbers.reshape(made.shape))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 8, 20, 60, 1000]))
def test_merging_is_the_definition(seed: int, least: float) -> None:
    numbers = pieces(seed)
    assert np.array_equal(joined_at_once(numbers, least), joined_literally(numbers, least))


def test_twin_the_shortest_border_gives_others() -> None:
    made = [pieces(seed) for seed in range(20)]
    assert (
        sum(not np.array_equal(joined_at_once(one, 20), joined_literally(one, 20, longest=False)) for one in made)
        > 10
    )


def test_borders_are_counted_in_edges_of_pixels() -> None:
    found = Borders.between(np.array([[1, 1, 2], [1, 3, 2], [0, 3, 2]]))
    pairs = list(zip(found.one.tolist(), found.other.tolist(), found.length.tolist(), strict=True))
    assert pairs == [(1, 2, 1), (1, 3, 2), (2, 3, 2)]


FIELDS = np.array([[9, 9, 9, 1, 8, 8, 8, 8]], np.float64) / 10


def maps(energy: NDArray[np.float64], classes: NDArray[Any] | None = None) -> Maps:
    levels = np.rint(energy * 65535).astype(np.uint16)
    kinds = np.zeros(energy.shape, np.uint8) if classes is None else classes.astype(np.uint8)
    return Maps(kinds, levels, np.full(energy.shape, 255, np.uint8), np.zeros(energy.shape, np.uint8))


@pytest.mark.parametrize(("join", "expected"), [(True, [1, 1, 1, 1, 1, 0, 2, 2]), (False, [1, 1, 1, 1, 0, 0, 2, 2])])
def test_a_sliver_becomes_part_of_a_field_or_is_left_out(join: bool, expected: list[int]) -> None:
    energy = np.array([[9, 9, 9, 1, 5, 0, 8, 8]]) / 10
    classes = np.where(np.arange(8) == 5, IGNORE_INDEX, 0)[None]
    ids, things = group(maps(energy, classes), (0,), rise=0.3, least_pixels=2, join=join)
    assert ids.tolist() == [expected]
    assert things.pixels.tolist() == [5 if join else 4, 2]


def test_things_of_another_class_and_lone_ones_take_nothing() -> None:
    classes = np.array([[0, 0, 0, 1, 2, 0]])
    ids, _ = group(maps(np.full((1, 6), 0.5), classes), (0, 1), rise=0.1, least_pixels=2, join=True)
    assert ids.tolist() == [[1, 1, 1, 0, 0, 0]]
