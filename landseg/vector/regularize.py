"""Right-angled outlines for buildings: every edge along or across the building's main direction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.metres import metres_per_unit

Geometries = NDArray[Any]
Fits = Callable[[Geometries], NDArray[np.bool_]]
Corner = tuple[float, float]
Line = tuple[float, float]
"""A horizontal or vertical line: the sum of offset times extent of its edges, and the sum of their extents."""

MAX_SHIFT = 3.0
_ROUNDING = 1e-7  # share of a building's area that may overlap another, since cuts are rounded


@dataclass(frozen=True)
class Regularized:
    """Outlines after they were regularized.

    Attributes:
        polygons: (N,) outlines, in the order of the input.
        iou: (N,) intersection over union of each with its input.
        right_angled: (N,), False where a building, or a part of a building, keeps its outline.
    """

    polygons: Geometries
    iou: NDArray[np.float64]
    right_angled: NDArray[np.bool_]


def regularize(
    polygons: Geometries,
    *,
    crs: Any = None,
    tolerance_m: float = 1.0,
    min_iou: float = 0.7,
    max_shift: float = MAX_SHIFT,
    fits: Fits = shapely.is_valid,
) -> Regularized:
    """Return valid outlines whose corners are right angles, close to the given ones; none overlaps another.

    Each outline is simplified within the tolerance. Its main direction is the mean direction of its edges modulo a
    right angle, in which long edges count most; the direction of its smallest rectangle is tried too, and the better
    fit is taken. Consecutive edges along the same axis become one line at the mean of the outline there. The shortest
    line is removed, and its neighbours become one, until every line is as long as the tolerance. Holes are treated in
    the same way, in the direction of their building. Where two new outlines overlap, the smaller is cut, at the angle
    of the other; if too little is left, it keeps its own outline. So does a building whose new outline would not be a
    valid polygon. The parts of a multipolygon are drawn one by one and joined again at the end.

    The order of the polygons does not matter. Buildings that are round, or of wings at other angles, mostly keep
    their outlines, by `min_iou` and `max_shift`. Neighbours of other classes are ignored: between a building and the
    land around it there are gaps and overlaps, at most `max_shift` tolerances wide.

    Args:
        polygons: (N,) valid shapely polygons and multipolygons that do not overlap; all that could meet belong in
            one call.
        crs: their CRS in any form that pyproj reads, so that angles are right on the ground; None: units are metres.
        tolerance_m: about the distance that an edge may move, and the length of the shortest edge; at least about two
            pixels.
        min_iou: a building keeps its outline where the new one has a smaller intersection over union with it.
        max_shift: a building keeps its outline where the new one would move by more tolerances; holes do not count.
        fits: returns (N,) True for outlines that may be used; a test that coordinates stay valid after conversion.
    """
    polygons = np.asarray(polygons, dtype=object)
    if not len(polygons):
        return Regularized(polygons, np.zeros(0), np.zeros(0, bool))
    whole = polygons
    polygons, owner = shapely.get_parts(whole, return_index=True)
    centres = shapely.bounds(polygons)
    centres = (centres[:, :2] + centres[:, 2:]) / 2
    scale = metres_per_unit(polygons, crs)
    flat = _moved(polygons, lambda points, at: (points - centres[at]) * scale[at])
    simple = shapely.simplify(flat, tolerance_m)
    best, iou = flat.copy(), np.zeros(len(flat))
    for directions in (_edge_directions(flat, simple), _rectangle_directions(simple)):
        made = _along(flat, simple, directions, tolerance_m)
        found = _iou(made, flat)
        better = found > iou + 1e-9
        best[better], iou[better] = made[better], found[better]
    done = iou >= min_iou
    # Blocks of many wings share most of their area with an outline that cuts across a street between them.
    done[done] = _shift(best[done], simple[done]) <= (max_shift - 1) * tolerance_m
    back = _moved(best, lambda points, at: points / scale[at] + centres[at])
    made, done = _apart(polygons, back, done, min_iou, lambda parts: fits(_joined(whole, parts, owner))[owner])
    shapes = _joined(whole, made, owner)
    return Regularized(shapes, _iou(shapes, whole), np.bincount(owner, ~done, minlength=len(whole)) == 0)


def _joined(whole: Geometries, parts: Geometries, owner: NDArray[np.intp]) -> Geometries:
    """Return geometries (N,) of the kinds of ``whole``, made of ``parts`` (P,) by their ``owner`` (P,), an index."""
    many = shapely.get_type_id(whole) == shapely.GeometryType.MULTIPOLYGON
    made = np.empty(len(whole), dtype=object)
    single = ~many[owner]
    made[owner[single]] = parts[single]
    if many.any():
        numbers = np.cumsum(many) - 1
        made[many] = shapely.multipolygons(parts[~single], indices=numbers[owner[~single]])
    return made


def _moved(polygons: Geometries, place: Any) -> Geometries:
    """Return polygons with new points; ``place`` maps points (P, 2) and indices (P,) of polygons to new points."""
    points, owner = shapely.get_coordinates(polygons, return_index=True)
    return np.asarray(shapely.set_coordinates(polygons.copy(), place(points, owner)))


def _edge_directions(polygons: Geometries, simple: Geometries) -> NDArray[np.float64]:
    """Return (N,) angles in radians: the mean of an outline's edges modulo a right angle, weighted by length squared.

    An edge is the part of the outline between two points that the simplified outline keeps. Its direction is that in
    which this part extends most, which is far less rough than the direction from point to point.
    """
    points, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    kept, keeper = shapely.get_coordinates(shapely.get_exterior_ring(simple), return_index=True)
    starts = np.isin(_keys(points, owner), _keys(kept, keeper))
    starts[1:] |= owner[1:] != owner[:-1]
    starts[0], inside = True, owner[1:] == owner[:-1]
    _, first, edge = np.unique(np.cumsum(starts)[:-1][inside], return_index=True, return_inverse=True)
    step, middle = np.diff(points, axis=0)[inside], ((points[1:] + points[:-1]) / 2)[inside]
    weight = np.hypot(*step.T)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(edge, weight * values) / np.maximum(np.bincount(edge, weight), 1e-12))

    (x, y), (dx, dy) = middle.T, step.T
    xx = mean(x * x + dx * dx / 12) - mean(x) ** 2
    yy = mean(y * y + dy * dy / 12) - mean(y) ** 2
    xy = mean(x * y + dx * dy / 12) - mean(x) * mean(y)
    spread = np.hypot(xx - yy, 2 * xy)
    return _mean_direction(
        np.arctan2(2 * xy, xx - yy) / 2, xx + yy + spread, owner[:-1][inside][first], len(polygons)
    )


def _keys(points: NDArray[np.float64], owner: NDArray[np.intp]) -> NDArray[np.void]:
    """Return keys (P,) that are equal for equal points of the same owner only."""
    return np.column_stack([owner, points]).view("V24").ravel()


def _rectangle_directions(polygons: Geometries) -> NDArray[np.float64]:
    """Return (N,) angles in radians of the smallest rectangles around the polygons."""
    points, owner = shapely.get_coordinates(shapely.oriented_envelope(polygons), return_index=True)
    inside = owner[1:] == owner[:-1]
    edges = np.diff(points, axis=0)[inside]
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    return _mean_direction(angles, np.hypot(*edges.T), owner[1:][inside], len(polygons))


def _mean_direction(
    angles: NDArray[np.float64], weights: NDArray[np.float64], owner: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Return (count,) means modulo a right angle: four times the angle is equal for all four sides of a rectangle."""
    x, y = (np.bincount(owner, weights * f(4 * angles), count) for f in (np.cos, np.sin))
    return np.asarray(np.arctan2(y, x) / 4)


