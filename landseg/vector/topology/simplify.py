"""Arcs with fewer points, or without their staircase."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from landseg.vector.topology.arcs import POINTS, Arcs
from landseg.vector.topology.coverage import redraw_coverage
from landseg.vector.topology.linked_lists import Ints, batches, cut_spans, spans
from landseg.vector.topology.traversal import fans

HALVINGS = 4  # of the tolerance, before an arc is left as it was
LENGTH = 4096  # points of an arc that are reduced at a time: the rule's work can grow with the square
STAIRCASE = 0.75  # pixels: more than half a diagonal, by which a straight line's staircase leaves it
CUT = 0.25  # of a straight piece, at either end
LONGEST = 1.0  # pixels that are cut off it: long straight borders stay
ROUNDS = 2
Frame = tuple[int, int]
"""(width, height) of a raster in pixels: what lies on its edge."""


def simplify(arcs: Arcs, tolerance: float, *, metric: Affine | None = None, frame: Frame | None = None) -> Arcs:
    """Return traced arcs with only the points that Douglas and Peucker's rule keeps, as a valid coverage; float64.

    No point of an arc was further than ``tolerance`` from what is left of it. It is in pixels, or in the units
    that ``metric`` maps the lattice to, such as metres, whatever shape its pixels have. The ends of arcs stay,
    the first point of closed ones, and every point on the ``frame``, if there is one: so the corners of a raster
    stay, its sides are straight, and maps of neighbouring rasters meet. Arcs that would cross, touch or jump over
    others, or leave less than three corners of a polygon, are drawn with half the tolerance, a quarter, ... and
    at last as they were. Of long arcs every 4,095th traced point stays too, so that the time goes with the number
    of points. The result does not depend on how the raster was cut. Memory: see `redraw_coverage`.
    """
    assert arcs.points.dtype.kind == "i", "simplified arcs are not simplified again"
    to = metric or Affine.identity()

    def redraw(some: Arcs, which: Ints, level: Ints) -> Arcs:
        return _reduced(some, tolerance * _halves(level), to, frame)

    return redraw_coverage(arcs, redraw, HALVINGS + 1)


def smooth(arcs: Arcs, *, frame: Frame | None = None) -> Arcs:
    """Return arcs with round corners, as a valid coverage; float64.

    Of traced arcs (int32) the staircase is taken out first, by `simplify` with 0.75 pixels; simplified ones are
    taken as they are. Then corners are cut (Chaikin 1974): twice, each straight piece loses a quarter at either
    end, but a pixel at most, so that long straight borders stay. The ends of arcs stay, and what lies on the
    ``frame``, if there is one. Arcs that would
    cross, touch or jump over others have less cut off, and at last nothing. Memory: see `redraw_coverage`.
    """
    if arcs.points.dtype.kind == "i":
        arcs = simplify(arcs, STAIRCASE, frame=frame)
    fan, starts = fans(arcs)
    lone = np.zeros(len(arcs), bool)  # closed arcs without a node
    lone[fan[starts[np.diff(starts, append=len(fan)) == 2]] >> 1] = True
    lone &= ~_on_frame(arcs.points[arcs.offsets[:-1]], frame)

    def redraw(some: Arcs, which: Ints, level: Ints) -> Arcs:
        for _ in range(ROUNDS):
            some = _cut(some, lone[which], _halves(level), frame)
        return some

    return redraw_coverage(arcs, redraw, HALVINGS)


def _cut(arcs: Arcs, lone: NDArray[np.bool_], extent: NDArray[np.float64], frame: Frame | None) -> Arcs:
    """The arcs with their corners cut to an ``extent`` of each, but for corners on the ``frame``.

    The ends of arcs are corners of ``lone`` ones only.
    """
    counts = np.diff(arcs.offsets) - 1
    first = np.cumsum(counts) - counts
    one = spans(arcs.offsets[:-1], counts)
    start, end = arcs.points[one], arcs.points[one + 1]
    step = end - start
    share = np.minimum(CUT, LONGEST / np.hypot(step[:, 0], step[:, 1])) * np.repeat(extent, counts)
    pieces = np.stack([start + share[:, None] * step, start + (1 - share)[:, None] * step], axis=1)
    begins, ends = _on_frame(start, frame), _on_frame(end, frame)
    begins[first[~lone]] = ends[(first + counts - 1)[~lone]] = True
    pieces[begins, 0], pieces[ends, 1] = start[begins], end[ends]
    twice = begins.copy()  # a corner that stays is the end of what comes before it
    twice[first] = False
    offsets = np.append(0, np.cumsum(2 * counts + lone - np.add.reduceat(twice, first))).astype(np.int64)
    points = np.empty((offsets[-1], 2))
    drawn = np.ones(len(points), bool)
    drawn[offsets[1:][lone] - 1] = False
    points[drawn] = pieces[np.stack([~twice, np.ones_like(twice)], axis=1)]
    points[~drawn] = pieces[first[lone], 0]  # closed again
    return Arcs(points, offsets, arcs.left, arcs.right)


def _reduced(arcs: Arcs, tolerance: NDArray[np.float64], metric: Affine, frame: Frame | None = None) -> Arcs:
    """The arcs by Douglas and Peucker's rule, with a tolerance for each; points on the ``frame`` stay."""
    kept, ends = [np.zeros((0, 2))], [np.zeros(0, bool)]
    forth, back = _linear(metric), np.linalg.inv(_linear(metric))
    begins, counts, arc = _between(arcs, frame)
    begins, counts, line = cut_spans(begins, counts, LENGTH)
    arc = arc[line]
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


