"""Matching: equal to the rule's own loops, and the kinds of errors by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics.matching import Verdict, by_score, match, verdicts
from landseg.metrics.overlaps import Overlaps, objects
from tests.parts.objects import Scene, matched_by_loops, random_scene

FLOORS = np.array([0.1, 0.5, 0.75, 1.0])


def _matched(seed: int, *, backwards: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth that each detection takes at each threshold, by the library and by loops."""
    scene = random_scene(seed)
    one = scene.overlaps(listed_later=seed % 2 == 1)
    order = by_score(scene.scores)
    aside = scene.crowd | (one.true.area < 60)
    pairs = match(one, one.iou(), order[::-1] if backwards else order, aside, FLOORS)
    got = np.array([[one.true_index[pair] if pair >= 0 else -1 for pair in row] for row in pairs], int)
    loops = [matched_by_loops(scene.iou(), order, aside, scene.crowd, floor) for floor in FLOORS]
    return got.reshape(len(FLOORS), -1), np.array(loops)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000))
def test_equal_to_the_loops_of_the_rule(seed: int) -> None:
    got, want = _matched(seed)
    assert np.array_equal(got, want)


def test_twin_another_order_is_not() -> None:
    assert any(not np.array_equal(*_matched(seed, backwards=True)) for seed in range(20))


def _pairs(*shared: tuple[int, int, float], true: list[float], found: list[float]) -> Overlaps:
    one = np.array(shared, float).reshape(-1, 3)
    return Overlaps(objects(true), objects(found), one[:, 0].astype(int), one[:, 1].astype(int), one[:, 2])


def test_of_equal_ious_the_later_truth_and_of_no_threshold_nothing() -> None:
    one = _pairs((0, 0, 8), (1, 0, 8), (1, 1, 8), true=[10, 10], found=[10, 10])
    taken = match(one, one.iou(), np.arange(2), np.zeros(2, bool), np.array([0.5]))[0]
    assert one.true_index[taken[0]] == 1 and taken[1] == -1  # the first detection took what the second could have
    taken = match(one, one.iou(), np.array([1]), np.zeros(2, bool), np.array([0.5]))[0]
    assert taken.tolist() == [-1, 2]  # who does not take part takes nothing
    assert match(one, one.iou(), np.arange(2), np.zeros(2, bool), np.zeros(0)).shape == (0, 2)


SCENE = _pairs(
    (0, 0, 10), (1, 0, 10),  # 0 covers two truths
    (2, 1, 4), (2, 2, 4),  # two lie in one
    (3, 3, 8),  # a hit
    (4, 4, 2),  # too small a part of either
    true=[10, 10, 20, 10, 10], found=[30, 4, 4, 10, 10, 7],
)  # fmt: skip


def _verdicts(one: Overlaps, kept: list[bool]) -> tuple[list[str], list[str]]:
    keep = np.array(kept)
    taken = match(one, one.iou(), np.flatnonzero(keep), one.true.ignored, np.array([0.5]))[0]
    true, found = verdicts(one, taken, keep)
    return [Verdict(k).name for k in true], [Verdict(k).name for k in found]


def test_errors_by_hand() -> None:
    assert _verdicts(SCENE, [True] * 6) == (
        ["MERGED", "MERGED", "SPLIT", "FOUND", "MISSED"],
        ["INVOLVED", "INVOLVED", "INVOLVED", "FOUND", "INVENTED", "INVENTED"],
    )
    # Without one of the two pieces nothing is split, and without the large one nothing is merged.
    assert _verdicts(SCENE, [False, False, True, True, True, True]) == (
        ["MISSED", "MISSED", "MISSED", "FOUND", "MISSED"],
        ["BELOW", "BELOW", "INVENTED", "FOUND", "INVENTED", "INVENTED"],
    )


