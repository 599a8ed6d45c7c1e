"""Assignment of near things: equal to SciPy's on the whole problem, and to all assignments there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from landseg.metrics import assignment as module
from landseg.metrics.assignment import assign, growth
from landseg.metrics.matching import take_in_turn
from landseg.metrics.nearby import Nearby

RADIUS = 6.0
Assign = Callable[[Nearby], np.ndarray]


def scene(seed: int, most: int = 30, edge: float = 30.0) -> Nearby:
    """Return points of a plane, many of them in each other's reach, some at equal distances."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most, 2)
    sides = [rng.random((n, 2)) * edge if seed % 2 else rng.integers(0, int(edge), (n, 2)) for n in counts]
    return Nearby.of(*sides, RADIUS)


def mine(near: Nearby) -> np.ndarray:
    sizes = len(near.true_place), len(near.found_place)
    return assign(near.true_index, near.found_index, near.distance, sizes)


def whole(near: Nearby) -> tuple[int, float]:
    """Return the number of pairs and their distance of SciPy's assignment of the whole matrix.

    A pair beyond the radius costs more than all pairs within it, so that it stands for no pair.
    """
    far = RADIUS * (1 + min(len(near.true_place), len(near.found_place)))
    apart = np.hypot(*np.moveaxis(near.true_place[:, None] - near.found_place, -1, 0))
    cost = np.where(apart <= RADIUS, apart, far)
    rows, columns = linear_sum_assignment(cost)
    pairs = apart[rows, columns] <= RADIUS
    return int(pairs.sum()), float(apart[rows, columns][pairs].sum())


def check_whole(found: Assign, near: Nearby) -> None:
    pairs = found(near)
    for side in (near.true_index, near.found_index):
        assert len(np.unique(side[pairs])) == len(pairs)
    count, total = whole(near)
    assert len(pairs) == count
    assert near.distance[pairs].sum() == pytest.approx(total, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_scipys_of_the_whole_problem(seed: int) -> None:
    check_whole(mine, scene(seed))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 10_000]))
