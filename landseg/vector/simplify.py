"""Arcs with fewer points, or without their staircase."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from landseg.vector.arcs import POINTS, Arcs
from landseg.vector.chains import Ints, batches, cut, spans
from landseg.vector.coverage import settle
from landseg.vector.walks import fans

HALVINGS = 4  # of the tolerance, before an arc is left as it was
LENGTH = 4096  # points of an arc that are reduced at a time: the rule's work can grow with the square
STAIRCASE = 0.75  # pixels: more than half a diagonal, by which a straight line's staircase leaves it
CUT = 0.25  # of a straight piece, at either end
LONGEST = 1.0  # pixels that are cut off it: long straight borders stay
ROUNDS = 2


def simplify(arcs: Arcs, tolerance: float, *, metric: Affine | None = None) -> Arcs:
    """Traced arcs with only the points that Douglas and Peucker's rule keeps, as a valid coverage; float64.

    No point of an arc was further than ``tolerance`` from what is left of it. It is in pixels, or in the units
    that ``metric`` maps the lattice to, such as metres, whatever shape its pixels have. The ends of arcs stay,
    and the first point of closed ones. Arcs that would cross, touch or jump over others, or leave less than
    three corners of a polygon, are drawn with half the tolerance, a quarter, ... and at last as they were.
    Of long arcs every 4,095th traced point stays too, so that the time goes with the number of points. The result
    does not depend on how the raster was cut. Memory: see `settle`.
    """
    assert arcs.points.dtype.kind == "i", "simplified arcs are not simplified again"
    to = metric or Affine.identity()

    def redraw(some: Arcs, which: Ints, level: Ints) -> Arcs:
        return _reduced(some, tolerance * _halves(level), to)

    return settle(arcs, redraw, HALVINGS + 1)


def smooth(arcs: Arcs) -> Arcs:
    """Arcs with round corners, as a valid coverage; float64.

    Of traced arcs (int32) the staircase is taken out first, by `simplify` with 0.75 pixels; simplified ones are
    taken as they are. Then corners are cut (Chaikin 1974): twice, each straight piece loses a quarter at either
    end, but a pixel at most, so that long straight borders stay. The ends of arcs stay. Arcs that would
    cross, touch or jump over others have less cut off, and at last nothing. Memory: see `settle`.
    """
    if arcs.points.dtype.kind == "i":
        arcs = simplify(arcs, STAIRCASE)
    fan, starts = fans(arcs)
    lone = np.zeros(len(arcs), bool)  # closed arcs without a node
    lone[fan[starts[np.diff(starts, append=len(fan)) == 2]] >> 1] = True

    def redraw(some: Arcs, which: Ints, level: Ints) -> Arcs:
        for _ in range(ROUNDS):
            some = _cut(some, lone[which], _halves(level))
        return some

    return settle(arcs, redraw, HALVINGS)


def _cut(arcs: Arcs, lone: NDArray[np.bool_], extent: NDArray[np.float64]) -> Arcs:
    """The arcs with their corners cut to an ``extent`` of each; the ends are corners of ``lone`` arcs only."""
    counts = np.diff(arcs.offsets) - 1
    first = np.cumsum(counts) - counts
    one = spans(arcs.offsets[:-1], counts)
    start, step = arcs.points[one], arcs.points[one + 1] - arcs.points[one]
    share = np.minimum(CUT, LONGEST / np.hypot(step[:, 0], step[:, 1])) * np.repeat(extent, counts)
    pieces = np.stack([start + share[:, None] * step, start + (1 - share)[:, None] * step], axis=1)
    held = np.flatnonzero(~lone)
    last = first[held] + counts[held] - 1
    pieces[first[held], 0] = start[first[held]]
    pieces[last, 1] = arcs.points[arcs.offsets[held + 1] - 1]
    offsets = np.append(0, np.cumsum(2 * counts + lone)).astype(np.int64)
    points = np.empty((offsets[-1], 2))
    points[spans(offsets[:-1], 2 * counts)] = pieces.reshape(-1, 2)
    points[offsets[1:][lone] - 1] = pieces[first[lone], 0]  # closed again
    return Arcs(points, offsets, arcs.left, arcs.right)


def _reduced(arcs: Arcs, tolerance: NDArray[np.float64], metric: Affine) -> Arcs:
    """The arcs, by Douglas and Peucker's rule with a tolerance for each."""
    kept, ends = [np.zeros((0, 2))], [np.zeros(0, bool)]
    forth, back = _linear(metric), np.linalg.inv(_linear(metric))
    begins, counts, arc = cut(arcs.offsets, LENGTH)
    final = np.append(arc[1:] != arc[:-1], True)
    for part in batches(counts, POINTS):
        points = arcs.points[spans(begins[part], counts[part])] @ forth
        offsets = np.append(0, np.cumsum(counts[part]))
        made = shapely.from_ragged_array(shapely.GeometryType.LINESTRING, points, (offsets,))
        made = shapely.simplify(made, tolerance[arc[part]], preserve_topology=False)
        points, line = shapely.get_coordinates(made, return_index=True)
        last = np.append(line[1:] != line[:-1], True)
        stays = ~last | final[part][line]  # the last point of a piece is the next one's first
        kept.append(np.rint(points[stays] @ back))  # lattice points they are, exactly
        ends.append((last & final[part][line])[stays])
    offsets = np.append(0, np.flatnonzero(np.concatenate(ends)) + 1)
    return Arcs(np.concatenate(kept), offsets, arcs.left, arcs.right)


def _halves(level: Ints) -> NDArray[np.float64]:
    return np.ldexp(1.0, -level)


def _linear(metric: Affine) -> NDArray[np.float64]:
    return np.array([[metric.a, metric.d], [metric.b, metric.e]])
