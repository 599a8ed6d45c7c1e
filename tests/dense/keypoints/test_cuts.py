"""Maps in pieces: the objects of each system are those of the whole raster, to the last bit."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.dense.keypoints import personlab
from landseg.dense.keypoints.associative import Associative
from landseg.dense.keypoints.centre_corners import CentreCorners
from landseg.dense.keypoints.multicut import Multicut
from landseg.dense.keypoints.paf import AffinityFields
from landseg.dense.keypoints.personlab import PersonLab
from landseg.dense.keypoints.skeletons import OUTLINE, RECTANGLE, Skeleton
from landseg.dense.keypoints.system import Maps, Piece, System, components, find_near, join_evidence
from tests.parts.keypoints import PERFECT, decode_cut, houses, noisy, same

SHAPE = (40, 60)
SYSTEMS: dict[str, tuple[Skeleton, System]] = {
    "centre_corners": (RECTANGLE, CentreCorners(RECTANGLE, 9, score=0.5)),
    "personlab": (RECTANGLE, PersonLab(RECTANGLE, 9, disc=3)),
    "paf": (OUTLINE, AffinityFields(OUTLINE, 12, share=0.4, sample=-0.5)),
    "associative": (RECTANGLE, Associative(RECTANGLE, 9, score=0.4)),
    "multicut": (RECTANGLE, Multicut(RECTANGLE, 12, score=0.6, method="greedy")),
}


def noisy_maps(name: str, seed: int) -> Maps:
    objects, skeleton = houses(seed), SYSTEMS[name][0]
    if name == "personlab":
        return noisy(personlab.encode(objects, skeleton, SHAPE, disc=3), seed)
    return noisy(PERFECT[name](objects, skeleton, SHAPE)[1], seed)


@pytest.mark.parametrize("name", SYSTEMS)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.lists(st.integers(1, 39), max_size=3),
    columns=st.lists(st.integers(1, 59), max_size=2),
)
@settings(max_examples=12, deadline=None)
def test_any_cut_gives_the_same(name: str, seed: int, rows: list[int], columns: list[int]) -> None:
    system, maps = SYSTEMS[name][1], noisy_maps(name, seed)
    assert same(decode_cut(system, maps, rows, columns), system.decode(maps))


@pytest.mark.parametrize("name", SYSTEMS)
def test_twin_pieces_without_their_context_give_something_else(name: str) -> None:
    system, found, wrong = SYSTEMS[name][1], 0, 0
    for seed in range(10):
        maps = noisy_maps(name, seed)
        whole = system.decode(maps)
        found += len(whole)
        wrong += not same(decode_cut(system, maps, [10, 20], [15, 30, 45], context=0), whole)
    assert found and wrong >= 2


@pytest.mark.parametrize("name", SYSTEMS)
def test_empty_maps_have_no_objects(name: str) -> None:
    system, maps = SYSTEMS[name][1], noisy_maps(name, 0)
    empty = {key: np.zeros_like(values) for key, values in maps.items()}
    assert len(system.decode(empty)) == 0 and system.decode(empty).each() == []


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_objects_give_maps_without_any(name: str) -> None:
    skeleton, system = SYSTEMS[name]
    encode = import_module(f"landseg.dense.keypoints.{name}").encode
    maps = encode([], skeleton, SHAPE, **({"reach": 9} if name == "associative" else {}))
    assert len(system.decode(maps)) == 0


def test_pairs_name_their_candidates_whatever_the_order_of_pieces() -> None:
    system, maps = SYSTEMS["paf"][1], noisy_maps("paf", 3)
    for evidence in (system.collect(Piece.whole(maps)), join_evidence([system.collect(Piece.whole(maps))])):
        index = evidence.pair_index()
        assert len(index) > 10
        for side in (0, 1):
            assert np.array_equal(evidence.unit[index[:, side]], evidence.pairs[:, side, :2])


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 5))
@settings(max_examples=25)
def test_near_places_are_all_within_reach(seed: int, reach: float) -> None:
    random = np.random.default_rng(seed)
    one, other = random.uniform(0, 10, (12, 2)), random.uniform(0, 10, (9, 2))
    expected = np.argwhere(np.linalg.norm(one[:, None] - other, axis=2) <= reach)
    first, second, distance = find_near(one, other, reach)
    assert np.array_equal(np.stack([first, second], axis=1), expected)
    assert np.allclose(distance, np.linalg.norm(one[first] - other[second], axis=1))


def test_groups_are_what_pairs_connect() -> None:
    groups = components(6, np.array([[4, 2], [2, 5], [3, 3]]))
    assert [group.tolist() for group in groups] == [[0], [1], [2, 4, 5], [3]]
    assert components(0, np.zeros((0, 2), np.int64)) == []
