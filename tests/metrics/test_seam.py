"""Errors by distance to the windows' borders: distances by hand, a seam that is found, and one that is not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics.seam import BorderErrors


def test_distances_by_hand() -> None:
    truth, predicted = np.zeros((1, 8), np.uint8), np.zeros((1, 8), np.uint8)
    predicted[0, 3], truth[0, 7], predicted[0, 6] = 1, 255, 255
    errors = BorderErrors([], [4], reach=3)
    errors.update(truth, predicted)
    # Columns 3 and 4 adjoin the border; 6 has no data, which is an error; 7 is not labelled; 0 is 3 away.
    assert errors.compute().tolist() == [[2, 1], [2, 0], [2, 1], [1, 0]]
    corner = BorderErrors([2], [2], reach=5)
    corner.update(np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.uint8))
    # Rows and columns are 1, 0, 0, 1, 2 away; the nearer of the two counts.
    assert corner.compute()[:, 0].tolist() == [16, 8, 1, 0, 0, 0]
    assert (corner.compute()[:, 1] == 0).all()


def test_without_borders_everything_is_far() -> None:
    errors = BorderErrors([], [], reach=4)
    errors.update(np.zeros((3, 3), np.uint8), np.ones((3, 3), np.uint8))
    assert errors.compute().tolist() == [[0, 0]] * 4 + [[9, 9]]
    assert np.isnan(errors.seam(2).ratio)


borders = st.lists(st.integers(1, 39), max_size=4)


@settings(max_examples=40)
@given(borders, borders, st.integers(1, 100), st.integers(0, 40), st.integers(0, 40), st.integers(3, 9))
def test_parts_add_up_to_a_brute_force_count(
    rows: list[int], columns: list[int], reach: int, i: int, j: int, edge: int
) -> None:
    truth, predicted = np.random.default_rng(0).choice([0, 1, 255], (2, 40, 40)).astype(np.uint8)
    whole = BorderErrors(rows, columns, reach=reach, edge=edge)
    whole.update(truth, predicted)
    first, second = (BorderErrors(rows, columns, reach=reach, edge=edge) for _ in range(2))
    for errors, top, left in ((first, 0, 0), (second, 0, j), (second, i, 0), (first, i, j)):
        part = slice(top, i if top == 0 else 40), slice(left, j if left == 0 else 40)
        if (top, left) in ((0, 0), (i, j)) or min(i, j) > 0:
            errors.update(truth[part], predicted[part], top=top, left=left)
    if min(i, j) > 0:
        first.merge(second)
        assert np.array_equal(first.compute(), whole.compute())
        assert np.array_equal(first.tiles.stacked(), whole.tiles.stacked())
    want = np.zeros((reach + 1, 2), int)
    for y, x in np.ndindex(40, 40):
        away = [at - 1 - p if p < at else p - at for p, some in ((y, rows), (x, columns)) for at in some]
        if truth[y, x] != 255:
            want[min([*away, reach])] += (1, truth[y, x] != predicted[y, x])
    assert np.array_equal(whole.compute(), want)


def _scene(rate_at_borders: float) -> tuple[np.ndarray, np.ndarray, range]:
    rng = np.random.default_rng(4)
    rates = np.full((256, 256), 0.1)
    at = range(32, 256, 32)
    for border in at:
        rates[border - 2 : border + 2] = rates[:, border - 2 : border + 2] = rate_at_borders
    return np.zeros((256, 256), np.uint8), (rng.random((256, 256)) < rates).astype(np.uint8), at


def test_a_seam_is_found_and_none_where_there_is_none() -> None:
    for rate, seam in ((0.2, True), (0.1, False)):
        truth, predicted, at = _scene(rate)
        errors = BorderErrors(at, at, edge=64)
        errors.update(truth, predicted)
        found = errors.seam(2)
        assert found.near == pytest.approx(rate, abs=0.01) and found.far == pytest.approx(0.1, abs=0.01)
        assert found.low < found.ratio < found.high and (found.low > 1) == seam
    # Twin: borders at the wrong place see no seam.
    truth, predicted, at = _scene(0.2)
    wrong = BorderErrors([b - 16 for b in at], [b - 16 for b in at], edge=64)
    wrong.update(truth, predicted)
    assert wrong.seam(2).low < 1


def test_refusals() -> None:
    with pytest.raises(ValueError, match="the same borders"):
        BorderErrors([1], []).merge(BorderErrors([2], []))
    with pytest.raises(ValueError, match="squares of one size"):
        BorderErrors([1], []).merge(BorderErrors([1], [], reach=3))
    with pytest.raises(ValueError, match="1 to 64 pixels, got 65"):
        BorderErrors([1], []).seam(65)
    with pytest.raises(ValueError, match="reach must be"):
        BorderErrors([1], [], reach=0)
    one = BorderErrors([2], [])
    one.update(np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8))
    assert np.isnan(one.seam(1).low) and one.seam(1).ratio == 1  # a single block: no interval
