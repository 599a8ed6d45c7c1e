"""Objects as Points: peaks snap keypoints that are predicted badly, within bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from landseg.dense.keypoints.centre_corners import CentreCorners, encode
from landseg.dense.keypoints.skeletons import RECTANGLE
from landseg.dense.keypoints.system import Maps
from tests.parts.keypoints import EXACT, farthest_apart, houses

SHAPE = (40, 60)


def shaken(maps: Maps, by: float, seed: int = 0) -> Maps:
    """Return maps whose vectors from centres to corners are wrong by so many units along x and y."""
    vectors = maps["keypoints"]
    signs = np.random.default_rng(seed).choice([-1, 1], vectors.shape)
    return {**maps, "keypoints": vectors + by * signs * (vectors != 0)}


def test_peaks_snap_corners_that_are_a_little_off() -> None:
    objects = houses(0)
    system, maps = CentreCorners(RECTANGLE, 12), shaken(encode(houses(0), RECTANGLE, SHAPE), 0.6)
    assert farthest_apart(system.decode(maps), objects, RECTANGLE) <= EXACT
    twin = replace(system, snap=0)
    assert farthest_apart(twin.decode(maps), objects, RECTANGLE) > 0.5


def test_a_peak_beyond_the_bound_or_below_its_score_snaps_nothing() -> None:
    square = np.array([[10.0, 10], [20, 10], [20, 20], [10, 20]])
    maps = encode([square], RECTANGLE, SHAPE)
    system = CentreCorners(RECTANGLE, 12)
    far = {**maps, "heat": np.zeros_like(maps["heat"]), "keypoints": maps["keypoints"].copy()}
    for place, heat, snapped in (((13, 10), 1.0, True), ((14, 10), 1.0, False), ((13, 10), 0.05, False)):
        far["heat"][:] = 0
        far["heat"][0, place[1], place[0]] = heat
        (corners,) = system.decode({**far, "offset": np.zeros_like(maps["offset"])}).each()
        assert np.array_equal(corners[0], place if snapped else [10, 10])
        assert np.array_equal(corners[1:], square[1:])


def test_an_object_that_reaches_too_far_is_none() -> None:
    objects = houses(0)
    maps = encode(objects, RECTANGLE, SHAPE)
    reaches = sorted(float(np.linalg.norm(one - one.mean(axis=0), axis=1).max()) for one in objects)
    assert len(CentreCorners(RECTANGLE, reaches[-1] + 0.01).decode(maps)) == len(objects)
    between = (reaches[-1] + reaches[-2]) / 2
    assert len(CentreCorners(RECTANGLE, between).decode(maps)) == len(objects) - 1


def test_objects_have_the_scores_of_their_centres() -> None:
    maps = encode(houses(0), RECTANGLE, SHAPE)
    found = CentreCorners(RECTANGLE, 12).decode({**maps, "centre": 0.5 * maps["centre"]})
    assert found.score == pytest.approx(np.full(6, 0.5), abs=1e-4) and (found.scores == 1).all()
    assert len(CentreCorners(RECTANGLE, 12, score=0.6).decode({**maps, "centre": 0.5 * maps["centre"]})) == 0


def test_an_object_needs_as_many_keypoints_as_the_skeleton() -> None:
    with pytest.raises(ValueError, match="expected 4 keypoints an object, got 3"):
        encode([np.zeros((3, 2))], RECTANGLE, SHAPE)
