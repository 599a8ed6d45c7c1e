"""Part affinity fields: the test of the samples, greedy edges in any grouping, and outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.dense.keypoints.paf import AffinityFields, encode
from landseg.dense.keypoints.skeletons import OUTLINE, PERSON, RECTANGLE
from landseg.dense.keypoints.system import Evidence, Piece, components, join_evidence
from landseg.errors import ModelError
from tests.parts.keypoints import EXACT, Floats, crowd, farthest_apart, houses, noisy

SHAPE = (40, 60)
SQUARE = np.array([[4.0, 4], [20, 4], [20, 20], [4, 20]])


def test_a_missing_wall_is_not_made_up() -> None:
    maps = encode([SQUARE], OUTLINE, SHAPE)
    system = AffinityFields(OUTLINE, 30)
    assert len(system.decode(maps)) == 1
    field = maps["field"].copy()
    field[:, :7, 8:14] = 0  # a gap of six units in the upper wall of 16
    assert len(system.decode({**maps, "field": field})) == 0
    assert len(replace(system, share=0).decode({**maps, "field": field})) == 1  # the twin


def test_twin_without_the_samples_people_are_mixed() -> None:
    wrong = 0
    for seed in range(8):
        people = crowd(seed, 3, 6.0)
        maps = encode(people, PERSON, (42, 60))
        assert farthest_apart(AffinityFields(PERSON, 40).decode(maps), people, PERSON) <= EXACT
        flat = {**maps, "field": np.ones_like(maps["field"])}  # a field that says nothing
        wrong += farthest_apart(AffinityFields(PERSON, 40).decode(flat), people, PERSON) > EXACT
    assert wrong == 8


def test_a_long_edge_pays_for_its_length() -> None:
    maps = encode([SQUARE], OUTLINE, SHAPE)
    scores = [
        AffinityFields(OUTLINE, reach).collect(Piece.whole(maps)).pair_score.max() for reach in (17.0, 24.0, 32.0)
    ]
    assert scores[1] - scores[0] == pytest.approx((24 - 17) / 2 / 16) and scores[2] - scores[1] == pytest.approx(0.25)


def _alone(evidence: Evidence, group: np.ndarray) -> Evidence:
    inside = np.isin(evidence.pair_index(), group).all(axis=1)
    return replace(
        evidence.chosen(group),
        pairs=evidence.pairs[inside], pair_kind=evidence.pair_kind[inside], pair_score=evidence.pair_score[inside],
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_groups_are_decided_as_the_whole_is(seed: int) -> None:
    system = AffinityFields(OUTLINE, 12, share=0.4, sample=-0.2)
    maps = noisy(encode(houses(seed), OUTLINE, SHAPE), seed)
    evidence = join_evidence([system.collect(Piece.whole(maps))])
    apart: list[Floats] = []
    for group in components(len(evidence), evidence.pair_index()):
        apart += system.group(_alone(evidence, group)).each()
    whole = system.group(evidence).each()
    assert sorted(one.tolist() for one in apart) == sorted(one.tolist() for one in whole)


def test_an_edge_that_would_give_a_second_keypoint_of_a_type_is_left_out() -> None:
    two = crowd(0, 2, 12.0)
    system = AffinityFields(PERSON, 40)
    evidence = join_evidence([system.collect(Piece.whole(encode(two, PERSON, (42, 60))))])
    index = evidence.pair_index()
    kinds = evidence.kind[index]
    ends = [np.flatnonzero(evidence.kind == kind) for kind in kinds[0]]
    crossing = (int(ends[0][0]), int(ends[1][1])), (int(ends[0][1]), int(ends[1][0]))
    objects = system._trees(evidence, [*system.edges(evidence), *crossing])
    assert all(len(set(evidence.kind[one].tolist())) == len(one) for one in objects)
    assert sorted(len(one) for one in objects) == [17, 17]


def test_outlines_start_at_their_first_corner_and_run_clockwise() -> None:
    corners = np.array([[4.0, 4], [16, 4], [16, 10], [24, 10], [24, 20], [4, 20]])
    (found,) = AffinityFields(OUTLINE, 30).decode(encode([np.roll(corners, 2, axis=0)], OUTLINE, SHAPE)).each()
    assert np.abs(found - corners).max() <= EXACT


def test_the_common_wall_of_houses_that_touch_cancels_out_and_they_become_one() -> None:
    pair = [SQUARE, SQUARE + np.array([16.5, 0])]
    (found,) = AffinityFields(OUTLINE, 30).decode(encode(pair, OUTLINE, SHAPE)).each()
    assert len(found) == 6
    near = [SQUARE, SQUARE + np.array([20, 0])]
    assert len(AffinityFields(OUTLINE, 20).decode(encode(near, OUTLINE, SHAPE))) == 2


def test_rectangles_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'rectangle' has several keypoints of one type.*'outline'"):
        AffinityFields(RECTANGLE, 20)
