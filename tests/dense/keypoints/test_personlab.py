"""PersonLab: votes, poses along edges that short offsets refine, and masks from long offsets."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.dense.keypoints.personlab import PersonLab, draw_masks, encode
from landseg.dense.keypoints.skeletons import OUTLINE, PERSON, RECTANGLE, Skeleton
from landseg.dense.keypoints.system import Maps, Piece
from landseg.errors import ModelError
from tests.parts.keypoints import EXACT, Floats, crowd, farthest_apart, houses, noisy, pieces

SHAPE = (40, 60)


def burnt(objects: list[Floats], shape: tuple[int, int] = SHAPE) -> NDArray[np.uint32]:
    """Return the number of the object around each unit, from 1 on."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    ids = np.zeros(shape, np.uint32)
    for number, one in enumerate(objects):
        hull = shapely.convex_hull(shapely.MultiPoint(one))
        ids[shapely.contains_xy(hull, columns, rows)] = number + 1
    return ids


def test_a_disc_votes_for_its_middle() -> None:
    one = Skeleton("pole", ("top",), (), (1.0,))
    maps = encode([np.array([[20.0, 15.0]]), np.array([[40.5, 15.0]])], one, SHAPE)
    votes = PersonLab(one, 5)._hough(Piece.whole(maps), 0)
    share = (np.mgrid[-8:9, -8:9] ** 2).sum(axis=0) <= 64
    assert votes[15, 20] == pytest.approx(share.sum() / (np.pi * 64))
    assert votes[15, 40] == pytest.approx(votes[15, 41]) and 0.4 < votes[15, 40] < 0.55
    assert np.count_nonzero(votes > 1e-9) == 3
    far = {**maps, "short": 3 * maps["short"]}  # the twin: offsets that miss
    assert PersonLab(one, 5)._hough(Piece.whole(far), 0).max() < 0.1


def bent(maps: Maps, by: float) -> Maps:
    """Return maps whose offsets along edges are wrong by so many units along x."""
    mid = maps["mid"].copy()
    mid[0::2] += by
    return {**maps, "mid": mid}


def test_short_offsets_refine_what_edges_lead_to(monkeypatch: pytest.MonkeyPatch) -> None:
    people = crowd(0, 3, 11.0)
    system, maps = PersonLab(PERSON, 45), bent(encode(people, PERSON, (42, 60)), 1.0)
    assert farthest_apart(system.decode(maps), people, PERSON) <= EXACT
    monkeypatch.setattr(PersonLab, "refine", lambda self, piece, places, kind, around: places)
    assert farthest_apart(system.decode(maps), people, PERSON) > EXACT


def test_a_seed_that_an_object_holds_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = houses(0)
    maps = encode(objects, RECTANGLE, SHAPE)
    assert len(PersonLab(RECTANGLE, 20).collect(Piece.whole(maps))) == 24
    assert len(PersonLab(RECTANGLE, 20).decode(maps)) == 6
    none = np.zeros(0, np.int64)
    monkeypatch.setattr(PersonLab, "conflicts", lambda self, evidence: (none, none))  # the twin
    assert len(PersonLab(RECTANGLE, 20).decode(maps)) == 24


def test_keypoints_beyond_the_reach_are_not_found() -> None:
    people = crowd(0, 1)
    maps = encode(people, PERSON, SHAPE)
    found = PersonLab(PERSON, 20).decode(maps)
    assert np.isnan(found.points).any()
    for points, seed in zip(found.each(), PersonLab(PERSON, 45).decode(maps).each(), strict=False):
        assert np.nanmax(np.linalg.norm(points[:, None] - points, axis=2)) <= 40
        assert len(points) == len(seed)


def test_masks_of_houses_are_their_own() -> None:
    objects = houses(0)
    ids = burnt(objects)
    maps, system = encode(objects, RECTANGLE, SHAPE, ids=ids), PersonLab(RECTANGLE, 20)
    found = system.decode(maps)
    drawn = draw_masks(Piece.whole(maps), found, system)
    assert (drawn > 0).sum() == (ids > 0).sum() > 200
    pairs = np.unique(np.stack([drawn.ravel(), ids.ravel()]), axis=1)
    assert pairs.shape[1] == 7  # none, and each object with one number alone
    turned = {**maps, "long": -maps["long"]}  # the twin
    assert not np.array_equal(draw_masks(Piece.whole(turned), found, system), drawn)


def test_masks_of_people_who_touch_are_their_own() -> None:
    people = crowd(2, 3, 9.0)
    ids = burnt(people, (42, 60))
    maps, system = encode(people, PERSON, (42, 60), ids=ids), PersonLab(PERSON, 45)
    drawn = draw_masks(Piece.whole(maps), system.decode(maps), system)
    assert np.unique(np.stack([drawn.ravel(), ids.ravel()]), axis=1).shape[1] == 4


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.lists(st.integers(1, 39), max_size=2),
    columns=st.lists(st.integers(1, 59), max_size=2),
)
@settings(max_examples=8, deadline=None)
def test_masks_are_the_same_for_any_cut(seed: int, rows: list[int], columns: list[int]) -> None:
    objects, system = houses(seed), PersonLab(RECTANGLE, 9, disc=3)
    maps = noisy(encode(objects, RECTANGLE, SHAPE, disc=3, ids=burnt(objects)), seed)
    found = system.decode(maps)
    whole, made = draw_masks(Piece.whole(maps), found, system), np.zeros(SHAPE, np.uint32)
    for piece in pieces(maps, rows, columns, system.context):
        made[piece.core.slices] = draw_masks(piece, found, system)
    assert np.array_equal(made, whole)


def test_skeletons_that_edges_do_not_join_are_refused() -> None:
    with pytest.raises(ModelError, match="'loose': no edges lead to 'c', which personlab needs"):
        PersonLab(Skeleton("loose", ("a", "b", "c"), (("a", "b"),), (1.0, 1.0, 1.0)), 9)
    with pytest.raises(ModelError, match=r"'outline' has any number of keypoints.*paf"):
        PersonLab(OUTLINE, 9)
