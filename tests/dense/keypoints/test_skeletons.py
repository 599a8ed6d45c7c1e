"""Skeletons: data of a card, which contradict themselves in a sentence, and orders that mean the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from landseg.dense.keypoints.skeletons import (
    OUTLINE,
    PERSON,
    RECTANGLE,
    SKELETONS,
    Skeleton,
    closest_order,
)
from landseg.errors import ModelError
from tests.parts.keypoints import houses


@pytest.mark.parametrize("name", SKELETONS)
def test_a_card_keeps_a_skeleton(name: str) -> None:
    skeleton = SKELETONS[name]
    assert Skeleton.from_json(json.loads(json.dumps(skeleton.to_json()))) == skeleton


def test_corners_of_a_rectangle_are_of_one_type_and_joints_of_17() -> None:
    assert RECTANGLE.types == (0, 0, 0, 0) and RECTANGLE.sizes == (4,)
    assert RECTANGLE.pair_kinds(RECTANGLE.links) == (0, 0, 0, 0)
    assert RECTANGLE.pair_kinds(((0, 1), (0, 2), (0, 3), (1, 2))) == (0, 1, 2, 0)
    assert OUTLINE.types == (0,) and OUTLINE.links == ((0, 0),)
    assert PERSON.types == tuple(range(17)) and len(set(PERSON.pair_kinds(PERSON.links))) == len(PERSON.links) == 19


def test_the_person_is_that_of_coco() -> None:
    limbs = {frozenset(edge) for edge in PERSON.edges}
    assert frozenset({"left_ankle", "left_knee"}) in limbs and frozenset({"nose", "right_eye"}) in limbs
    assert len(limbs) == 19 and PERSON.sigmas == pytest.approx((0.026, *PERSON.sigmas[1:-1], 0.089))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an edge that names no keypoint": ({"edges": [["a", "d"]]}, "edge a - d names 'd'.*they are a, b, c"),
    "names twice": ({"keypoints": ["a", "a", "c"], "edges": []}, "names of keypoints that differ"),
    "no keypoint": ({"keypoints": [], "edges": [], "sigmas": []}, "names of keypoints that differ"),
    "too few sigmas": ({"sigmas": [1, 1]}, "a sigma above 0 for each of 3 keypoints"),
    "a sigma of 0": ({"sigmas": [1, 1, 0]}, "a sigma above 0"),
    "an unknown unit": ({"sigma_unit": "feet"}, "sigma_unit is 'feet'; expected 'share' or 'm'"),
    "no permutation": ({"symmetry": [[0, 0, 1]]}, r"\[0, 0, 1\] is no permutation of 0 to 2"),
    "a symmetry that turns an edge": ({"symmetry": [[1, 0, 2]]}, "does not map its edges onto its edges"),
    "half a symmetry": (
        {"edges": [["a", "b"], ["b", "c"], ["c", "a"]], "symmetry": [[1, 2, 0]]},
        r"lacks \[2, 0, 1\], which follows",
    ),
    "any number of three": ({"any_number": True}, "any_number goes with one keypoint.*it has 3"),
    "an entry that is not known": ({"colour": "red"}, "has no colour"),
    "edges as numbers": ({"edges": [[0, 1]]}, "edges is"),
}
GOOD: dict[str, Any] = {"name": "bow", "keypoints": ["a", "b", "c"], "edges": [["a", "b"]], "sigmas": [1, 1, 1]}


def test_a_card_that_is_sound_is_read() -> None:
    assert Skeleton.from_json(GOOD).links == ((0, 1),)


@pytest.mark.parametrize("name", BROKEN)
def test_a_card_that_contradicts_itself_is_refused(name: str) -> None:
    change, sentence = BROKEN[name]
    with pytest.raises(ModelError, match=sentence):
        Skeleton.from_json(GOOD | change)


def test_the_closest_of_four_orders_is_the_target() -> None:
    truth = np.stack(houses(0))
    turned = np.stack([np.roll(one, shift, axis=0) for shift, one in enumerate(truth)])
    near = truth + np.random.default_rng(0).normal(0, 0.2, truth.shape)
    assert np.array_equal(closest_order(near, turned, RECTANGLE), truth)
    backwards = truth[:, ::-1]  # the twin: a rectangle that runs the other way round is another one
    assert not np.array_equal(closest_order(near, backwards, RECTANGLE), truth)


def test_keypoints_that_are_not_there_do_not_choose_the_order() -> None:
    truth = np.stack(houses(1))
    holes = truth.copy()
    holes[:, 2] = np.nan
    assert np.array_equal(closest_order(truth, np.roll(holes, 1, axis=1), RECTANGLE), holes, equal_nan=True)


def test_without_a_symmetry_the_order_stays() -> None:
    truth = np.stack(houses(2))
    turned = np.roll(truth, 1, axis=1)
    assert np.array_equal(closest_order(truth, turned, replace(RECTANGLE, symmetry=())), turned)
