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
from landseg.vector.topology.traversal import sort_fans

HALVINGS = 4  # of the tolerance, before an arc stays as it was
LENGTH = 4096  # points of an arc that are reduced at a time: work can grow with the square of this number
STAIRCASE = 0.75  # pixels: more than half a diagonal, the distance of a staircase from its straight line
CUT = 0.25  # share of a straight piece that is cut off at either end
LONGEST = 1.0  # pixels that are cut off it at most, so that long straight borders stay
ROUNDS = 2
Frame = tuple[int, int]
"""(width, height) of a raster in pixels; points on its edge stay."""


def simplify(arcs: Arcs, tolerance: float, *, metric: Affine | None = None, frame: Frame | None = None) -> Arcs:
    """Return traced arcs with only the points that Douglas and Peucker's rule keeps, as a valid coverage; float64.

    No point of an arc is further than ``tolerance`` from the simplified arc, in pixels, or in the units (such as
    metres) that ``metric`` maps the lattice to. The ends of arcs stay, the first point of closed ones, and every
    point on the ``frame``, if there is one: so the corners of a raster stay, its sides are straight, and maps of
    neighbouring rasters meet. Arcs that would cross, touch or jump over others, or leave less than three corners of a
    polygon, are drawn with half the tolerance, a quarter, ... and in the end as they were. Of long arcs every 4,095th
    traced point stays too, so that the time grows with the number of points. The result does not depend on how the
    raster was cut. Memory: see `redraw_coverage`.
    """
    assert arcs.points.dtype.kind == "i", "simplified arcs are not simplified again"
    to = metric or Affine.identity()

    def redraw(chosen: Arcs, which: Ints, level: Ints) -> Arcs:
        return _reduced(chosen, tolerance * _halves(level), to, frame)

    return redraw_coverage(arcs, redraw, HALVINGS + 1)


def smooth(arcs: Arcs, *, frame: Frame | None = None) -> Arcs:
    """Return arcs with round corners, as a valid coverage; float64.

    The staircase of traced arcs (int32) is removed first, by `simplify` with 0.75 pixels; simplified arcs are used as
    they are. Then corners are cut (Chaikin 1974): twice, each straight piece loses a quarter at either end, but at
    most a pixel, so that long straight borders stay. The ends of arcs stay, and so do points on the ``frame``, if
    there is one. Of arcs that would cross, touch or jump over others less is cut off, and in the end nothing. Memory:
    see `redraw_coverage`.
    """
    if arcs.points.dtype.kind == "i":
        arcs = simplify(arcs, STAIRCASE, frame=frame)
    fan, starts = sort_fans(arcs)
    lone = np.zeros(len(arcs), bool)  # closed arcs without a node
    lone[fan[starts[np.diff(starts, append=len(fan)) == 2]] >> 1] = True
    lone &= ~_on_frame(arcs.points[arcs.offsets[:-1]], frame)

    def redraw(chosen: Arcs, which: Ints, level: Ints) -> Arcs:
        for _ in range(ROUNDS):
            chosen = _cut(chosen, lone[which], _halves(level), frame)
        return chosen

    return redraw_coverage(arcs, redraw, HALVINGS)


def _cut(arcs: Arcs, lone: NDArray[np.bool_], extent: NDArray[np.float64], frame: Frame | None) -> Arcs:
    """Return the arcs with their corners cut to the ``extent`` of each (A,), except corners on the ``frame``.

    The ends of ``lone`` arcs are corners too; those of the others stay.
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
    twice = begins.copy()  # a corner that stays is the end of the piece before it
    twice[first] = False
    offsets = np.append(0, np.cumsum(2 * counts + lone - np.add.reduceat(twice, first))).astype(np.int64)
    points = np.empty((offsets[-1], 2))
    drawn = np.ones(len(points), bool)
    drawn[offsets[1:][lone] - 1] = False
    points[drawn] = pieces[np.stack([~twice, np.ones_like(twice)], axis=1)]
    points[~drawn] = pieces[first[lone], 0]  # closed again
    return Arcs(points, offsets, arcs.left, arcs.right)


def _reduced(arcs: Arcs, tolerance: NDArray[np.float64], metric: Affine, frame: Frame | None = None) -> Arcs:
    """Return the arcs by Douglas and Peucker's rule, with a tolerance for each (A,); points on the ``frame`` stay."""
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
        stays = ~last | final[part][line]  # the last point of a piece is the first of the next
        kept.append(np.rint(points[stays] @ back))  # exactly lattice points
        ends.append((last & final[part][line])[stays])
    offsets = np.append(0, np.flatnonzero(np.concatenate(ends)) + 1)
    return Arcs(np.concatenate(kept), offsets, arcs.left, arcs.right)


def _between(arcs: Arcs, frame: Frame | None) -> tuple[Ints, Ints, Ints]:
    """Return the parts of arcs between points on the ``frame``: first point, number of points, and arc of each."""
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
    """Return the parts of arcs from one point that ``stays`` to the next: first point, number of points, and arc."""
    place = np.flatnonzero(stays)
    arc = np.searchsorted(arcs.offsets, place, side="right") - 1
    inside = arc[1:] == arc[:-1]
    return place[:-1][inside], np.diff(place)[inside] + 1, arc[:-1][inside]


def _on_frame(points: NDArray[Any], frame: Frame | None) -> NDArray[np.bool_]:
    """Return (n,) True for points (n, 2) of the lattice on the raster's edge; all False without a ``frame``."""
    if frame is None:
        return np.zeros(len(points), bool)
    on: NDArray[np.bool_] = ((points == 0) | (points == frame)).any(axis=1)
    return on


def _halves(level: Ints) -> NDArray[np.float64]:
    return np.ldexp(1.0, -level)


def _linear(metric: Affine) -> NDArray[np.float64]:
    return np.array([[metric.a, metric.d], [metric.b, metric.e]])
