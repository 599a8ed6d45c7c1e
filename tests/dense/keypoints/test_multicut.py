"""The multicut: the best of all partitions, group by group, and the greedy one beside it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.dense.keypoints import multicut
from landseg.dense.keypoints.multicut import Multicut, Problem, encode, pair_tables, solve_exactly, solve_greedily
from landseg.dense.keypoints.skeletons import OUTLINE, PERSON, RECTANGLE
from landseg.dense.keypoints.system import components
from landseg.errors import ModelError, PlanError
from tests.parts.keypoints import EXACT, crowd, farthest_apart, houses


def random_problem(seed: int, count: int = 6, types: int = 3) -> Problem:
    random = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(random.uniform(size=(count, count)) < 0.8, 1))
    kind, most = random.integers(0, types, count), random.integers(1, 3, types)
    alone = (kind[pairs[:, 0]] == kind[pairs[:, 1]]) & (most[kind[pairs[:, 0]]] == 1)
    pairs = pairs[~alone]
    return Problem(random.normal(0, 1, count), pairs, random.normal(0.2, 1, len(pairs)), kind, most)


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Yield all partitions of all subsets of items."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for made in partitions(rest):
        yield made
        yield [[first], *made]
        for index, part in enumerate(made):
            yield [*made[:index], [first, *part], *made[index + 1 :]]


def allowed(problem: Problem, part: list[int]) -> bool:
    pairs = {tuple(pair) for pair in problem.pairs.tolist()}
    together = all((one, other) in pairs for one in part for other in part if one < other)
    return together and bool((np.bincount(problem.kind[part], minlength=len(problem.most)) <= problem.most).all())


def best_worth(problem: Problem) -> float:
    """Return the worth of the best partition of all, by trying them."""
    every = partitions(list(range(len(problem.own))))
    return max(
        problem.worth([np.array(part) for part in made])
        for made in every
        if all(allowed(problem, part) for part in made)
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_exact_method_finds_the_best_of_all_partitions(seed: int) -> None:
    problem = random_problem(seed)
    found, best = solve_exactly(problem), best_worth(problem)
    assert all(allowed(problem, part.tolist()) for part in found)
    assert problem.worth(found) == pytest.approx(best, abs=1e-6)
    greedy = solve_greedily(problem)
    assert all(allowed(problem, part.tolist()) for part in greedy)
    assert problem.worth(greedy) <= best + 1e-6


def test_twin_pairs_that_do_not_bring_the_third_are_no_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multicut, "_broken", lambda *arguments: iter(()))
    wrong = 0
    for seed in range(20):
        problem = random_problem(seed)
        found = solve_exactly(problem)
        good = all(allowed(problem, part.tolist()) for part in found)
        wrong += not good or abs(problem.worth(found) - best_worth(problem)) > 1e-6
    assert wrong > 2


def test_greedy_is_not_the_multicut() -> None:
    worse = sum(
        problem.worth(solve_greedily(problem)) < problem.worth(solve_exactly(problem)) - 1e-6
        for problem in map(random_problem, range(30))
    )
    assert worse > 2


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_groups_are_solved_as_the_whole_is(seed: int) -> None:
    one, other = random_problem(seed, 5), random_problem(seed + 1, 5)
    between = np.array([[index, 5 + (index + shift) % 5] for index in range(5) for shift in range(2)])
    whole = Problem(
        np.concatenate([one.own, other.own]),
        np.concatenate([one.pairs, other.pairs + 5, between]),
        np.concatenate([one.weights, other.weights, np.full(len(between), -0.5)]),
        np.concatenate([one.kind, other.kind]),
        np.minimum(one.most, other.most),
    )
    groups = components(10, whole.pairs[whole.weights > 0])
    assert len(groups) > 1
    parts = [group[members] for group in groups for members in solve_exactly(_part(whole, group))]
    assert whole.worth(parts) == pytest.approx(whole.worth(solve_exactly(whole)), abs=1e-6)


def _part(problem: Problem, group: np.ndarray) -> Problem:
    inside = np.isin(problem.pairs, group).all(axis=1)
    pairs = np.searchsorted(group, problem.pairs[inside])
    return Problem(problem.own[group], pairs, problem.weights[inside], problem.kind[group], problem.most)


@pytest.mark.parametrize("method", ["exact", "greedy"])
def test_both_methods_agree_on_perfect_maps(method: str) -> None:
    people, objects = crowd(0), houses(0)
    found = Multicut(PERSON, 40, method=method).decode(encode(people, PERSON, (42, 60)))  # type: ignore[arg-type]
    assert farthest_apart(found, people, PERSON) <= EXACT
    found = Multicut(RECTANGLE, 15, method=method).decode(encode(objects, RECTANGLE, (40, 60)))  # type: ignore[arg-type]
    assert farthest_apart(found, objects, RECTANGLE) <= EXACT


def test_twin_vectors_of_another_order_join_nothing() -> None:
    objects = houses(0)
    maps = dict(encode(objects, RECTANGLE, (40, 60)))
    maps["pairwise"] = -maps["pairwise"]
    assert farthest_apart(Multicut(RECTANGLE, 15).decode(maps), objects, RECTANGLE) > EXACT


def test_a_group_that_is_too_large_is_refused_and_the_greedy_method_named() -> None:
    square = np.array([[0.0, 0], [3, 0], [3, 3], [0, 3]])
    row = [square + np.array([4 + 3 * index, 4]) for index in range(26)]
    maps = encode(row, RECTANGLE, (12, 90))
    with pytest.raises(PlanError, match=r"a group of \d+ candidates around column \d+, row \d+.*up to 40.*'greedy'"):
        Multicut(RECTANGLE, 15, tolerance=4).decode(maps)
    assert len(Multicut(RECTANGLE, 15, tolerance=4, method="greedy").decode(maps)) > 0


def test_pairs_of_a_rectangle_are_the_next_the_opposite_and_the_last() -> None:
    assert pair_tables(RECTANGLE).tolist() == [[[[0, 2], [1, 1], [2, 0]]]]
    table = pair_tables(PERSON)
    assert table.shape == (17, 17, 1, 2) and (table[np.arange(17), np.arange(17)] == -1).all()
    assert len(np.unique(table[..., 0])) == 17 * 16 + 1


def test_a_candidate_below_even_odds_needs_others() -> None:
    heat = encode(houses(0), RECTANGLE, (40, 60))
    weak = {**heat, "heat": 0.45 * heat["heat"]}
    assert farthest_apart(Multicut(RECTANGLE, 15).decode(weak), houses(0), RECTANGLE) <= EXACT
    lone = {**weak, "pairwise": np.full_like(weak["pairwise"], np.nan)}
    assert len(Multicut(RECTANGLE, 15).decode(lone)) == 0


def test_outlines_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'outline' has any number of keypoints.*use the system paf"):
        Multicut(OUTLINE, 20)