def test_it_is_the_same_however_groups_are_put_together(seed: int, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        check_whole(mine, scene(seed, most=200, edge=150.0))


def greedy(near: Nearby) -> np.ndarray:
    """The nearest pair first, as a twin."""
    order = np.argsort(near.distance, kind="stable")
    return order[take_in_turn(near.true_index[order], near.found_index[order])]


def dropped(near: Nearby) -> np.ndarray:
    """All points assigned, and pairs beyond the radius dropped afterwards, as a twin."""
    apart = np.hypot(*np.moveaxis(near.true_place[:, None] - near.found_place, -1, 0))
    rows, columns = linear_sum_assignment(apart)
    kept = {*zip(rows.tolist(), columns.tolist(), strict=True)}
    both = zip(near.true_index.tolist(), near.found_index.tolist(), strict=True)
    return np.array([k for k, pair in enumerate(both) if pair in kept], int)


@pytest.mark.parametrize("twin", [greedy, dropped])
def test_twin_another_rule_is_not(twin: Assign) -> None:
    failed = 0
    for seed in range(40):
        try:
            check_whole(twin, scene(seed))
        except AssertionError:
            failed += 1
    assert failed > 10


def test_pairs_beyond_the_radius_are_not_worth_one_within() -> None:
    # The shortest assignment of all is 0 m and 7.8 m, of which one is left. Within 6 m two pairs are possible.
    near = Nearby.of([[0, 0], [5, 0]], [[5, 0], [5, 6]], RADIUS)
    assert len(mine(near)) == 2 and len(dropped(near)) == 1


def assignments(near: Nearby) -> Iterator[list[int]]:
    """Yield all one-to-one assignments as positions of pairs."""
    for flags in product((False, True), repeat=len(near.distance)):
        chosen = np.flatnonzero(flags)
        if all(len(np.unique(side[chosen])) == len(chosen) for side in (near.true_index, near.found_index)):
            yield chosen.tolist()


def check_brute_force(found: Callable[[Nearby, np.ndarray, np.ndarray], np.ndarray], seed: int) -> None:
    rng = np.random.default_rng(seed)
    near = Nearby.of(rng.random((4, 2)) * 11, rng.random((4, 2)) * 11, RADIUS)
    if len(near.distance) > 11:
        return
    first = rng.random(4) < 0.5, rng.random(4) < 0.5

    def of(chosen: list[int] | np.ndarray) -> tuple[float, ...]:
        sides = zip(first, (near.true_index, near.found_index), strict=True)
        return len(chosen), *(int(flags[side[chosen]].sum()) for flags, side in sides), near.distance[chosen].sum()

    every = [of(one) for one in assignments(near)]
    most = [max(one[k] for one in every) for k in range(3)]
    least = min(one[3] for one in every if list(one[:3]) == most)
    assert of(found(near, *first)) == (*most, pytest.approx(least))


def preferring(near: Nearby, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return assign(near.true_index, near.found_index, near.distance, (4, 4), left_first=left, right_first=right)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_the_best_of_all_and_keeps_most_that_come_first(seed: int) -> None:
    check_brute_force(preferring, seed)


def test_twin_without_preference_it_is_not() -> None:
    failed = 0
    for seed in range(60):
        try:
            check_brute_force(lambda near, *_: mine(near), seed)
        except AssertionError:
            failed += 1
    assert failed > 3


def check_growth(grow: Callable[..., np.ndarray], seed: int) -> None:
    near = scene(seed)
    order = np.random.default_rng(seed).permutation(len(near.found_place))
    sizes = len(near.true_place), len(near.found_place)
    grown = np.cumsum(grow(near.true_index, near.found_index, order, sizes))
    for n in range(1, len(order) + 1):
        pairs = np.isin(near.found_index, order[:n])
        sides = near.true_index[pairs], near.found_index[pairs], near.distance[pairs]
        assert grown[n - 1] == len(assign(*sides, sizes))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_growth_counts_the_pairs_of_every_part(seed: int) -> None:
    check_growth(growth, seed)


def test_twin_growth_without_paths_does_not() -> None:
    def nearest(left: np.ndarray, right: np.ndarray, order: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
        taken: set[int] = set()
        grown = np.zeros(len(order), bool)
        for turn, node in enumerate(order):
            free = [one for one in left[right == node].tolist() if one not in taken]
            taken |= set(free[:1])
            grown[turn] = bool(free)
        return grown

    with pytest.raises(AssertionError):
        for seed in range(10):
            check_growth(nearest, seed)


def test_nothing_is_near() -> None:
    for sides in (([], []), ([[0, 0]], []), ([], [[0, 0]]), ([[0, 0]], [[9, 0]])):
        near = Nearby.of(*sides, RADIUS)
        assert len(near.distance) == 0 and mine(near).tolist() == []
        assert not growth(near.true_index, near.found_index, np.arange(len(near.found_place)), (1, 1)).any()
    with pytest.raises(ValueError, match="radius above 0"):
        Nearby.of([], [], 0)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_pairs_are_those_within_the_radius(seed: int) -> None:
    near = scene(seed)
    apart = np.hypot(*np.moveaxis(near.true_place[:, None] - near.found_place, -1, 0))
    want = np.argwhere(apart <= RADIUS)
    assert np.array_equal(np.column_stack([near.true_index, near.found_index]), want)
    assert np.array_equal(near.distance, apart[tuple(want.T)])
    kept = np.arange(len(near.true_place)) % 2 == 0, np.arange(len(near.found_place)) % 3 > 0
    part, again = near.only(*kept), Nearby.of(near.true_place[kept[0]], near.found_place[kept[1]], RADIUS)
    for name in ("true_index", "found_index", "distance", "true_place"):
        assert np.array_equal(getattr(part, name), getattr(again, name))
