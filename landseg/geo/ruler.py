"""Areas and lengths of map shapes: in the map's plane, or on the ellipsoid where the plane distorts them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.geo.crs import Floats, is_mercator, transformer, unbound
from landseg.geo.globe import POLE, over_poles, pole_points, through_poles
from landseg.geo.grid import Grid, map_crs, placed

STEP_M = 1000.0
"""Edges longer than this are measured in pieces: a straight line on the map is none on the ground."""


@dataclass(frozen=True)
class Ruler:
    """A measure of areas and lengths of map shapes.

    Attributes:
        located: False where there is no CRS; sizes are then in pixels.
        ground: whether it is measured on the ellipsoid instead of in the map's plane.
        factor: metres in a unit of the plane; nan where that is unknown.
    """

    located: bool
    ground: bool
    factor: float
    _to_radians: Callable[[Floats], Floats] | None = None
    _axes: tuple[float, float] = (1.0, 0.0)
    _step: float = math.inf
    _literal: bool = False
    _poles: Floats | None = None

    @classmethod
    def of(cls, grid: Grid, *, geodesic: bool = False) -> Ruler:
        """Return the ruler for a grid's CRS.

        Degrees and Mercator's metres are no measure of the ground and are measured on the ellipsoid, and so is
        everything if `geodesic`; other projections are measured in their own plane. Edges are straight in
        the CRS: a pixel's border along a parallel stays on it.
        """
        crs = map_crs(grid)
        if crs is None:
            return cls(False, False, 1 / math.sqrt(abs(grid.map_transform.determinant)))
        crs = unbound(crs)
        geod, base = crs.get_geod(), crs.geodetic_crs
        unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 0.0
        if geod is None or base is None or not (crs.is_geographic or is_mercator(crs) or geodesic):
            return cls(True, False, unit or math.nan)
        step = STEP_M / (geod.a if crs.is_geographic else 1.0) / (unit or 1.0)
        poles = None if crs.is_geographic else _inside(pole_points(crs, base), grid)
        return cls(True, True, 1.0, _radians(crs, base), (geod.a, geod.es), step, crs.is_geographic, poles)

    def measure(self, shapes: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return areas (N,) and lengths of all rings (N,) of polygons, in square metres and metres, or in pixels."""
        if not self.ground:
            return shapely.area(shapes) * self.factor**2, shapely.length(shapes) * self.factor
        if self._poles is not None and len(self._poles):
            shapes = through_poles(shapes, self._poles)
        parts, owner = shapely.get_parts(shapes, return_index=True)
        rings, part = shapely.get_rings(shapely.segmentize(parts, self._step), return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        areas, lengths = self._measure_rings(points, ring, len(rings))
        shell = np.diff(part, prepend=-1) > 0
        signed = np.where(shell, areas, -areas)
        of = owner[part]
        return _sums(of, signed, len(shapes)), _sums(of, lengths, len(shapes))

    def _measure_rings(self, points: Floats, ring: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
        """Return areas and lengths of closed rings, on the ellipsoid.

        The area is that in the equal-area cylindrical projection; lengths are summed from the local radii of
        curvature (Snyder 1987, equations 4-20, 4-21, 10-15 and 3-12).
        """
        assert self._to_radians is not None
        a, es = self._axes
        lon, lat = self._to_radians(points).T
        first = np.searchsorted(ring, ring)  # the ring's own origin keeps the digits, and rings across 180° whole
        east = np.remainder(lon - lon[first] + math.pi, 2 * math.pi) - math.pi
        lat = np.clip(lat, -math.pi / 2, math.pi / 2)  # half pixels beyond a pole have no place
        north = _authalic(lat, es) - _authalic(lat[first], es)
        same = ring[1:] == ring[:-1]
        twice = np.where(same, east[:-1] * north[1:] - east[1:] * north[:-1], 0.0)
        edges = np.where(same, _edges(np.diff(east), lat[:-1], lat[1:], es), 0.0)
        areas, lengths = np.abs(_sums(ring[1:], twice, count)) * a * a / 2, _sums(ring[1:], edges, count) * a
        far = np.flatnonzero(same & (np.abs(np.diff(east)) > math.pi))
        polar = np.flatnonzero(np.abs(lat) > math.radians(POLE)) if not self._literal else far[:0]
        for number in np.unique(ring[np.concatenate([far, polar])]).tolist():
            own = slice(*np.searchsorted(ring, [number, number + 1]))
            area, length = self._measure_far(points[own], lon[own], lat[own])
            areas[number], lengths[number] = area * a * a, length * a
        return areas, lengths

    def _measure_far(self, drawn: Floats, lon: Floats, lat: Floats) -> tuple[float, float]:
        """Return area and length, with a radius of 1, of a closed ring around a pole or over half a turn."""
        if self._literal:
            steps = np.diff(lon)
            lon, lat = lon[:-1], lat[:-1]
        else:
            ring = np.degrees(np.stack([lon, lat], axis=1))
            ccw = bool(shapely.is_ccw(shapely.LinearRing(drawn)))
            lon, lat, steps = (np.radians(side) for side in over_poles(ring if ccw else ring[::-1]))
        es, after = self._axes[1], np.roll(lat, -1)
        height = _authalic(lat, es)
        turns = round(float(steps.sum()) / (2 * math.pi))
        below = float((steps * (height + np.roll(height, -1))).sum()) / 2
        pole = float(_authalic(np.array(math.copysign(math.pi / 2, turns)), es))
        return abs(2 * math.pi * turns * pole - below), float(_edges(steps, lat, after, es).sum())


def _authalic(lat: Floats, es: float) -> Floats:
    """Return half of Snyder's q: the height of a latitude on the equal-area cylinder of radius 1."""
    sin = np.sin(lat)
    if es == 0:
        return np.asarray(sin)
    e = math.sqrt(es)
    return np.asarray((1 - es) * (sin / (1 - es * sin**2) + np.arctanh(e * sin) / e) / 2)


def _edges(east: Floats, lat: Floats, after: Floats, es: float) -> Floats:
    """Return lengths of short edges on an ellipsoid of radius 1, from the local radii of curvature."""
    middle = (after + lat) / 2
    w = 1 - es * np.sin(middle) ** 2
    along = (after - lat) * (1 - es) / w**1.5
    return np.asarray(np.hypot(along, east * np.cos(middle) / np.sqrt(w)))


def _radians(crs: pyproj.CRS, base: pyproj.CRS) -> Callable[[Floats], Floats]:
    """Return a function from coordinates (N, 2) of a CRS to longitudes and latitudes in radians."""
    if crs.is_geographic:
        unit = crs.axis_info[0].unit_conversion_factor
        return lambda points: points * unit
    unit = base.axis_info[0].unit_conversion_factor
    move = transformer(crs, base)
    return lambda points: np.asarray(np.stack(move.transform(points[:, 0], points[:, 1]), axis=1) * unit)


def _inside(points: Floats, grid: Grid) -> Floats:
    """Return those of N points on the map (N, 2) that lie on a raster or at its edge."""
    x, y = placed(~grid.map_transform, points).T
    return np.asarray(points[(x >= -1) & (x <= grid.width + 1) & (y >= -1) & (y <= grid.height + 1)])


def _sums(index: NDArray[np.int64], values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(index, values, minlength=count), np.float64)
