"""Objects with keypoints, their comparison, and maps that are cut into pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints import associative, centre_corners, multicut, paf, personlab
from landseg.dense.keypoints.associative import Associative
from landseg.dense.keypoints.centre_corners import CentreCorners
from landseg.dense.keypoints.multicut import Multicut
from landseg.dense.keypoints.paf import AffinityFields
from landseg.dense.keypoints.personlab import PersonLab
from landseg.dense.keypoints.skeletons import Skeleton
from landseg.dense.keypoints.system import Maps, Piece, Poses, System, join_evidence
from landseg.dense.keypoints.targets import farthest
from landseg.geo.grid import Rect

Floats = NDArray[np.float64]
Shape = tuple[int, int]
STRIDE = 4
EXACT = 0.5 / STRIDE
"""Half a pixel in units of maps of stride 4."""
STANDING = np.array(
    [
        [0, -14], [-2, -16], [2, -16], [-4, -15], [4, -15], [-6, -9], [6, -9], [-9, -4], [9, -4], [-10, 2], [10, 2],
        [-4, 3], [4, 3], [-5, 10], [5, 10], [-5, 17], [5, 17],
    ],
    np.float64,
)  # fmt: skip
"""A person of 17 joints around the origin, 34 units high, so 136 pixels at stride 4."""


def crowd(seed: int, count: int = 3, apart: float = 8.0) -> list[Floats]:
    """Return people who stand side by side and reach over each other, joints of a type at least 3 units apart."""
    random, made = np.random.default_rng(seed), list[Floats]()
    while len(made) < count:
        place = np.array([14.0 + apart * len(made), 20.0]) + random.uniform(-0.5, 0.5, 2)
        one = STANDING * random.uniform(0.9, 1.1) + place + random.uniform(-0.7, 0.7, STANDING.shape)
        if all(np.linalg.norm(one - other, axis=1).min() >= 3 for other in made):
            made.append(one)
    return made


def houses(seed: int, rows: int = 2, columns: int = 3) -> list[Floats]:
    """Return rectangles (4, 2) at any angle, clockwise from any corner, with corners at least 3 units apart."""
    random, made = np.random.default_rng(seed), list[Floats]()
    for number in range(rows * columns):
        down, right = divmod(number, columns)
        half = random.uniform(2.5, 5, 2)
        angle = random.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half @ turn
        middle = np.array([9 + 17.5 * right, 9 + 17.5 * down]) + random.uniform(-0.5, 0.5, 2)
        made.append(np.roll(corners + middle, int(random.integers(4)), axis=0))
    return made


def farthest_apart(found: Poses, objects: Sequence[Floats], skeleton: Skeleton) -> float:
    """Return how far a keypoint of an object is found from its place at most; inf if objects are not the same.

    Each object has to be found once with all its keypoints, in one of the orders that mean the same, or of an outline
    in any cyclic one.
    """
    left, worst = found.each(), 0.0
    if len(left) != len(objects):
        return np.inf
    for truth in objects:
        if skeleton.any_number:
            orders = np.stack([np.roll(truth, shift, axis=0) for shift in range(len(truth))])
        else:
            orders = truth[skeleton.orders]
        errors = [
            float(np.linalg.norm(one - orders, axis=2).max(axis=1).min()) if one.shape == truth.shape else np.inf
            for one in left
        ]
        errors = [np.inf if np.isnan(error) else error for error in errors]
        nearest = int(np.argmin(errors))
        worst = max(worst, errors[nearest])
        left.pop(nearest)
    return worst


def pieces(maps: Maps, rows: Sequence[int], columns: Sequence[int], context: int) -> Iterator[Piece]:
    """Yield maps cut before rows and columns, each piece with a context."""
    height, width = next(iter(maps.values())).shape[1:]
    edges = (
        [0, *sorted({cut for cut in cuts if 0 < cut < size}), size]
        for cuts, size in ((rows, height), (columns, width))
    )
    down, right = (list(pairwise(cuts)) for cuts in edges)
    for top, bottom in down:
        for left, end in right:
            core = Rect(top, left, bottom - top, end - left)
            wide = Rect(top - context, left - context, core.height + 2 * context, core.width + 2 * context)
            rect = wide.intersection(Rect(0, 0, height, width))
            assert rect is not None
            yield Piece({name: values[:, *rect.slices] for name, values in maps.items()}, rect, core)


def decode_cut(
    system: System, maps: Maps, rows: Sequence[int], columns: Sequence[int], context: int | None = None
) -> Poses:
    """Return the objects of maps that are read in pieces, the last piece first."""
    context = system.context if context is None else context
    parts = [system.collect(piece) for piece in pieces(maps, rows, columns, context)]
    return system.group(join_evidence(reversed(parts)))


def same(one: Poses, other: Poses) -> bool:
    """Return whether two results are equal to the last bit."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("points", "scores", "first", "score")
    )


def _centre_corners(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape) -> tuple[System, Maps]:
    return CentreCorners(skeleton, farthest(objects)), centre_corners.encode(objects, skeleton, shape)


def _personlab(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape) -> tuple[System, Maps]:
    return PersonLab(skeleton, farthest(objects)), personlab.encode(objects, skeleton, shape)


def _paf(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape) -> tuple[System, Maps]:
    reach = farthest(objects)
    if skeleton.any_number:
        reach = 2 + max(float(np.linalg.norm(one - np.roll(one, 1, axis=0), axis=1).max()) for one in objects)
    return AffinityFields(skeleton, reach), paf.encode(objects, skeleton, shape)


def _associative(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape) -> tuple[System, Maps]:
    reach = farthest(objects)
    return Associative(skeleton, reach), associative.encode(objects, skeleton, shape, reach=reach)


def _multicut(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape) -> tuple[System, Maps]:
    return Multicut(skeleton, farthest(objects)), multicut.encode(objects, skeleton, shape)


PERFECT: dict[str, Callable[[Sequence[Floats], Skeleton, Shape], tuple[System, Maps]]] = {
    "centre_corners": _centre_corners,
    "personlab": _personlab,
    "paf": _paf,
    "associative": _associative,
    "multicut": _multicut,
}
"""A system for objects, and its perfect maps of them, by name."""


def noisy(maps: Maps, seed: int) -> Maps:
    """Return maps as a network may give them: with noise, and numbers everywhere."""
    random, made = np.random.default_rng(seed), {}
    for name, values in maps.items():
        values = np.array(values, np.float64)
        holes = np.isnan(values)
        values[holes] = random.normal(0, 6, int(holes.sum()))
        made[name] = values + random.normal(0, 0.2 if name in ("heat", "centre", "mask") else 0.6, values.shape)
    return made
