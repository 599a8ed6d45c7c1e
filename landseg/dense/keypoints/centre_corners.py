"""Objects as Points: a centre and offsets from it to the keypoints, which the peaks of a keypoint map snap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from landseg.dense.keypoints.skeletons import Skeleton
from landseg.dense.keypoints.system import (
    FARTHEST_UNIT,
    Evidence,
    Floats,
    Maps,
    Piece,
    Poses,
    System,
    find_candidates,
    find_near,
    nearest_units,
)
from landseg.dense.keypoints.targets import Drawn, Shape, centres, draw_peaks

SNAP = 0.3
"""The share of the longer side of an object's box within which a peak snaps a keypoint, as in CenterNet's code."""


@dataclass(frozen=True)
class CentreCorners(System):
    """Objects as Points (Zhou, Wang and Krähenbühl 2019, section 5.2): nothing is grouped, each centre is an object.

    Maps: ``centre`` (1), ``centre_offset`` (2), ``keypoints`` (2 J), vectors from the place of the centre to each
    keypoint, ``heat`` (T) and ``offset`` (2 T) of the keypoints of each type.

    A keypoint is the nearest peak of its type with a score of at least ``snap_score`` within 0.3 of the longer side
    of the box around the predicted keypoints; of equally near ones the first. Where there is none it stays as it is
    predicted. CenterNet also asks that the peak lies in the box, which the corners of a rectangle do not do: they
    are its border.

    Attributes:
        skeleton: with J keypoints of T types.
        reach: units by which a keypoint lies from its centre at most; an object with a farther one is none.
        score: the lowest of a centre.
        snap_score: the lowest of a peak that snaps a keypoint.
        snap: the share of the box, see above; 0 for no snapping.
        radius: of the window of peaks.
    """

    skeleton: Skeleton
    reach: float
    score: float = 0.1
    snap_score: float = 0.1
    snap: float = SNAP
    radius: int = 1

    @property
    def context(self) -> int:
        """The units around its core that a piece must show: of a keypoint that is snapped, and of its peak."""
        return math.ceil(self.reach * (1 + 2 * self.snap)) + 2 * FARTHEST_UNIT + self.radius

    def collect(self, piece: Piece) -> Evidence:
        """Return the objects whose centres lie in the core; ``values`` (m, J, 3) are x, y and score of keypoints."""
        centre = find_candidates(piece, "centre", "centre_offset", score=self.score, radius=self.radius)
        vectors = piece.read("keypoints", centre.unit).reshape(len(centre), len(self.skeleton), 2)
        near = np.linalg.norm(vectors, axis=2).max(axis=1, initial=0) <= self.reach  # False where no number
        centre, vectors = centre.chosen(near), vectors[near]
        points = centre.place[:, None] + vectors
        scores = np.repeat(centre.score[:, None], points.shape[1], axis=1)
        if self.snap and len(centre):
            peaks = find_candidates(piece, "heat", "offset", score=self.snap_score, radius=self.radius, wide=True)
            self._snap(points, scores, peaks)
        values = np.concatenate([points, scores[..., None]], axis=2)
        return replace(centre, values=values)

    def _snap(self, points: Floats, scores: Floats, peaks: Evidence) -> None:
        """Move points (m, J, 2), in place, to the nearest peak of their type."""
        distance = self.snap * (points.max(axis=1) - points.min(axis=1)).max(axis=1)
        for index, kind in enumerate(self.skeleton.types):
            own = peaks.chosen(peaks.kind == kind)
            one, other, apart = find_near(points[:, index], own.place, float(distance.max()))
            close = apart <= distance[one]
            one, other, apart = one[close], other[close], apart[close]
            order = np.lexsort((other, apart, one))
            one, first = np.unique(one[order], return_index=True)
            nearest = other[order][first]
            points[one, index], scores[one, index] = own.place[nearest], own.score[nearest]

    def group(self, evidence: Evidence) -> Poses:
        """Return the objects: each is one already."""
        points, scores = evidence.values[..., :2], evidence.values[..., 2]
        return Poses.of(list(points), list(scores), evidence.score.tolist())


def encode(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape, *, sigma: float = 1.0) -> Maps:
    """Return the maps (channels, h, w) from which `CentreCorners` makes the objects again.

    The centre of an object is the mean of its keypoints, all of which must be there.

    Args:
        objects: places (J, 2) of keypoints, in units of the maps.
        skeleton: with J keypoints.
        shape: of the maps, (h, w).
        sigma: of the peaks, in units.
    """
    keypoints, middle = Drawn.of(objects, skeleton), centres(objects)
    zero = np.zeros(len(objects), np.int64)
    centre, centre_offset = draw_peaks(Drawn(middle, zero, zero, np.arange(len(objects))), 1, shape, sigma)
    heat, offset = draw_peaks(keypoints, len(skeleton.sizes), shape, sigma)
    vectors = np.zeros((2 * len(skeleton), *shape))
    columns, rows = nearest_units(middle).T
    for number, points in enumerate(objects):
        if 0 <= rows[number] < shape[0] and 0 <= columns[number] < shape[1]:
            vectors[:, rows[number], columns[number]] = (points - middle[number]).ravel()
    return {"centre": centre, "centre_offset": centre_offset, "keypoints": vectors, "heat": heat, "offset": offset}
