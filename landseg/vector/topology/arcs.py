"""The borders between regions, each held once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.linked_lists import batches, spans

POINTS = 1 << 20  # processed at a time


@dataclass(frozen=True)
class Arcs:
    """Lines along which two regions meet; they end at nodes, where more than two lines end, or are closed.

    Coordinates are those of the lattice of pixel corners: x = column, y = row, y down. *Left* is the left hand of a
    traveller along the points on the picture: the left of a line that runs east is north. So every region's outer
    ring, with the region on the left, runs counter-clockwise on the picture, and its holes clockwise.

    Traced arcs run with the larger value on the left, and no data always on the right; closed ones without a
    node begin at their first point in reading order; all are sorted by their first point in reading order, then
    east, south, west, north of it.

    Attributes:
        points: x and y of the turns and ends of each arc ``(P, 2)``; int32, or float64 after `simplify`.
        offsets: arc `a` is ``points[offsets[a]:offsets[a + 1]]``; ``(A + 1,)`` int64.
        left: the region on the left ``(A,)`` int64; -1 for no data and outside.
        right: the region on the right, likewise; never that on the left.
    """

    points: NDArray[Any]
    offsets: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.left)

    @property
    def closed(self) -> NDArray[np.bool_]:
        """Return True for arcs that end where they begin ``(A,)``."""
        ends = self.points[self.offsets[:-1]] == self.points[self.offsets[1:] - 1]
        closed: NDArray[np.bool_] = ends.all(axis=1)
        return closed

    def lengths(self, x_unit: float = 1.0, y_unit: float = 1.0) -> NDArray[np.float64]:
        """Return the length of each arc ``(A,)``, where a step along x and a step along y have these lengths."""
        found = np.zeros(len(self))
        counts = np.diff(self.offsets)
        for part in batches(counts, POINTS):
            begin, stop = self.offsets[part.start], self.offsets[part.stop]
            steps = np.diff(np.asarray(self.points[begin:stop], np.float64), axis=0) * (x_unit, y_unit)
            steps = np.append(np.hypot(steps[:, 0], steps[:, 1]), 0.0)
            steps[self.offsets[part.start + 1 : part.stop + 1] - begin - 1] = 0  # from one arc to the next
            found[part] = np.add.reduceat(steps, self.offsets[part] - begin)
        return found

    def chosen(self, index: NDArray[Any]) -> Arcs:
        """Return the arcs ``index``, in that order, in memory."""
        counts = np.diff(self.offsets)[index]
        points = np.asarray(self.points[spans(self.offsets[index], counts)])
        return Arcs(points, np.append(0, np.cumsum(counts)), self.left[index], self.right[index])
