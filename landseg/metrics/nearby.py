"""Points of the truth and of a prediction, and the pairs of them that lie within a radius of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from landseg.metrics.overlaps import Flags, Floats, Ints

_LAST = 1 + 1e-9  # a little more than the radius, where the distance itself decides


@dataclass(frozen=True)
class Nearby:
    """The T points of the truth and the D detections of one image, and the P pairs within a radius of each other.

    Attributes:
        true_place: (T, 2) coordinates in metres, or in the unit of the radius, for blocks.
        found_place: (D, 2) likewise.
        true_edge: (T,) True for a point that is ignored unless it is matched: one near the end of what is known.
        found_edge: (D,) likewise.
        true_index: (P,) number of each pair's point of the truth.
        found_index: (P,) number of its detection; no pair stands twice.
        distance: (P,) their distance, at most the radius. A pair that is not listed is farther apart.
    """

    true_place: Floats
    found_place: Floats
    true_edge: Flags
    found_edge: Flags
    true_index: Ints
    found_index: Ints
    distance: Floats

    @classmethod
    def of(
        cls,
        true: ArrayLike,
        found: ArrayLike,
        radius: float,
        *,
        true_edge: Flags | None = None,
        found_edge: Flags | None = None,
    ) -> Nearby:
        """Return points (T, 2) and detections (D, 2) of a plane, with the pairs up to ``radius`` apart.

        Args:
            true: coordinates of the truth, in the unit of the radius.
            found: coordinates of the detections.
            radius: above 0; it belongs to the reach.
            true_edge: see the attributes; none by default.
            found_edge: likewise.

        Raises:
            ValueError: the radius is not above 0.
        """
        sides = [np.asarray(side, np.float64).reshape(-1, 2) for side in (true, found)]
        edges = [
            np.zeros(len(side), bool) if edge is None else edge
            for side, edge in zip(sides, (true_edge, found_edge), strict=True)
        ]
        true_index, found_index = candidates(sides[0], sides[1], radius)
        distance = np.hypot(*(sides[0][true_index] - sides[1][found_index]).T)
        near = distance <= radius
        pairs = true_index[near], found_index[near], distance[near]
        return cls(sides[0], sides[1], edges[0], edges[1], *pairs)

    def only(self, true: Flags, found: Flags) -> Nearby:
        """Return the points that two boolean arrays, (T,) and (D,), name: those of one class."""
        pairs = true[self.true_index] & found[self.found_index]
        return Nearby(
            self.true_place[true],
            self.found_place[found],
            self.true_edge[true],
            self.found_edge[found],
            (np.cumsum(true) - 1)[self.true_index[pairs]],
            (np.cumsum(found) - 1)[self.found_index[pairs]],
            self.distance[pairs],
        )


def candidates(true: Floats, found: Floats, reach: float | Floats) -> tuple[Ints, Ints]:
    """Return the pairs of points (T, 2) and (D, 2) up to a reach apart, and perhaps some a hair farther: two indices.

    Args:
        true: coordinates of the truth.
        found: coordinates of the detections.
        reach: above 0, in the same unit; one for all, or (T,).

    Raises:
        ValueError: a reach that is not above 0.
    """
    from scipy.spatial import cKDTree

    if not (np.asarray(reach) > 0).all():
        raise ValueError(f"expected a radius above 0, got {reach}")
    if not (len(true) and len(found)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    near = cKDTree(found).query_ball_point(true, np.asarray(reach) * _LAST)
    true_index = np.repeat(np.arange(len(true)), [len(one) for one in near])
    return true_index, np.concatenate([np.zeros(0, np.int64), *(np.sort(one).astype(np.int64) for one in near)])
