"""Shapes on the globe: cut where longitudes end, and closed over the poles.

Longitudes and the x of upright cylinders come round after a period; other projections are torn along a meridian. A
shape that crosses such a seam is one shape on the ground and has to be several on the map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.geo.crs import Floats, as_pyproj, degree, transformer
from landseg.geo.grid import Grid, placed

Shapes = NDArray[Any]
Move = Callable[[Floats], Floats]
"""Coordinates (N, 2) to coordinates (N, 2)."""

POLE = 90 - 1e-9  # degrees: a point nearer to a pole is at it
INSIDE = 1e-9  # degrees that a cut is kept off the seam of a projection, a tenth of a millimetre
TINY = 1e-6  # units of a map that count as no distance
OUTLINE = 64  # points along each edge of a raster's footprint


def on_globe(shapes: Shapes, own: Any, base: Any, *, centre: float = 0.0) -> Shapes:
    """Return shapes in degrees of longitude within 180 of a centre, and of latitude.

    Shapes that cross the cut become several parts, and polygons around a pole reach it. Coordinates of a geographic
    CRS are taken literally: 181 lies east of 180, and a line from 170 to -170 goes the long way. Of other CRSs an
    edge goes the short way. Other shapes keep their corners.

    Args:
        shapes: (N,) of shapely, none None; edges are short compared with the globe.
        own: the CRS of the shapes.
        base: the geographic CRS of the result.
        centre: longitude of the middle of the result.

    Raises:
        GridError: no transformation is known.
    """
    literal = as_pyproj(own).is_geographic
    moved = np.asarray(shapely.transform(shapes, degrees_of(own, base)), dtype=object)
    points, index = shapely.get_coordinates(moved, return_index=True)
    bad = np.zeros(len(shapes), bool)
    if literal:
        bad[index[(np.abs(points[:, 0] - centre) > 180) | (np.abs(points[:, 1]) > 90)]] = True
    else:
        points[:, 0] = _near(points[:, 0], centre, 360.0)
        moved = np.asarray(shapely.set_coordinates(moved, points), dtype=object)
        same = index[1:] == index[:-1]  # two rings of one shape count as an edge too: no harm is done
        bad[index[1:][same & (np.abs(np.diff(points[:, 0])) > 180)]] = True
        bad[index[np.abs(points[:, 1]) > POLE]] = True
    for at in np.flatnonzero(bad).tolist():
        moved[at] = _cut(moved[at], shapes[at], centre, literal=literal)
    return moved


def degrees_of(own: Any, base: Any) -> Move:
    """Return a function from coordinates of a CRS to degrees of a geographic one; literal longitudes stay literal."""
    there, here = as_pyproj(base), as_pyproj(own)
    move, unit = transformer(own, base), degree(there)
    literal = degree(here) if here.is_geographic else None

    def go(points: Floats) -> Floats:
        lon, lat = move.transform(points[:, 0], points[:, 1])
        lon, lat = np.asarray(lon) * unit, np.asarray(lat) * unit
        if literal is not None:
            lon = _near(lon, points[:, 0] * literal, 360.0)
        return np.stack([lon, lat], axis=1)

    return go


def through_poles(shapes: Shapes, poles: Floats) -> Shapes:
    """Return shapes with a corner at each of n points (n, 2) that one of their edges runs through.

    An edge across a pole leaves it on the opposite meridian; a straight line between degrees never does.
    """
    found = np.array(shapes, dtype=object)
    for x, y in poles.tolist():
        slack = TINY * max(1.0, abs(x), abs(y))
        near = shapely.dwithin(found, shapely.Point(x, y), slack) & (shapely.get_dimensions(found) > 0)
        for at in np.flatnonzero(near).tolist():
            found[at] = rebuilt(found[at], partial(_with_corner, x=x, y=y, slack=slack))
    return found


def pole_points(own: Any, base: Any) -> Floats:
    """Return the coordinates (n, 2) of the poles in a CRS: those that are one point there and not a line."""
    if as_pyproj(own).is_geographic:
        return np.empty((0, 2))
    unit = degree(as_pyproj(base))
    lon, lat = np.meshgrid([-120.0, 0.0, 100.0], [-90.0, 90.0])
    x, y = transformer(base, own).transform(lon / unit, lat / unit)
    found = [
        (a[0], b[0])
        for a, b in zip(np.asarray(x), np.asarray(y), strict=True)
        if np.isfinite([*a, *b]).all() and np.ptp(a) + np.ptp(b) < TINY * (1 + abs(a[0]) + abs(b[0]))
    ]
    return np.array(found, np.float64).reshape(-1, 2)


def _with_corner(line: Floats, *, x: float, y: float, slack: float) -> Floats:
    """Return a line (N, 2) with a corner at (x, y) on each edge that runs through that point."""
    start, way = line[:-1], np.diff(line, axis=0)
    long = np.hypot(*way.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        along = ((x - start[:, 0]) * way[:, 0] + (y - start[:, 1]) * way[:, 1]) / long
        off = np.abs((x - start[:, 0]) * way[:, 1] - (y - start[:, 1]) * way[:, 0]) / long
    hit = np.flatnonzero((off <= slack) & (along > slack) & (along < long - slack))
    return np.insert(line, hit + 1, np.array([x, y]), axis=0) if len(hit) else line


def rebuilt(shape: shapely.Geometry, change: Move) -> shapely.Geometry:
    """Return a shape with every ring or line of it changed."""
    parts = []
    for part in shapely.get_parts(shape):
        first, *holes = (change(shapely.get_coordinates(line)) for line in _lines_of(part))
        parts.append(shapely.Polygon(first, holes) if part.geom_type == "Polygon" else shapely.LineString(first))
    return parts[0] if len(parts) == 1 and shape.geom_type in ("Polygon", "LineString") else joined_parts(parts)


def _lines_of(part: shapely.Geometry) -> list[shapely.Geometry]:
    """Return the rings of a polygon, the outer one first, or a line itself."""
    return [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]


def _near(values: Floats, centre: Any, turn: float) -> Floats:
    """Return values moved by whole turns to within half a turn of a centre; those within it keep every bit."""
    turns = np.round((np.asarray(centre) - values) / turn)
    turns[np.abs(values - centre) <= turn / 2] = 0
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(turns == 0, values, values + turns * turn))


def _cut(shape: shapely.Geometry, drawn: shapely.Geometry, centre: float, *, literal: bool) -> shapely.Geometry:
    """Return a shape in degrees cut at 180 from the centre; its inside is that of ``drawn``, in its own CRS."""
    parts: list[shapely.Geometry] = []
    for part, own in zip(shapely.get_parts(shape), shapely.get_parts(drawn), strict=True):
        if part.geom_type == "Polygon":
            parts += shapely.get_parts(_cut_polygon(part, own, centre, literal=literal)).tolist()
        elif part.geom_type == "Point":
            x, y = part.x, part.y
            parts.append(shapely.Point(float(_near(np.array([x]), centre, 360.0)[0]), max(-90.0, min(90.0, y))))
        else:
            line = shapely.get_coordinates(part)
            if not literal:
                line = np.stack([_unrolled(line[:, 0]), line[:, 1]], axis=1)
            parts += shapely.get_parts(_windows(shapely.LineString(_snapped(line, centre)), centre)).tolist()
    kind = shapely.get_dimensions(shape)
    parts = [part for part in parts if shapely.get_dimensions(part) == kind and not part.is_empty]
    if len(parts) == 1:
        return parts[0]
    joined = joined_parts(parts)
    return joined if kind < 2 or joined.is_valid else shapely.union_all(parts)  # parts met at the pole, now a line


def joined_parts(parts: list[shapely.Geometry]) -> shapely.Geometry:
    """Return parts as one shape of several parts."""
    kinds = {part.geom_type for part in parts}
    if kinds == {"Polygon"}:
        return shapely.MultiPolygon(parts)
    return shapely.MultiLineString(parts) if kinds == {"LineString"} else shapely.GeometryCollection(parts)


def _cut_polygon(part: Any, own: Any, centre: float, *, literal: bool) -> shapely.Geometry:
    """Return the area of a polygon within 180 degrees of the centre: its outer ring's region less its holes."""
    rings = list(zip(_lines_of(part), _lines_of(own), strict=True))
    whole, *holes = (
        _windows(_region(shapely.get_coordinates(ring), centre, ccw=shapely.is_ccw(drawn), literal=literal), centre)
        for ring, drawn in rings
    )
    return shapely.difference(whole, shapely.union_all(holes)) if holes else whole


