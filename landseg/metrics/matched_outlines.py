"""Distances between the outlines of objects that match: how far a border lies from that of the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.metrics.boundary import WHOLE
from landseg.metrics.overlaps import Flags, Floats, Ints
from landseg.metrics.surface import pieces_of

UNKNOWN = -1
"""The number of pixels beside which nothing is an outline: void, no data, and what lies beyond the raster."""
_LOOKED_AT = 1 << 18  # corners that are looked at together


class MatchedOutlines:
    """Lengths of the outlines of matched objects, of both sides, by their distance to the outline of the partner.

    Outlines are those of `landseg.metrics.surface`: they run through the corners between pixels, a corner has the
    length of outline that its four pixels give, and distances are those between corners. A corner beside void, no
    data or the raster's edge has none.

    Args:
        spacing: distance between rows and between columns, for example in metres.
        reach: largest distance that is measured, in the same unit; a longer one is only known to be longer.
    """

    def __init__(self, spacing: tuple[float, float] = (1.0, 1.0), *, reach: float = 32.0) -> None:
        if not (reach >= 0 and min(spacing) > 0):
            raise ValueError(f"expected a reach of 0 or more and a spacing above 0, got {reach} and {spacing}")
        self.spacing, self.reach = spacing, float(reach)
        rows, columns = (int(reach / step) for step in spacing)
        down, across = np.mgrid[-rows : rows + 1, -columns : columns + 1].reshape(2, -1)
        away = np.hypot(down * spacing[0], across * spacing[1])
        near = np.flatnonzero(away <= reach)
        near = near[np.argsort(away[near], kind="stable")]
        self._steps = down[near], across[near]
        self.distances, self._rank = np.unique(away[near], return_inverse=True)
        # Pieces of outline at each distance, then those further away: half-pixel diagonals, along a column, along a
        # row: whole numbers, so that the order of sums has no effect.
        self.pieces = np.zeros((len(self.distances) + 1, 3), np.int64)

    @property
    def halo(self) -> int:
        """The pixels that a window needs on each side of its core."""
        return max(int(self.reach / step) for step in self.spacing) + 1

    def update(
        self, true: NDArray[np.integer[Any]], found: NDArray[np.integer[Any]], *, core: tuple[slice, slice] = WHOLE
    ) -> None:
        """Count two rasters (H, W), or the core of a window, that hold the number of its match at each pixel.

        Numbers are above 0; 0 is a pixel without a matched object, `UNKNOWN` as it says. The arrays of a window reach
        `halo` pixels beyond its core, but not beyond the raster. Then cores that partition a raster give the counts
        of the whole raster.
        """
        sides = [np.pad(np.asarray(one).astype(np.int64), 1, constant_values=UNKNOWN) for one in (true, found)]
        own = [part.indices(size)[:2] for part, size in zip(core, true.shape, strict=True)]
        # A corner belongs to the pixel right below it; the last ones of the raster have unknown pixels beside them.
        for side, other in (sides, sides[::-1]):
            self._count(side, other, own)

    def merge(self, other: MatchedOutlines) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has another spacing or reach.
        """
        if (self.spacing, self.reach) != (other.spacing, other.reach):
            raise ValueError("merged outlines need one spacing and one reach")
        self.pieces += other.pieces

    def lengths(self) -> Floats:
        """Return the length of outline at each of `distances`, and as the last number what is further away."""
        down, across = self.spacing
        lengths: Floats = self.pieces @ np.array([math.hypot(down, across) / 2, down, across])
        return lengths

    def median(self) -> float:
        """Return the median distance by length of outline; nan without outlines, inf if it is beyond the reach."""
        sums = np.cumsum(self.lengths())
        if not sums[-1] > 0:
            return float("nan")
        at = int(np.searchsorted(sums, sums[-1] / 2))
        return float(self.distances[at]) if at < len(self.distances) else float("inf")

    def _count(self, side: Ints, other: Ints, own: list[tuple[int, int]]) -> None:
        """Add the outlines (of the core) of one side, by their distances to those of the other."""
        (top, bottom), (left, right) = own
        around = _around(side, *(axis.ravel() for axis in np.mgrid[top:bottom, left:right]))
        mixed = ~(around == around[0]).all(0) & (around != UNKNOWN).all(0)
        at, around = np.flatnonzero(mixed), around[:, mixed]
        rows, columns = at // max(1, right - left) + top, at % max(1, right - left) + left
        for place in range(4):
            number = around[place]
            new = (number > 0) & (around[:place] != number).all(0)
            rank = self._ranks(other, rows[new], columns[new], number[new])
            for kind, lengths in enumerate(pieces_of(around[:, new] == number[new])):
                np.add.at(self.pieces[:, kind], rank, lengths)

    def _ranks(self, other: Ints, rows: Ints, columns: Ints, number: Ints) -> Ints:
        """Return the index (N,) in `distances` of the nearest corner of the partner's outline, or their number."""
        rank = np.full(len(rows), len(self.distances), np.int64)
        left, first = np.arange(len(rows)), 0
        while len(left) and first < len(self._rank):
            some = slice(first, first + max(1, _LOOKED_AT // len(left)))
            down, across = (steps[some] for steps in self._steps)
            r, c = rows[left][:, None] + down, columns[left][:, None] + across
            inside = (r >= 0) & (r < other.shape[0] - 1) & (c >= 0) & (c < other.shape[1] - 1)
            hit = np.zeros(r.shape, bool)
            wanted = np.broadcast_to(number[left][:, None], r.shape)[inside]
            hit[inside] = _is_outline(_around(other, r[inside], c[inside]), wanted)
            found = hit.any(1)
            rank[left[found]] = self._rank[some][hit[found].argmax(1)]
            left, first = left[~found], some.stop
        return rank


def _around(padded: Ints, rows: Ints, columns: Ints) -> Ints:
    """Return the four pixels around corners, (4, N): upper left, upper right, lower left, lower right."""
    return np.stack([padded[rows + down, columns + right] for down in (0, 1) for right in (0, 1)])


def _is_outline(around: Ints, number: Ints) -> Flags:
    """Return whether corners lie on the outline of the object of a number (N,), by their four pixels (4, N)."""
    inside = around == number
    found: Flags = inside.any(0) & ~inside.all(0) & (around != UNKNOWN).all(0)
    return found