def _iou(ones: Geometries, others: Geometries) -> NDArray[np.float64]:
    """Return the intersection over union (N,) of each pair; 0 where the first is missing or not valid."""
    good = shapely.is_valid(ones) & ~shapely.is_missing(ones)
    shared = np.zeros(len(ones))
    shared[good] = shapely.area(shapely.intersection(ones[good], others[good]))
    whole = shapely.area(ones) + shapely.area(others) - shared
    return np.asarray(np.divide(shared, whole, out=np.zeros(len(ones)), where=good & (whole > 0)))


def _shift(ones: Geometries, others: Geometries) -> NDArray[np.float64]:
    """Return (N,) the Hausdorff distance of the exterior rings of each pair; holes do not count."""
    return np.asarray(shapely.hausdorff_distance(*map(shapely.get_exterior_ring, (ones, others))))


def _along(polygons: Geometries, simple: Geometries, directions: NDArray[np.float64], shortest: float) -> Geometries:
    """Return the polygons with all edges along or across their directions; None where nothing is left of them."""
    turn = np.exp(1j * directions)
    level, level_simple = (_moved(every, lambda xy, at: _turned(xy, turn[at].conj())) for every in (polygons, simple))
    made = np.array([_squared(*pair, shortest) for pair in zip(level, level_simple, strict=True)], dtype=object)
    found = ~shapely.is_missing(made)
    made[found] = _moved(made[found], lambda xy, at: _turned(xy, turn[found][at]))
    return made


def _turned(points: NDArray[np.float64], turn: NDArray[np.complex128]) -> NDArray[np.float64]:
    x, y = points.T
    return np.stack([x * turn.real - y * turn.imag, x * turn.imag + y * turn.real], axis=1)


def _squared(polygon: shapely.Polygon, simple: shapely.Polygon, shortest: float) -> shapely.Polygon | None:
    """Return a polygon with horizontal and vertical edges alone; None where nothing is left of it."""
    pairs = zip(shapely.get_rings(polygon), shapely.get_rings(simple), strict=True)
    rings = [_corners(_lines(shapely.get_coordinates(ring), kept.coords), shortest) for ring, kept in pairs]
    if not rings[0]:
        return None
    # A ring may cross itself; its repair still has edges along both directions alone.
    whole, *holes = shapely.make_valid([shapely.Polygon(ring) for ring in rings if ring])
    parts = shapely.get_parts(shapely.difference(whole, shapely.union_all(holes)) if holes else whole)
    return parts[shapely.area(parts).argmax()]