def _region(ring: Floats, centre: float, *, ccw: bool, literal: bool) -> shapely.Geometry:
    """Return the valid area that a closed ring of degrees (N, 2) goes around, in longitudes without an end."""
    if literal:
        lon, lat = ring.T
        return valid_areas(shapely.Polygon(_snapped(np.stack([lon, np.clip(lat, -90, 90)], axis=1), centre)))
    lon, lat, steps = over_poles(ring if ccw else ring[::-1])
    unrolled = lon[0] + np.concatenate([[0.0], np.cumsum(steps)])
    turns = round((unrolled[-1] - unrolled[0]) / 360)
    unrolled[-1] = unrolled[0] + 360 * turns
    points = np.stack([unrolled, np.append(lat, lat[0])], axis=1)
    if turns:  # eastwards around the land on its left: that is the north
        points[:, 0] += 360 * np.round((centre - points[0, 0]) / 360)
        points = np.concatenate([points - [360.0 * turns * again, 0.0] for again in (1, 0, -1)])
        pole = math.copysign(90.0, turns)
        points = np.concatenate([points, [[points[-1, 0], pole], [points[0, 0], pole], points[0]]])
        once = shapely.box(centre - 180, -90, centre + 180, 90)
        return shapely.intersection(valid_areas(shapely.Polygon(_snapped(points, centre))), once)
    return valid_areas(shapely.Polygon(_snapped(points, centre)))


