"""PersonLab: discs around keypoints, short offsets into their middle, mid ones along edges, long ones for masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints.skeletons import Skeleton
from landseg.dense.keypoints.system import (
    LEVELS,
    Evidence,
    Floats,
    Integers,
    Maps,
    Piece,
    Poses,
    System,
    find_near,
    join_evidence,
    nearest_units,
    to_levels,
)
from landseg.dense.keypoints.targets import Drawn, Shape, nearest_keypoints, units_of
from landseg.dense.peaks import find_peaks
from landseg.errors import ModelError


@dataclass(frozen=True)
class PersonLab(System):
    """PersonLab (Papandreou et al. 2018): greedy from the best peak of a Hough map, along the edges.

    Maps: ``heat`` (T), the probability of the disc around a keypoint; ``short`` (2 T), vectors from a unit of the
    disc to the keypoint; ``mid`` (4 E), for each kind of edge the vectors from a unit of the disc of its first
    keypoint to the second, and back; for masks ``long`` (2 J), vectors from a unit to the keypoints of its object,
    and ``mask`` (1), the probability of an object.

    The Hough map of a type has at each unit the sum over units u of heat(u) times the bilinear weight of the place
    u + short(u), divided by the area of a disc. Its peaks are seeds. From each, keypoints are found along the edges,
    in the order of the skeleton: a keypoint at x leads to u + mid(u), u the unit nearest to x, which short offsets
    refine twice. One with heat below ``score``, or farther than the reach from the seed, is not found. Seeds are then
    taken from the highest down, in reading order where they are equal; one within ``apart`` of a keypoint of its
    type in an object so far is dropped.

    Attributes:
        skeleton: with edges that join all keypoints.
        reach: units within which the keypoints of an object lie of each of them.
        disc: radius of a disc in units; short offsets that are longer by more than 1 do not count.
        seed: the lowest value of a peak of the Hough map.
        score: the lowest heat at a keypoint.
        apart: units, see above; 10 pixels in the authors' code.
        least: the fewest keypoints of an object.
        radius: of the window of peaks.
    """

    skeleton: Skeleton
    reach: float
    disc: float = 8.0
    seed: float = 0.05
    score: float = 0.1
    apart: float = 2.5
    least: int = 1
    radius: int = 1

    def __post_init__(self) -> None:
        _check(self.skeleton)

    @property
    def context(self) -> int:
        """The units around its core that a piece must show: of a pose, and of the discs that vote for its seed."""
        return math.ceil(max(self.reach, self.radius) + self.disc) + 3

    def collect(self, piece: Piece) -> Evidence:
        """Return a pose from each seed in the core; ``values`` (m, J, 3) are x, y and score of keypoints."""
        found = []
        for kind in range(len(self.skeleton.sizes)):
            level = to_levels(self._hough(piece, kind), self.seed)
            rows, columns = find_peaks(level, self.radius)
            unit = np.column_stack([columns + piece.rect.left, rows + piece.rect.top])
            inside = piece.in_core(unit)
            unit, score = unit[inside], (level[rows, columns] / LEVELS)[inside]
            offset = piece.read("short", unit, _pair(kind))
            seeds = Evidence.of(unit, np.full(len(unit), kind, np.int64), offset, score)
            found.append(replace(seeds, values=self._trace(piece, seeds.place, kind)))
        made = join_evidence(found)
        return made.chosen(np.flatnonzero(np.isfinite(made.offset).all(axis=1)))

    def _hough(self, piece: Piece, kind: int) -> Floats:
        """Return the Hough map (h, w) of a type."""
        heat = piece.maps["heat"][kind].astype(np.float64)
        x, y = short = piece.maps["short"][_pair(kind)].astype(np.float64)
        rows, columns = np.nonzero((heat > 0) & (np.hypot(*short) <= self.disc + 1))
        at = np.stack([columns + piece.rect.left + x[rows, columns], rows + piece.rect.top + y[rows, columns]])
        low = np.floor(at)
        part = at - low
        left, top = (low - [[piece.rect.left], [piece.rect.top]]).astype(np.int64)
        height, width = heat.shape
        places, weights = [], []
        for down in (0, 1):
            for right in (0, 1):
                row, column = top + down, left + right
                inside = (row >= 0) & (column >= 0) & (row < height) & (column < width)
                across, along = np.abs(1 - right - part[0]), np.abs(1 - down - part[1])
                places.append((row * width + column)[inside])
                weights.append((heat[rows, columns] * across * along)[inside])
        votes = np.bincount(np.concatenate(places), np.concatenate(weights), minlength=heat.size)
        made: Floats = votes.reshape(heat.shape) / (math.pi * self.disc**2)
        return made

    def _trace(self, piece: Piece, seeds: Floats, kind: int) -> Floats:
        """Return x, y and score of the keypoints (m, J, 3) that seeds (m, 2) lead to; NaN and 0 for none."""
        poses = np.full((len(seeds), len(self.skeleton), 3), np.nan)
        poses[..., 2] = 0
        start = self.skeleton.types.index(kind)
        self._accept(piece, poses, start, seeds, np.arange(len(seeds)), seeds)
        steps = directed_edges(self.skeleton)
        while True:
            before = int((poses[..., 2] > 0).sum())
            for one, other, channel in steps:
                rows = np.flatnonzero((poses[:, one, 2] > 0) & (poses[:, other, 2] == 0))
                if not len(rows):
                    continue
                unit = nearest_units(poses[rows, one, :2])
                place = unit + piece.read("mid", unit, channel)
                place = self.refine(piece, place, self.skeleton.types[other], around=seeds[rows])
                self._accept(piece, poses, other, place, rows, seeds)
            if int((poses[..., 2] > 0).sum()) == before:
                return poses

    def refine(self, piece: Piece, places: Floats, kind: int, *, around: Floats) -> Floats:
        """Return places (m, 2) moved twice to the keypoint of a type in whose disc they lie; others stay.

        One that is farther from its place in ``around`` (m, 2) than the reach and a disc is NaN, also on the way.
        """
        for last in (False, False, True):
            far = np.linalg.norm(places - around, axis=1) > self.reach + self.disc
            places = np.where(far[:, None], np.nan, places)
            if last:
                break
            unit = nearest_units(places)
            heat = piece.read("heat", unit, slice(kind, kind + 1), fill=0.0)
            moved = unit + piece.read("short", unit, _pair(kind))
            places = np.where((heat > 0) & np.isfinite(moved).all(axis=1, keepdims=True), moved, places)
        return places

    def _accept(self, piece: Piece, poses: Floats, index: int, place: Floats, rows: Integers, seeds: Floats) -> None:
        """Put places of a keypoint into poses, in place, where there is heat and they are within reach."""
        kind = self.skeleton.types[index]
        heat = piece.read("heat", nearest_units(place), slice(kind, kind + 1), fill=0.0)[:, 0]
        near = np.linalg.norm(place - seeds[rows], axis=1) <= self.reach
        good = near & (heat >= self.score) & (heat > 0)
        poses[rows[good], index, :2] = place[good]
        poses[rows[good], index, 2] = np.minimum(heat[good], 1)

    def group(self, evidence: Evidence) -> Poses:
        """Return the objects: of the poses those whose seeds no better one holds already."""
        points, scores = evidence.values[..., :2], evidence.values[..., 2]
        one, other = self.conflicts(evidence)
        begin = np.searchsorted(one, np.arange(len(evidence) + 1))
        open_ = np.ones(len(evidence), bool)
        kept = []
        for index in np.argsort(-evidence.score, kind="stable").tolist():
            if open_[index]:
                kept.append(index)
                open_[other[begin[index] : begin[index + 1]]] = False
        kept = [index for index in sorted(kept) if (scores[index] > 0).sum() >= self.least]
        return Poses.of(list(points[kept]), list(scores[kept]), scores[kept].mean(axis=1).tolist())

    def conflicts(self, evidence: Evidence) -> tuple[Integers, Integers]:
        """Return the pairs of a pose and a seed that one of its keypoints holds, sorted by the pose."""
        types, pairs = np.array(self.skeleton.types), [np.zeros((0, 2), np.int64)]
        for kind in range(len(self.skeleton.sizes)):
            points = evidence.values[:, types == kind, :2]
            pose = np.repeat(np.arange(len(evidence)), points.shape[1])
            points = points.reshape(-1, 2)
            there = np.isfinite(points).all(axis=1)
            seeds = np.flatnonzero(evidence.kind == kind)
            one, other, _ = find_near(points[there], evidence.place[seeds], self.apart)
            pairs.append(np.stack([pose[there][one], seeds[other]], axis=1))
        found = np.unique(np.concatenate(pairs), axis=0)
        return found[:, 0], found[:, 1]


def _check(skeleton: Skeleton) -> None:
    if skeleton.any_number:
        raise ModelError(
            f"skeleton {skeleton.name!r} has any number of keypoints: personlab needs a fixed number; use the system "
            "paf, or the skeleton 'rectangle'"
        )
    found = {0}
    for _ in skeleton.links:
        found |= {index for link in skeleton.links if found & set(link) for index in link}
    if len(found) < len(skeleton):
        lone = next(name for index, name in enumerate(skeleton.keypoints) if index not in found)
        raise ModelError(f"skeleton {skeleton.name!r}: no edges lead to {lone!r}, which personlab needs to find it")


def _pair(number: int) -> slice:
    return slice(2 * number, 2 * number + 2)


def directed_edges(skeleton: Skeleton) -> list[tuple[int, int, slice]]:
    """Return the edges of a skeleton both ways: two keypoints, and the channels of their vectors in ``mid``."""
    kinds = skeleton.pair_kinds(skeleton.links)
    both = [(kind, *link) for kind, link in zip(kinds, skeleton.links, strict=True)]
    there = [(one, other, _pair(2 * kind)) for kind, one, other in both]
    return there + [(other, one, _pair(2 * kind + 1)) for kind, one, other in both]


def draw_masks(
    piece: Piece, poses: Poses, system: PersonLab, *, mask: float = 0.5, farthest: float = 0.25
) -> NDArray[np.uint32]:
    """Return the number (h, w), from 1 on, of the object of each unit of a piece's core; 0 for none.

    The distance of a unit from an object is the mean distance of the places that its long offsets lead to, refined
    twice by short ones, from the object's keypoints, weighted by their scores, and divided by the root of the area of
    the box around these. A unit belongs to the object with the least one, and to the first of equal ones, if it is
    below ``farthest``. Units farther outside of an object's box than its longer side are not looked at, and one with
    a long offset beyond the reach belongs to none. Of orders that mean the same the closest counts.

    Args:
        piece: with ``long``, ``mask``, ``heat`` and ``short``, and the context of the system.
        poses: the objects of the whole raster.
        system: that found them.
        mask: the lowest probability of an object.
        farthest: see above.
    """
    core, owner = piece.core, np.zeros(piece.core.shape, np.uint32)
    rows, columns = (part.ravel() for part in np.mgrid[core.top : core.bottom, core.left : core.right])
    units = np.column_stack([columns, rows]).astype(np.int64)
    units = units[piece.read("mask", units)[:, 0] >= mask]
    if not len(units):
        return owner
    orders, led = system.skeleton.orders, np.empty((len(units), len(system.skeleton), 2))
    for index, kind in enumerate(system.skeleton.types):
        places = units + piece.read("long", units, _pair(index))
        led[:, index] = system.refine(piece, places, kind, around=units.astype(np.float64))
    best = np.full(len(units), farthest)
    chosen = np.zeros(len(units), np.uint32)
    for number, (points, scores) in enumerate(
        zip(poses.each(), np.split(poses.scores, poses.first[1:-1]), strict=True)
    ):
        low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
        side = max(float((high - low).max()), 1.0)
        near = np.flatnonzero(((units >= low - side) & (units <= high + side)).all(axis=1))
        if not len(near):
            continue
        there = np.where(np.isfinite(points[:, 0]), scores, 0)[orders]  # (P, J)
        apart = np.linalg.norm(led[near, None] - points[orders], axis=3)  # (m, P, J)
        mean = (np.where(there > 0, apart, 0) * there).sum(axis=2) / there.sum(axis=1)
        distance = mean.min(axis=1) / math.sqrt(max(float(np.prod(high - low)), 1.0))
        closer = distance < best[near]
        best[near[closer]], chosen[near[closer]] = distance[closer], number + 1
    owner[units[:, 1] - core.top, units[:, 0] - core.left] = chosen
    return owner


def encode(
    objects: Sequence[Floats],
    skeleton: Skeleton,
    shape: Shape,
    *,
    disc: float = 8.0,
    ids: NDArray[np.uint32] | None = None,
) -> Maps:
    """Return the maps (channels, h, w) from which `PersonLab` makes the objects again.

    A unit in several discs of a type is that of the nearest keypoint. Vectors to a keypoint that is not there are
    NaN, and so are all those outside of discs and masks: a loss counts the others alone.

    Args:
        objects: places (J, 2) of keypoints, in units of the maps.
        skeleton: with J keypoints.
        shape: of the maps, (h, w).
        disc: radius in units.
        ids: (h, w), the number of the object of each unit, from 1 on; None: no object has a mask.
    """
    _check(skeleton)
    keypoints, types = Drawn.of(objects, skeleton), len(skeleton.sizes)
    units = np.moveaxis(units_of((slice(0, shape[0]), slice(0, shape[1]))), -1, 0)
    nearest = nearest_keypoints(keypoints, types, shape, disc)
    places = np.array(objects, np.float64).reshape(len(objects), len(skeleton), 2)
    short, steps = np.full((types, 2, *shape), np.nan), directed_edges(skeleton)
    mid = np.full((max((channel.stop for *_, channel in steps), default=0), *shape), np.nan)
    for kind in range(types):
        rows, columns = np.nonzero(nearest[kind] >= 0)
        number, at = nearest[kind, rows, columns], units[:, rows, columns]
        short[kind, :, rows, columns] = keypoints.places[number] - at.T
        for one, other, channel in steps:
            own = keypoints.index[number] == one
            if skeleton.types[one] == kind and own.any():
                vectors = places[keypoints.owner[number[own]], other] - at[:, own].T
                mid[channel, rows[own], columns[own]] = vectors.T
    long = np.full((len(skeleton), 2, *shape), np.nan)
    mask = np.zeros(shape, bool) if ids is None else ids > 0
    if ids is not None and len(objects):
        long[:, :, mask] = np.moveaxis(places[ids[mask] - np.uint32(1)], 0, -1) - units[:, mask]
    return {
        "heat": (nearest >= 0).astype(np.float64),
        "short": short.reshape(-1, *shape),
        "mid": mid,
        "long": long.reshape(-1, *shape),
        "mask": mask[None].astype(np.float64),
    }
