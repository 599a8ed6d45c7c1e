"""System: maps of a network in, keypoints of objects out, in two steps so that any cut gives the same.

`System.collect` reads a piece of the maps, its core and the context around it, and returns evidence: the candidates
of the core, and what the maps say about them. It looks no further than `System.context`, and all places are those in
the raster. `System.group` makes objects of the evidence of all pieces, one group of candidates that can belong
together after the other. So pieces of any shape give the objects of the whole raster.

Places are (x, y) in units of the maps: unit (row, column) lies at x = column, y = row. A network whose unit f sits at
pixel S f has its keypoints at S times these.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints.skeletons import Skeleton
from landseg.dense.peaks import find_peaks
from landseg.geo.grid import Rect
from landseg.metrics.nearby import candidates

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Maps = Mapping[str, NDArray[Any]]
"""Maps (channels, h, w) by name."""
LEVELS = 65535
"""The levels above 0 of a map that is rounded to 16 bits; the rounding is part of every definition here."""
FARTHEST_OFFSET = 2.0
"""Units along x and along y by which a keypoint lies from the unit of its peak at most; more is cut off."""
FARTHEST_UNIT = 3
"""Whole units within which a place lies from the unit of its peak."""
_ALL = slice(None)


@dataclass(frozen=True)
class Poses:
    """Keypoints of n objects, in reading order of their anchors.

    Attributes:
        points: places (m, 2) of the keypoints of all objects; NaN where one was not found.
        scores: (m,) from 0 to 1.
        first: (n + 1,) the index of the first keypoint of each object, and m.
        score: (n,) of the objects.
    """

    points: Floats
    scores: Floats
    first: Integers
    score: Floats

    @classmethod
    def of(cls, points: Sequence[Floats], scores: Sequence[Floats], score: Sequence[float]) -> Poses:
        """Return objects of which each has places (k, 2) and scores (k,) of its own."""
        first = np.cumsum([0, *map(len, points)])
        return cls(
            np.concatenate([np.zeros((0, 2)), *points]), np.concatenate([np.zeros(0), *scores]), first,
            np.array(score, np.float64),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.score)

    def each(self) -> list[Floats]:
        """Return the places (k, 2) of each object."""
        return np.split(self.points, self.first[1:-1]) if len(self) else []


@dataclass(frozen=True)
class Piece:
    """Maps of a part of a raster.

    Attributes:
        maps: (channels, h, w) by name.
        rect: the part of the raster that they show.
        core: the part of it whose candidates count; the cores of all pieces partition the raster.
    """

    maps: Maps
    rect: Rect
    core: Rect

    @classmethod
    def whole(cls, maps: Maps) -> Piece:
        """Return the one piece of a raster that was not cut."""
        rect = Rect(0, 0, *next(iter(maps.values())).shape[1:])
        return cls(maps, rect, rect)

    def read(self, name: str, units: Integers, channels: slice = _ALL, fill: float = np.nan) -> Floats:
        """Return the values (m, channels) of a map at units (m, 2), x and y; ``fill`` outside the piece."""
        x, y = units[..., 0] - self.rect.left, units[..., 1] - self.rect.top
        inside = (x >= 0) & (y >= 0) & (x < self.rect.width) & (y < self.rect.height)
        values = self.maps[name][channels][:, np.where(inside, y, 0), np.where(inside, x, 0)]
        return np.where(inside, values, fill).astype(np.float64).T

    def in_core(self, units: Integers) -> NDArray[np.bool_]:
        """Return which units (m, 2) lie in the core, (m,)."""
        x, y, core = units[:, 0], units[:, 1], self.core
        return (x >= core.left) & (x < core.right) & (y >= core.top) & (y < core.bottom)


@dataclass(frozen=True)
class Evidence:
    """Candidates for keypoints, or for whole objects, and pairs of them.

    Attributes:
        unit: (m, 2) int64, x and y of the unit in the raster.
        kind: (m,) int64, the type of keypoint.
        offset: (m, 2) from the unit to the place.
        score: (m,) from 0 to 1, in steps of 1/65535.
        values: (m, ...) what the maps say about each.
        pairs: (p, 2, 3) int64: x, y and kind of two candidates.
        pair_kind: (p,) int64.
        pair_score: (p,).
    """

    unit: Integers
    kind: Integers
    offset: Floats
    score: Floats
    values: Floats
    pairs: Integers
    pair_kind: Integers
    pair_score: Floats

    @classmethod
    def of(cls, unit: Integers, kind: Integers, offset: Floats, score: Floats) -> Evidence:
        """Return candidates without values and pairs."""
        return cls(unit, kind, offset, score, np.zeros((len(unit), 0)), *_no_pairs())

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def place(self) -> Floats:
        """The place (m, 2) of each candidate."""
        return self.unit + self.offset

    def chosen(self, index: NDArray[Any]) -> Evidence:
        """Return the candidates at indices, or where a mask is true, without pairs."""
        unit, kind, offset, score = (part[index] for part in (self.unit, self.kind, self.offset, self.score))
        return Evidence(unit, kind, offset, score, self.values[index], *_no_pairs())

    def pair_index(self) -> Integers:
        """Return the indices (p, 2) of the candidates of each pair; all of them are here."""
        keys = np.concatenate([np.column_stack([self.unit, self.kind]), self.pairs.reshape(-1, 3)])
        _, number = np.unique(keys, axis=0, return_inverse=True)
        place = np.full(len(keys), -1, np.int64)
        place[number[: len(self)]] = np.arange(len(self))
        return place[number[len(self) :]].reshape(-1, 2)


def _no_pairs() -> tuple[Integers, Integers, Floats]:
    return np.zeros((0, 2, 3), np.int64), np.zeros(0, np.int64), np.zeros(0)


def join_evidence(parts: Iterable[Evidence]) -> Evidence:
    """Return the evidence of all pieces: candidates in reading order, then by kind; pairs likewise."""
    listed = list(parts)
    made = Evidence(*(np.concatenate([getattr(one, field.name) for one in listed]) for field in fields(Evidence)))
    order = np.lexsort((made.kind, made.unit[:, 0], made.unit[:, 1]))
    flat = made.pairs.reshape(-1, 6)
    pair_order = np.lexsort((made.pair_kind, *flat[:, [5, 3, 4, 2, 0, 1]].T))
    return replace(
        made.chosen(order),
        pairs=made.pairs[pair_order],
        pair_kind=made.pair_kind[pair_order],
        pair_score=made.pair_score[pair_order],
    )


class System(ABC):
    """The way from maps to objects with keypoints; see the module for its two steps."""

    @property
    @abstractmethod
    def context(self) -> int:
        """The units around its core that a piece must show, but for the raster's edge."""

    @abstractmethod
    def collect(self, piece: Piece) -> Evidence:
        """Return the candidates of the core of a piece, with what the maps say about them."""

    @abstractmethod
    def group(self, evidence: Evidence) -> Poses:
        """Return the objects that the evidence of a whole raster gives."""

    def decode(self, maps: Maps) -> Poses:
        """Return the objects that the maps (channels, h, w) of a whole raster give."""
        return self.group(join_evidence([self.collect(Piece.whole(maps))]))