def over_poles(ring: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the points of a closed ring of degrees (N, 2) that has its area on its left.

    The result is longitudes, latitudes, and the degrees of longitude to the next point, each once around. A corner at
    a pole has no longitude: it becomes two, where the ring comes from and where it goes. Degrees that sum to a turn
    go around a pole: eastwards around the northern one.
    """
    points = ring[:-1]
    polar = np.abs(points[:, 1]) > POLE
    if polar.all():
        return points[:, 0], points[:, 1], np.zeros(len(points))
    if polar.any():  # begin at a corner that is at no pole
        begin = int(np.argmin(polar))
        points, polar = np.roll(points, -begin, axis=0), np.roll(polar, -begin)
    lon, lat, steps = [], [], []
    count, at = len(points), 0
    while at < count:
        lon.append(points[at, 0])
        lat.append(points[at, 1])
        end = at + 1
        while end < count and polar[end]:
            end += 1
        after = points[end % count, 0]
        if end == at + 1:
            steps.append(_wrapped(after - points[at, 0]))
        else:
            pole = math.copysign(90.0, points[at + 1, 1])
            swing = -((points[at, 0] - after) % 360) if pole > 0 else (after - points[at, 0]) % 360
            lon += [points[at, 0], after]
            lat += [pole, pole]
            steps += [0.0, swing, 0.0]
        at = end
    return np.array(lon), np.array(lat), np.array(steps)


def _wrapped(step: Any) -> Any:
    """Return a step in degrees the short way, -180..180."""
    return step - 360 * np.round(step / 360)


def _unrolled(lon: Floats) -> Floats:
    """Return longitudes without an end, each step of them the short way."""
    return np.asarray(lon[0] + np.concatenate([[0.0], np.cumsum(_wrapped(np.diff(lon)))]))


def _windows(shape: shapely.Geometry, centre: float) -> shapely.Geometry:
    """Return a shape in longitudes without an end, cut into turns, each brought to within 180 of the centre."""
    left, _, right, _ = shape.bounds
    first = math.floor((left - centre + 180) / 360)
    last = max(first, math.ceil((right - centre + 180) / 360) - 1)
    found = []
    for turn in range(first, last + 1):
        west = centre - 180 + 360 * turn
        piece = shapely.intersection(shape, shapely.box(west, -90, west + 360, 90))
        found.append(shapely.transform(piece, lambda points, turn=turn: points - [360.0 * turn, 0.0]))
    return found[0] if len(found) == 1 else shapely.union_all(found)


def _snapped(points: Floats, centre: float) -> Floats:
    """Return points with those whose longitude is within rounding of a cut moved onto it, against slivers."""
    turns = (points[:, 0] - centre + 180) / 360
    near = np.abs(turns - np.round(turns)) * 360 < INSIDE
    return np.stack([np.where(near, np.round(turns) * 360 + centre - 180, points[:, 0]), points[:, 1]], axis=1)


def valid_areas(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the areas of a polygon that may touch or cross itself."""
    if shape.is_valid:
        return shape
    parts = shapely.get_parts(shapely.make_valid(shape))
    return shapely.union_all([part for part in parts if shapely.get_dimensions(part) == 2])


def seam(crs: Any, latitude: float) -> float | None:
    """Return the longitude in degrees of the one tear of a projection at a latitude; None with no or several tears.

    >>> round(seam("EPSG:3857", 10.0)), round(seam("EPSG:3832", 10.0)), seam("EPSG:3413", 80.0)
    (180, -30, None)
    """
    there = as_pyproj(crs)
    base = there.geodetic_crs
    assert base is not None, "only projections are torn"
    move, unit = transformer(base, crs), degree(base)

    def at(lon: Any) -> Floats:
        x, y = move.transform(np.asarray(lon) / unit, np.full(np.shape(lon), latitude / unit))
        return np.stack([np.asarray(x), np.asarray(y)], axis=-1)

    lon = np.arange(-180.1, 180.2, 0.5)
    places = at(lon)
    with np.errstate(invalid="ignore"):
        far = np.hypot(*np.diff(places, axis=0).T)
    finite = np.isfinite(far)
    jumps = np.flatnonzero(finite & (far > 20 * np.median(far[finite]))) if finite.any() else np.array([], int)
    found = []
    for jump in jumps.tolist():
        low, high = float(lon[jump]), float(lon[jump + 1])
        for _ in range(50):
            middle = (low + high) / 2
            here, start, end = at([middle, low, high])
            if math.dist(here, start) < math.dist(here, end):
                low = middle
            else:
                high = middle
        found.append((low + 180) % 360 - 180)
    apart = {round(one, 3) % 360 for one in found}
    return found[0] if len(apart) == 1 else None


def projected(shapes: Shapes, base: pyproj.CRS, crs: Any, centre: float) -> Shapes:
    """Return shapes of `on_globe` in a CRS that is torn 180 degrees from the centre; inf where they have no place."""
    move, unit = transformer(base, crs), degree(base)

    def go(points: Floats) -> Floats:
        lon = np.clip(points[:, 0], centre - 180 + INSIDE, centre + 180 - INSIDE)
        return np.stack(move.transform(lon / unit, points[:, 1] / unit), axis=1)

    return np.asarray(shapely.transform(shapes, go), dtype=object)


def footprint(grid: Grid, base: Any) -> shapely.Geometry:
    """Return the outline of a raster in degrees of a geographic CRS within -180..180; empty where it has no place.

    Raises:
        GridError: no transformation is known.
    """
    steps = np.arange(OUTLINE) / OUTLINE
    w, h = grid.width, grid.height
    x = np.concatenate([steps * w, np.full(OUTLINE, w), (1 - steps) * w, np.zeros(OUTLINE)])
    y = np.concatenate([np.zeros(OUTLINE), steps * h, np.full(OUTLINE, h), (1 - steps) * h])
    outline = shapely.Polygon(placed(grid.transform, np.stack([x, y], axis=1)))
    drawn = through_poles(np.array([outline], dtype=object), pole_points(grid.crs, base))
    if not np.isfinite(degrees_of(grid.crs, base)(shapely.get_coordinates(drawn))).all():
        return shapely.Polygon()
    return on_globe(drawn, grid.crs, base)[0]


def narrowest(left: Floats, right: Floats, turn: float) -> tuple[float, float]:
    """Return the ends of the shortest stretch of a circle that holds all stretches; as they lie if none is shorter.

    >>> narrowest(np.array([179.0, -180.0]), np.array([180.0, -179.0]), 360.0)
    (179.0, 181.0)
    """
    plain = float(left.min()), float(right.max())
    turns = turns_of(left, right, turn)
    short = float((left + turns * turn).min()), float((right + turns * turn).max())
    if short[1] - short[0] >= (plain[1] - plain[0]) * (1 - 1e-9):
        return plain
    back = math.floor(short[0] / turn + 0.5) * turn  # it begins within half a turn of 0, as coordinates do
    return short[0] - back, short[1] - back


def turns_of(left: Floats, right: Floats, turn: float) -> NDArray[np.int64]:
    """Return the whole turns by which stretches of a circle are moved to lie close together; 0 for the first."""
    begin = left % turn
    order = np.argsort(begin, kind="stable")
    begins, ends = begin[order], begin[order] + (right - left)[order]
    reached = np.maximum(np.maximum.accumulate(ends), ends.max() - turn)  # beyond the turn's end they go on
    gaps = np.append(begins[1:], begins[0] + turn) - reached
    first = (int(np.argmax(gaps)) + 1) % len(order)
    start = begins[first]
    place = np.where(begin < start, begin + turn, begin)
    turns = np.round((place - left) / turn).astype(np.int64)
    return np.asarray(turns - turns[0])
