"""Peaks: by the definition on small maps, and the same for any strips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.dense.peaks import PeakRows, find_peaks


def peaks_literally(levels: NDArray[Any], radius: int) -> list[tuple[int, int]]:
    """Return the units that no other of their window comes before."""
    height, width = levels.shape

    def order(row: int, column: int) -> tuple[int, int, int]:
        return -int(levels[row, column]), row, column

    found = []
    for row in range(height):
        for column in range(width):
            window = [
                (y, x)
                for y in range(max(0, row - radius), min(height, row + radius + 1))
                for x in range(max(0, column - radius), min(width, column + radius + 1))
            ]
            if levels[row, column] and min(window, key=lambda unit: order(*unit)) == (row, column):
                found.append((row, column))
    return found


def in_strips(levels: NDArray[Any], heights: list[int], radius: int) -> list[tuple[int, int]]:
    rows, found, top, turn = PeakRows(levels.shape[1], radius=radius), [], 0, 0
    while top < len(levels):
        height = heights[turn % len(heights)]
        found.append(rows.add(levels[top : top + height]))
        top, turn = top + height, turn + 1
    found.append(rows.end())
    return [(int(row), int(column)) for some in found for row, column in zip(*some, strict=True)]


def random_map(seed: int, height: int, width: int, most: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, most, (height, width)).astype(np.uint16)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 4, 65536]),
    st.lists(st.integers(1, 5), min_size=1), st.integers(1, 3),
)  # fmt: skip
def test_peaks_of_any_strips_are_those_of_the_definition(
    seed: int, height: int, width: int, most: int, heights: list[int], radius: int
) -> None:
    levels = random_map(seed, height, width, most)
    expected = peaks_literally(levels, radius)
    assert in_strips(levels, heights, radius) == expected
    rows, columns = find_peaks(levels, radius)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_twin_strips_apart_give_others() -> None:
    def apart(levels: NDArray[Any]) -> list[tuple[int, int]]:
        parts = [(top, find_peaks(levels[top : top + 3])) for top in range(0, len(levels), 3)]
        return [(int(row) + top, int(column)) for top, found in parts for row, column in zip(*found, strict=True)]

    maps = [random_map(seed, 12, 12, 5) for seed in range(20)]
    assert sum(apart(one) != peaks_literally(one, 1) for one in maps) == 20


def test_a_plateau_has_one_peak() -> None:
    levels = np.zeros((5, 6), np.uint16)
    levels[1:3, 2:4] = 7
    assert in_strips(levels, [1], 1) == [(1, 2)]
    assert (levels[1:3, 2:4] == levels.max()).sum() == 4  # twin: every unit of it is a largest one


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match="width and a radius of 1 or more, not 4 and 0"):
        PeakRows(4, radius=0)
    with pytest.raises(ValueError, match="expected rows of 4 unsigned numbers"):
        PeakRows(4).add(np.zeros((2, 4), np.float32))
    rows = PeakRows(4)
    rows.end()
    with pytest.raises(ValueError, match="has ended"):
        rows.add(np.zeros((1, 4), np.uint16))