def to_levels(values: NDArray[Any], least: float) -> NDArray[np.uint16]:
    """Return a map from 0 to 1 as levels, of the same shape; 0 where it is below the least, or no number."""
    levels: NDArray[np.uint16] = np.rint(np.clip(np.nan_to_num(values), 0, 1) * LEVELS).astype(np.uint16)
    levels[levels < round(least * LEVELS)] = 0
    return levels


def find_candidates(
    piece: Piece, heat: str, offset: str, *, score: float, radius: int, wide: bool = False
) -> Evidence:
    """Return the peaks of heat maps (T, h, w) as candidates, each moved by its offset of maps (2 T, h, w).

    Args:
        piece: with both.
        heat: the name of maps from 0 to 1, one a type.
        offset: the name of maps of x and y for each type.
        score: the lowest of a candidate.
        radius: see `landseg.dense.peaks.find_peaks`.
        wide: peaks outside the core are returned too.
    """
    units, kinds, levels = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for number, values in enumerate(piece.maps[heat]):
        level = to_levels(values, score)
        rows, columns = find_peaks(level, radius)
        units.append(np.column_stack([columns + piece.rect.left, rows + piece.rect.top]))
        kinds.append(np.full(len(rows), number, np.int64))
        levels.append(level[rows, columns] / LEVELS)
    unit, kind = np.concatenate(units), np.concatenate(kinds)
    at = piece.read(offset, unit, fill=0.0)
    moved = np.take_along_axis(at, 2 * kind[:, None] + np.arange(2), axis=1)
    moved = np.clip(np.nan_to_num(moved), -FARTHEST_OFFSET, FARTHEST_OFFSET)
    made = Evidence.of(unit, kind, moved, np.concatenate(levels))
    return made if wide else made.chosen(piece.in_core(unit))


def nearest_units(places: Floats) -> Integers:
    """Return the unit nearest to each place, of the same shape; a place that is no number is far outside."""
    return np.nan_to_num(np.floor(places + 0.5), nan=-(2.0**40)).astype(np.int64)


def find_near(one: Floats, other: Floats, reach: float) -> tuple[Integers, Integers, Floats]:
    """Return the indices of all pairs of places (m, 2) and (n, 2) within a reach, and their distances.

    They are in the order of the first index, then of the second. A reach that is not above 0 has none.
    """
    if not reach > 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    first, second = candidates(one, other, reach)
    distance = np.hypot(*(one[first] - other[second]).T)
    near = distance <= reach
    return first[near], second[near], distance[near]


def components(count: int, pairs: Integers) -> list[Integers]:
    """Return the groups of indices below ``count`` that pairs (p, 2) connect, in the order of their first index.

    >>> [one.tolist() for one in components(4, np.array([[3, 0]]))]
    [[0, 3], [1], [2]]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return []
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    _, first, label = np.unique(label, return_index=True, return_inverse=True)
    label = np.argsort(np.argsort(first))[label]
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def clockwise(places: Floats) -> Integers:
    """Return the order (k,) of places (k, 2) clockwise around their mean, rows downwards, from the first one on.

    >>> clockwise(np.array([[0.0, 0], [4, 4], [4, 0], [0, 4]])).tolist()
    [0, 2, 1, 3]
    """
    x, y = (places - places.mean(axis=0)).T
    turn = np.mod(np.arctan2(y, x) - math.atan2(y[0], x[0]), 2 * math.pi)
    turn[0] = 0
    return np.argsort(turn, kind="stable")


def to_keypoints(skeleton: Skeleton, kind: Integers, places: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return the keypoints (J, 2) and scores (J,) of one object from its candidates; NaN and 0 where none is.

    Candidates of a type with several keypoints are taken clockwise, from the first one on.

    Args:
        skeleton: with J keypoints.
        kind, places, scores: of the candidates (k,), (k, 2) and (k,); no more of a type than it has keypoints.
    """
    types = np.array(skeleton.types)
    points, found = np.full((len(types), 2), np.nan), np.zeros(len(types))
    for one in np.unique(kind):
        members = np.flatnonzero(kind == one)
        members = members[clockwise(places[members])]
        into = np.flatnonzero(types == one)[: len(members)]
        points[into], found[into] = places[members], scores[members]
    return points, found
