"""Tags: losses by hand, groups within reach, and one assignment for each of them as for the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.dense.keypoints.associative import Associative, encode, tag_losses
from landseg.dense.keypoints.skeletons import OUTLINE, PERSON, RECTANGLE
from landseg.dense.keypoints.system import Evidence, Piece, join_evidence
from landseg.dense.keypoints.targets import farthest
from landseg.errors import ModelError
from tests.parts.keypoints import EXACT, crowd, farthest_apart, houses, same


def test_twin_without_a_reach_far_objects_with_one_tag_are_mixed() -> None:
    people = crowd(0, 2)
    town = [one + np.array([150 * number, 0]) for number in range(3) for one in people]
    maps = encode(town, PERSON, (42, 360), reach=farthest(town))
    assert len(np.unique(maps["tag"])) == 2  # far people have the tags of near ones
    system = Associative(PERSON, farthest(town))
    assert farthest_apart(system.decode(maps), town, PERSON) <= EXACT
    half = [one.copy() for one in town]
    half[0][5:] = np.nan  # of two people with one tag, one is a head and the other has none
    half[2][:5] = np.nan
    maps = encode(half, PERSON, (42, 360), reach=farthest(town))
    assert len(system.decode(maps)) == 6
    assert len(replace(system, reach=np.inf).decode(maps)) == 5


def test_twin_without_tags_people_are_mixed() -> None:
    people = crowd(1, 3, 4.0)
    system, maps = Associative(PERSON, farthest(people)), encode(people, PERSON, (42, 60), reach=farthest(people))
    assert farthest_apart(system.decode(maps), people, PERSON) <= EXACT
    assert farthest_apart(system.decode({**maps, "tag": 0 * maps["tag"]}), people, PERSON) > EXACT


def random_candidates(seed: int, count: int = 40) -> Evidence:
    """Return candidates of 17 types with tags near 0, 1.2 and 2.4 in two far places, scores all different."""
    random = np.random.default_rng(seed)
    unit = random.integers(0, 20, (count, 2)) + 200 * random.integers(0, 2, (count, 1))
    score = (random.permutation(count) + 1) / (count + 1)
    kind = random.integers(0, 17, count)
    made = replace(
        Evidence.of(unit, kind, np.zeros((count, 2)), score),
        values=1.2 * random.integers(0, 3, (count, 1)) + random.uniform(-0.2, 0.2, (count, 1)),
    )
    return join_evidence([made])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_groups_are_assigned_as_the_whole_is(seed: int) -> None:
    evidence, system = random_candidates(seed), Associative(PERSON, 30)
    pairs, count = system.links(evidence), len(evidence)
    linked = np.zeros((count, count), bool)
    linked[pairs[:, 0], pairs[:, 1]] = True
    whole = system.poses(evidence, system.assign(evidence, linked, np.arange(count)))
    assert same(system.group(evidence), whole)
    free = system.poses(evidence, system.assign(evidence, np.ones_like(linked), np.arange(count)))
    assert len(free) <= len(whole)


def test_twin_an_assignment_that_ignores_the_reach_is_another() -> None:
    differ = 0
    for seed in range(20):
        evidence = random_candidates(seed)
        differ += not same(Associative(PERSON, 30).group(evidence), Associative(PERSON, np.inf).group(evidence))
    assert differ == 20


def test_no_object_has_more_corners_than_its_skeleton() -> None:
    objects = houses(0)
    maps = dict(encode(objects, RECTANGLE, (40, 60), reach=farthest(objects)))
    maps["tag"] = 0 * maps["tag"]
    found = Associative(RECTANGLE, 100).decode(maps)
    assert [len(one) for one in found.each()] == [4] * len(found) and len(found) == 6
    assert farthest_apart(found, objects, RECTANGLE) > EXACT


def test_losses_by_hand() -> None:
    tags, owner = np.array([0.0, 1, 2, 3, 3]), np.array([7, 7, 7, 9, 9])
    pull, push = tag_losses(tags, owner)
    assert pull == pytest.approx((2 / 3 + 0) / 2)
    assert push == pytest.approx(0.5 * np.exp(-4.0))
    assert tag_losses(tags, np.zeros(5, int))[1] == 0 and tag_losses(np.zeros(0), np.zeros(0, int)) == (0, 0)
    nearer = tag_losses(np.array([0.0, 1, 2, 2, 2]), owner)[1]
    assert nearer > push


def test_candidates_without_a_tag_are_none() -> None:
    objects = houses(0)
    maps = encode(objects, RECTANGLE, (40, 60), reach=20)
    gone = {**maps, "tag": np.full_like(maps["tag"], np.nan)}
    assert len(Associative(RECTANGLE, 20).collect(Piece.whole(gone))) == 0


def test_outlines_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'outline' has any number of keypoints.*use the system paf"):
        Associative(OUTLINE, 20)