def _between(arcs: Arcs, frame: Frame | None) -> tuple[Ints, Ints, Ints]:
    """Where the parts of arcs between points on the ``frame`` begin, how many points each has, and its arc."""
    stays = _on_frame(arcs.points, frame)
    stays[arcs.offsets[:-1]] = stays[arcs.offsets[1:] - 1] = True
    begins, counts, arc = _spans_between(arcs, stays)
    if frame is None:
        return begins, counts, arc
    one, other = arcs.points[begins], arcs.points[begins + counts - 1]
    side = (one == other) & ((one == 0) | (one == frame))  # x, y: both ends are on one side of the frame
    notch = np.flatnonzero(side.any(axis=1) & (counts > 2))
    if len(notch):  # its deepest point stays, or a line straight along the frame would fill it
        index = spans(begins[notch], counts[notch])
        first = np.cumsum(counts[notch]) - counts[notch]
        axis = np.repeat(np.where(side[notch, 0], 0, 1), counts[notch])
        depth = np.abs(arcs.points[index, axis] - arcs.points[np.repeat(begins[notch], counts[notch]), axis])
        deepest = np.flatnonzero(depth == np.repeat(np.maximum.reduceat(depth, first), counts[notch]))
        stays[index[deepest[np.searchsorted(deepest, first)]]] = True
    return _spans_between(arcs, stays)


def _spans_between(arcs: Arcs, stays: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Where parts of arcs, from one point that ``stays`` to the next, begin, how many points each has, its arc."""
    place = np.flatnonzero(stays)
    arc = np.searchsorted(arcs.offsets, place, side="right") - 1
    inside = arc[1:] == arc[:-1]
    return place[:-1][inside], np.diff(place)[inside] + 1, arc[:-1][inside]


def _on_frame(points: NDArray[Any], frame: Frame | None) -> NDArray[np.bool_]:
    """Which points (n, 2) of the lattice lie on the raster's edge; none where there is no ``frame``."""
    if frame is None:
        return np.zeros(len(points), bool)
    on: NDArray[np.bool_] = ((points == 0) | (points == frame)).any(axis=1)
    return on


def _halves(level: Ints) -> NDArray[np.float64]:
    return np.ldexp(1.0, -level)


def _linear(metric: Affine) -> NDArray[np.float64]:
    return np.array([[metric.a, metric.d], [metric.b, metric.e]])