def _slow(scene: Scene, kept: np.ndarray, taken: np.ndarray, share: float = 0.5) -> tuple[list[str], list[str]]:
    """Return the outcomes by their definitions, from masks; `taken` is the truth (D,) that each detection takes."""
    true, found = scene.true, scene.found

    def parts(of: np.ndarray, within: np.ndarray) -> bool:
        return bool((of & within).sum() >= share * of.sum())

    judged = [t for t in range(len(true)) if not scene.crowd[t]]
    counted = [d for d in range(len(found)) if kept[d]]
    covered = {d: [t for t in judged if parts(true[t], found[d])] for d in counted}
    lying = {t: [d for d in counted if parts(found[d], true[t])] for t in judged}
    merging = {d for d in counted if len(covered[d]) >= 2}
    splitting = {d for t in judged if len(lying[t]) >= 2 for d in lying[t]}
    of_true = [
        "IGNORED" if t not in judged
        else "FOUND" if t in taken[kept]
        else "MERGED" if any(t in covered[d] for d in merging)
        else "SPLIT" if len(lying[t]) >= 2
        else "MISSED"
        for t in range(len(true))
    ]  # fmt: skip
    of_found = [
        "BELOW" if d not in counted
        else ("IGNORED" if scene.crowd[taken[d]] else "FOUND") if taken[d] >= 0
        else "INVOLVED" if d in merging | splitting
        else "INVENTED"
        for d in range(len(found))
    ]  # fmt: skip
    return of_true, of_found


def _both(seed: int, share: float = 0.5) -> tuple[object, object]:
    scene = random_scene(seed)
    one, kept = scene.overlaps(), scene.scores >= 0.3
    pairs = match(one, one.iou(), by_score(scene.scores), scene.crowd, np.array([0.5]))[0]
    taken = np.array([one.true_index[pair] if pair >= 0 else -1 for pair in pairs], int)
    got = verdicts(one, pairs, kept)
    return tuple([Verdict(k).name for k in side] for side in got), _slow(scene, kept, taken, share)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_errors_are_those_of_their_definitions(seed: int) -> None:
    got, want = _both(seed)
    assert got == want


def test_twin_with_another_share_they_are_not() -> None:
    assert any(got != want for got, want in (_both(seed, 0.7) for seed in range(30)))


def test_half_is_enough_and_less_is_not() -> None:
    for part, kinds in ((5.0, ["MERGED", "MERGED"]), (4.9, ["MISSED", "MISSED"])):
        one = _pairs((0, 0, 10), (1, 0, part), true=[10, 10], found=[40])
        assert _verdicts(one, [True])[0] == kinds
    for part, kind in ((2.0, "SPLIT"), (1.9, "MISSED")):
        one = _pairs((0, 0, 4), (0, 1, part), true=[20], found=[4, 4])
        assert _verdicts(one, [True, True])[0] == [kind]


def test_a_found_truth_is_neither_merged_nor_split_but_others_may_be_by_its_detection() -> None:
    one = _pairs((0, 0, 20), (1, 0, 4), true=[20, 6], found=[26])
    assert _verdicts(one, [True]) == (["FOUND", "MERGED"], ["FOUND"])
    one = _pairs((0, 0, 15), (0, 1, 4), true=[20], found=[15, 4])
    assert _verdicts(one, [True, True]) == (["FOUND"], ["FOUND", "INVOLVED"])


def test_ignored_objects_are_no_errors() -> None:
    true, found = objects([10, 10], ignored=[True, False]), objects([10, 10, 6], ignored=[False, False, True])
    one = Overlaps(true, found, np.array([0]), np.array([0]), np.array([7.0]))
    assert _verdicts(one, [True] * 3) == (["IGNORED", "MISSED"], ["IGNORED", "INVENTED", "IGNORED"])


def test_scores_keep_their_order() -> None:
    assert by_score(np.array([0.1, 0.9, 0.1, 0.9])).tolist() == [1, 3, 0, 2]


def test_a_full_match_passes_a_threshold_of_one() -> None:
    one = _pairs((0, 0, 3), true=[3], found=[3])
    assert match(one, one.iou() - 1e-12, np.arange(1), np.zeros(1, bool), np.ones(1)).tolist() == [[0]]
    assert match(one, one.iou() - 1e-6, np.arange(1), np.zeros(1, bool), np.ones(1)) == pytest.approx(-1)
