"""Distances of matched outlines: those of all pairs of corners, however the raster is cut."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics.matched_outlines import UNKNOWN, MatchedOutlines


def _scene(seed: int, height: int = 15, width: int = 13) -> tuple[np.ndarray, np.ndarray]:
    """Return cells with the numbers 0 to 4 and a few unknown pixels, and the same ones moved."""
    rng = np.random.default_rng(seed)
    sites = rng.random((9, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width]
    cells = np.hypot(rows[..., None] - sites[:, 0], columns[..., None] - sites[:, 1]).argmin(-1)
    true = rng.integers(0, 5, 9)[cells]
    found = np.roll(true, rng.integers(-2, 3, 2), (0, 1))
    unknown = rng.random(true.shape) < 0.02
    return np.where(unknown, UNKNOWN, true), np.where(unknown, UNKNOWN, found)


def _corners(ids: np.ndarray, number: int) -> dict[tuple[int, int], float]:
    """Return the length of outline at each corner of one object, from the picture of its four pixels."""
    found = {}
    for row in range(1, ids.shape[0]):
        for column in range(1, ids.shape[1]):
            four = ids[row - 1 : row + 1, column - 1 : column + 1]
            inside = four == number
            if inside.all() or not inside.any() or (four == UNKNOWN).any():
                continue
            straight = inside.sum() == 2 and ((inside[0] == inside[1]).all() or (inside[:, 0] == inside[:, 1]).all())
            diagonals = 1 if inside.sum() in (1, 3) else 2
            found[row, column] = 1.0 if straight else diagonals * math.sqrt(0.5)
    return found


def _by_corners(true: np.ndarray, found: np.ndarray) -> list[tuple[float, float]]:
    """Return distance and length of each corner of each outline of both sides, ascending."""
    rows = []
    for number in range(1, 5):
        sides = _corners(true, number), _corners(found, number)
        for one, other in (sides, sides[::-1]):
            for corner, length in one.items():
                rows.append((min((math.dist(corner, there) for there in other), default=math.inf), length))
    return sorted(rows)


def _lengths(rows: list[tuple[float, float]], distances: np.ndarray) -> list[float]:
    sums = [sum(length for away, length in rows if away == one) for one in distances]
    return [*sums, sum(length for away, length in rows if away > distances[-1])]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([2.0, 4.0, 30.0]))
def test_distances_are_those_of_all_pairs_of_corners(seed: int, reach: float) -> None:
    true, found = _scene(seed)
    made = MatchedOutlines(reach=reach)
    made.update(true, found)
    rows = _by_corners(true, found)
    np.testing.assert_allclose(made.lengths(), _lengths(rows, made.distances), atol=1e-9)


def test_twin_any_outline_in_place_of_the_partner_is_nearer() -> None:
    differs = 0
    for seed in range(10):
        true, found = _scene(seed)
        one, twin = MatchedOutlines(reach=6), MatchedOutlines(reach=6)
        one.update(true, found)
        twin.update(np.where(true > 0, 1, true), np.where(found > 0, 1, found))
        differs += not np.array_equal(one.pieces, twin.pieces)
    assert differs == 10


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), *[st.lists(st.integers(1, 12), max_size=3)] * 2)
def test_parts_give_the_whole(seed: int, rows: list[int], columns: list[int]) -> None:
    true, found = _scene(seed)
    whole = MatchedOutlines(reach=3)
    whole.update(true, found)
    total, halo = MatchedOutlines(reach=3), whole.halo
    cuts = [list(pairwise(sorted({0, *at, size}))) for at, size in zip((rows, columns), true.shape, strict=True)]
    for parts in itertools.product(*cuts):
        around = tuple(slice(max(0, start - halo), end + halo) for start, end in parts)
        inside = [
            slice(start - part.start, end - part.start) for (start, end), part in zip(parts, around, strict=True)
        ]
        part = MatchedOutlines(reach=3)
        part.update(true[around], found[around], core=(inside[0], inside[1]))
        total.merge(part)
    np.testing.assert_array_equal(total.pieces, whole.pieces)


def test_twin_strips_without_a_halo_differ() -> None:
    true, found = _scene(3)
    whole, parts = MatchedOutlines(reach=3), MatchedOutlines(reach=3)
    whole.update(true, found)
    for rows in (slice(0, 7), slice(7, None)):
        parts.update(true[rows], found[rows])
    assert not np.array_equal(parts.pieces, whole.pieces)


def test_median_by_hand() -> None:
    true, found = np.zeros((2, 12, 20), int)
    true[3:9, 4:12], found[3:9, 6:14] = 1, 1
    made = MatchedOutlines((1.0, 0.5), reach=5)
    made.update(true, found)
    # Upper and lower sides lie on each other but for 2 px at either end; the upright sides are 2 px, 1 m apart.
    at = dict(zip(made.distances.tolist(), made.lengths()[:-1].tolist(), strict=True))
    assert at[0.0] == pytest.approx(4 * (6 * 0.5 + math.hypot(1, 0.5) / 2)) and at[1.0] > 2 * 2 * 5.0
    assert made.lengths().sum() == pytest.approx(2 * (12 + 8), rel=0.1)
    assert made.median() == 1.0
    short = MatchedOutlines((1.0, 0.5), reach=0.5)
    short.update(true, found)
    assert short.median() == math.inf
    same = MatchedOutlines()
    assert math.isnan(same.median())
    same.update(true, true)
    assert same.median() == 0


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="one spacing and one reach"):
        MatchedOutlines().merge(MatchedOutlines(reach=1))
    with pytest.raises(ValueError, match="spacing above 0"):
        MatchedOutlines((0, 1))
