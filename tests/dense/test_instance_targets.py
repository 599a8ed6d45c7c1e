"""Targets of instances against their definition, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from landseg.dense.instance_targets import UNKNOWN, instance_targets
from landseg.dense.label_maps import OUTSIDE


def made(ids: NDArray[Any], *, border: float = 2.0, near: float = 4.0) -> dict[str, NDArray[np.uint8]]:
    """Return the targets of a map of ids."""
    maps = {
        "class": torch.zeros(ids.shape, dtype=torch.uint8),
        "instance": torch.from_numpy(ids.astype(np.int32)),
        "interior": torch.zeros(ids.shape, dtype=torch.uint8),
    }
    return {name: target.numpy() for name, target in instance_targets(maps, border=border, near=near).items()}


def defined(ids: NDArray[Any], *, border: float, near: float) -> dict[str, NDArray[np.uint8]]:
    """Return "boundary" and "near" by their definition: every pixel looks at every other."""
    height, width = ids.shape
    rows, columns = np.mgrid[:height, :width]
    boundary, close = np.zeros(ids.shape, np.uint8), np.zeros(ids.shape, np.uint8)
    for row in range(height):
        for column in range(width):
            squares = (rows - row) ** 2 + (columns - column) ** 2
            around = ids[squares <= border * border]
            reach = int(border)
            leaves = not (reach <= row < height - reach and reach <= column < width - reach)
            if ids[row, column] < 0:
                boundary[row, column] = UNKNOWN
            elif ((around >= 0) & (around != ids[row, column])).any() or (
                ids[row, column] > 0 and (around == OUTSIDE).any()
            ):
                boundary[row, column] = 1
            elif leaves or (around < 0).any():
                boundary[row, column] = UNKNOWN
            things = np.unique(ids[squares <= near * near])
            close[row, column] = (things > 0).sum() > 1
    return {"boundary": boundary, "near": close}


def town(seed: int, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return ids of overlapping rectangles, with patches of the unknown and of what lies outside."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(shape, np.int64)
    for number in [*range(1, 7), -1, -2]:
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        ids[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = number * 1_000_003
    return np.where(ids < 0, ids // 1_000_003, ids)


@pytest.mark.parametrize("seed", range(12))
def test_targets_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = town(seed, (int(rng.integers(3, 30)), int(rng.integers(3, 30))))
    border, near = float(rng.choice([2.0, 2.5, 3.85])), float(rng.choice([2.0, 4.0, 5.2]))
    found, expected = made(ids, border=border, near=near), defined(ids, border=border, near=near)
    for name, target in expected.items():
        np.testing.assert_array_equal(found[name], target, name)


def test_twin_a_square_in_place_of_the_disc_is_found() -> None:
    ids = np.zeros((21, 21), np.int64)
    ids[:8, :8] = 1  # beyond its corner a square reaches farther than a disc
    square = np.zeros(ids.shape, np.uint8)
    square[6:10, :10] = square[:10, 6:10] = 1
    found, expected = made(ids)["boundary"], defined(ids, border=2.0, near=4.0)["boundary"]
    np.testing.assert_array_equal(found, expected)
    assert (found != square)[2:-2, 2:-2].any()


def test_nothing_is_said_of_a_boundary_where_nothing_is_known() -> None:
    ids = np.zeros((20, 20), np.int64)
    ids[:, :10], ids[:, 10:] = 5, -1
    boundary = made(ids)["boundary"]
    assert (boundary[:, 10:] == UNKNOWN).all()
    assert (boundary[2:-2, 8:10] == UNKNOWN).all()  # the object may go on: no boundary towards the unknown
    assert (boundary[2:-2, 2:8] == 0).all()
    unlabelled = made(np.full((9, 9), -1))
    assert (unlabelled["boundary"] == UNKNOWN).all() and not unlabelled["near"].any()


def test_an_object_ends_at_its_own_outline_whatever_lies_outside() -> None:
    """Polygons of a part of the fields: what lies beside them is not known, but that they end there is."""
    ids = np.full((30, 40), OUTSIDE, np.int64)
    ids[5:25, 5:15], ids[5:25, 15:35] = 7, 8
    ids[10:14, 20:30] = 0  # a pond in a field is no object
    boundary = made(ids)["boundary"]
    inside = ids > 0
    edge = np.zeros(ids.shape, bool)
    edge[5:25, 5:7] = edge[5:25, 13:17] = edge[5:25, 33:35] = edge[5:7, 5:35] = edge[23:25, 5:35] = True
    edge[8:16, 20:30] = edge[10:14, 18:32] = True
    edge[9, 19] = edge[9, 30] = edge[14, 19] = edge[14, 30] = True
    assert (boundary[inside] == (edge & inside)[inside]).all()
    assert (boundary[ids == OUTSIDE] == UNKNOWN).all()
    # Twin: where objects may go on beside their labels, nothing is known of the outer edge.
    open_ended = made(np.where(ids == OUTSIDE, -1, ids))["boundary"]
    assert (open_ended[5:25, 5:7] == UNKNOWN).all() and (open_ended[9:21, 14:16] == 1).all()


def test_beside_no_object_what_lies_outside_is_unknown() -> None:
    """Of a polygon that is no object, such as a lake, it is not known whether a field begins beside it."""
    ids = np.zeros((20, 20), np.int64)
    ids[:, 10:] = OUTSIDE
    boundary = made(ids)["boundary"]
    assert (boundary[2:-2, 8:] == UNKNOWN).all() and (boundary[2:-2, 2:8] == 0).all()


def test_twin_the_unknown_as_one_more_object_gives_a_boundary() -> None:
    ids = np.zeros((20, 20), np.int64)
    ids[:, :10], ids[:, 10:] = 5, 6
    assert (made(ids)["boundary"][:, 8:12] == 1).all()


def test_near_needs_two_things() -> None:
    ids = np.zeros((15, 40), np.int64)
    ids[4:11, 4:10], ids[4:11, 13:20], ids[4:11, 32:38] = 1, 2, 3
    near = made(ids)["near"]
    assert near[7, 9] and near[7, 11] and near[7, 13] and not near[7, 5] and not near[7, 26]


def test_a_mirrored_crop_has_mirrored_targets() -> None:
    ids = town(3, (24, 31))
    straight, turned = made(ids), made(ids[:, ::-1].copy())
    for name in ("boundary", "near"):
        np.testing.assert_array_equal(straight[name][:, ::-1], turned[name])
