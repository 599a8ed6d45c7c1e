"""Maps drawn from keypoints: what a network is to learn, and the perfect maps on which systems are proved.

Objects are arrays (J, 2) of places in units of the maps, NaN where a keypoint is not there; those of a skeleton with
any number of keypoints are arrays (k, 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints.skeletons import Skeleton

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Shape = tuple[int, int]


@dataclass(frozen=True)
class Drawn:
    """The keypoints of all objects that are there, one a row.

    Attributes:
        places: (m, 2).
        index: (m,) of the keypoint in the skeleton.
        kind: (m,) its type.
        owner: (m,) the index of the object.
    """

    places: Floats
    index: Integers
    kind: Integers
    owner: Integers

    @classmethod
    def of(cls, objects: Sequence[Floats], skeleton: Skeleton) -> Drawn:
        """Return the keypoints of objects.

        Raises:
            ValueError: an object has another number of keypoints than the skeleton.
        """
        if not skeleton.any_number and (odd := [len(one) for one in objects if len(one) != len(skeleton)]):
            raise ValueError(f"expected {len(skeleton)} keypoints an object, got {odd[0]}")
        places = np.concatenate([np.zeros((0, 2)), *objects])
        owner = np.repeat(np.arange(len(objects)), [len(one) for one in objects])
        index = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(one)) for one in objects)])
        there = np.isfinite(places).all(axis=1)
        kind = np.zeros(len(index), np.int64) if skeleton.any_number else np.array(skeleton.types)[index]
        return cls(places[there], index[there], kind[there], owner[there])


def window(place: Floats, radius: float, shape: Shape) -> tuple[slice, slice]:
    """Return the rows and columns of a map (h, w) within a radius of a place, or of all places (k, 2)."""
    low = np.floor(np.min(np.atleast_2d(place), axis=0) - radius).astype(int)
    high = np.ceil(np.max(np.atleast_2d(place), axis=0) + radius).astype(int) + 1
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    return slice(max(top, 0), max(min(bottom, shape[0]), 0)), slice(max(left, 0), max(min(right, shape[1]), 0))


def units_of(part: tuple[slice, slice]) -> Floats:
    """Return the places (h, w, 2) of the units of a window."""
    y, x = np.mgrid[part]
    return np.stack([x, y], axis=-1).astype(np.float64)


def draw_peaks(keypoints: Drawn, types: int, shape: Shape, sigma: float) -> tuple[Floats, Floats]:
    """Return heat maps (T, h, w) and offsets (2 T, h, w) of keypoints.

    Heat is a Gaussian around the unit nearest to a keypoint, 1 there, and the largest where several overlap. The
    offset is that from this unit to the keypoint, and 0 elsewhere.
    """
    heat, offset = np.zeros((types, *shape)), np.zeros((types, 2, *shape))
    for place, kind in zip(keypoints.places, keypoints.kind, strict=True):
        centre = np.floor(place + 0.5)
        part = window(centre, math.ceil(3 * sigma), shape)
        apart = ((units_of(part) - centre) ** 2).sum(axis=-1)
        np.maximum(heat[kind][part], np.exp(-apart / (2 * sigma * sigma)), out=heat[kind][part])
        column, row = centre.astype(int).tolist()
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            offset[kind, :, row, column] = place - centre
    return heat, offset.reshape(2 * types, *shape)


def nearest_keypoints(keypoints: Drawn, types: int, shape: Shape, radius: float) -> Integers:
    """Return for each type the index of the nearest keypoint within a radius of each unit, (T, h, w); -1 for none.

    Of keypoints that are equally near it is the first.
    """
    nearest, best = np.full((types, *shape), -1, np.int64), np.full((types, *shape), radius * radius + 1e-9)
    for number, (place, kind) in enumerate(zip(keypoints.places, keypoints.kind, strict=True)):
        part = window(place, radius, shape)
        apart = ((units_of(part) - place) ** 2).sum(axis=-1)
        closer = apart < best[kind][part]
        nearest[kind][part][closer], best[kind][part][closer] = number, apart[closer]
    return nearest


def centres(objects: Sequence[Floats]) -> Floats:
    """Return the mean place (n, 2) of the keypoints of each object that are there."""
    return np.array([np.nanmean(one, axis=0) for one in objects]).reshape(-1, 2)


def farthest(objects: Sequence[Floats]) -> float:
    """Return a reach that holds for all objects: the largest distance between two keypoints of one, and 2 units."""
    spans = [float(np.nanmax(np.linalg.norm(one[:, None] - one, axis=2))) for one in objects]
    return math.ceil(max(spans, default=0.0)) + 2.0