def _corners(lines: list[Line], shortest: float) -> list[Corner]:
    """Return the corners of lines, horizontal and vertical in turn; [] where fewer than four lines are left."""
    while (count := len(lines)) >= 4:
        offsets = [moment / weight for moment, weight in lines]
        lengths = [abs(offsets[(i + 1) % count] - offsets[i - 1]) for i in range(count)]
        least = min(lengths)
        if least >= shortest or (count == 4 and least > 0):
            return [
                (offsets[i - 1], offsets[i]) if i % 2 == 0 else (offsets[i], offsets[i - 1]) for i in range(count)
            ]
        _give_way(lines, lengths.index(least))
    return []


def _lines(ring: NDArray[np.float64], kept: Iterable[Corner]) -> list[Line]:
    """Return lines that are horizontal (even) and vertical (odd) in turn, one for consecutive edges along one axis.

    An edge is the part of the ring ``(P, 2)`` between two points that the simplified ring ``kept``; its offset is the
    mean of that part, so that the area on both sides stays the same.
    """
    x, y = ring.T
    under = np.concatenate([[0], np.cumsum((y[1:] + y[:-1]) / 2 * np.diff(x))]).tolist()
    beside = np.concatenate([[0], np.cumsum((x[1:] + x[:-1]) / 2 * np.diff(y))]).tolist()
    place = {point: index for index, point in enumerate(map(tuple, ring[:-1].tolist()))}
    corners = list(kept)
    kinds: list[bool] = []
    lines: list[Line] = []
    for (from_x, from_y), (to_x, to_y) in pairwise(corners):
        level = abs(to_x - from_x) >= abs(to_y - from_y)
        sums, extent = (under, to_x - from_x) if level else (beside, to_y - from_y)
        if not extent:
            continue
        start, end = place[from_x, from_y], place[to_x, to_y]
        moment = sums[end] - sums[start] + (sums[-1] if end <= start else 0)
        line = (math.copysign(1, extent) * moment, abs(extent))
        if kinds and kinds[-1] == level:
            lines[-1] = _sum(lines[-1], line)
        else:
            kinds.append(level)
            lines.append(line)
    if len(lines) > 1 and kinds[0] == kinds[-1]:
        lines[0] = _sum(lines[0], lines.pop())
        kinds.pop()
    return lines if not kinds or kinds[0] else [*lines[1:], lines[0]]


def _sum(one: Line, other: Line) -> Line:
    return one[0] + other[0], one[1] + other[1]


def _give_way(lines: list[Line], index: int) -> None:
    """Remove a line, in place; its neighbours, which are parallel, become one."""
    count = len(lines)
    before, after = (index - 1) % count, (index + 1) % count
    lines[before] = _sum(lines[before], lines[after])
    for gone in sorted((index, after), reverse=True):
        del lines[gone]
    if (before - sum(gone < before for gone in (index, after))) % 2 != before % 2:
        lines.append(lines.pop(0))


def _apart(
    own: Geometries, made: Geometries, done: NDArray[np.bool_], min_iou: float, fit: Fits
) -> tuple[Geometries, NDArray[np.bool_]]:
    """Return outlines (N,) that do not overlap, and which of them (N,) are new; ``done`` (N,) tells which may be new.

    Of two that overlap the smaller is cut; where the cut spoils it, it keeps its ``own`` outline, as do those that
    do not `fit`.
    """
    made, done = np.where(done, made, own), done.copy()
    _keep_own(own, made, done, fit)
    rank = np.lexsort((*shapely.bounds(own).T, -shapely.area(own))).argsort()  # the larger first, in any order given
    while len(pairs := _overlapping(made, rank, done)):
        for large, small in pairs.tolist():
            if done[small]:
                cut = shapely.difference(made[small : small + 1], made[large])
                if shapely.get_type_id(cut[0]) == 3 and _iou(cut, own[small : small + 1])[0] >= min_iou:
                    made[small] = cut[0]
                    continue
            back = small if done[small] else large
            made[back], done[back] = own[back], False
        _keep_own(own, made, done, fit)
    return made, done


def _keep_own(own: Geometries, made: Geometries, done: NDArray[np.bool_], fit: Fits) -> None:
    """Put the ``own`` outlines back, in place, where new ones do not `fit`."""
    back = done & ~fit(made)
    made[back], done[back] = own[back], False


def _overlapping(made: Geometries, rank: NDArray[np.intp], done: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return pairs (M, 2) of overlapping outlines, the larger building first, of which at least one is new."""
    one, other = shapely.STRtree(made).query(made, predicate="intersects")
    kept = (rank[one] < rank[other]) & (done[one] | done[other])
    one, other = one[kept], other[kept]
    shared = shapely.area(shapely.intersection(made[one], made[other]))
    kept = shared > _ROUNDING * np.minimum(shapely.area(made[one]), shapely.area(made[other]))
    one, other = one[kept], other[kept]
    order = np.lexsort((rank[other], rank[one]))
    return np.stack([one[order], other[order]], axis=1)
