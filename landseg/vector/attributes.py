"""What a polygon is given besides its shape: names of its columns, its area and outline on the ground."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid

Floats = NDArray[np.float64]

STEP_M = 1000.0
"""Edges longer than this are measured in pieces: what is straight on the map is not on the ground."""


def field_types(*, located: bool, confidence: bool = False) -> dict[str, str]:
    """The columns of land cover and their types, in order; without a CRS sizes are in pixels and are called so.

    >>> list(field_types(located=True))
    ['id', 'value', 'name', 'area_m2', 'perimeter_m']
    """
    area, perimeter = ("area_m2", "perimeter_m") if located else ("area_px", "perimeter_px")
    fields = {"id": "int64", "value": "int32", "name": "string", area: "float64", perimeter: "float64"}
    return fields | ({"confidence_mean": "float64", "confidence_min": "float64"} if confidence else {})


def map_crs(grid: Grid) -> pyproj.CRS | None:
    """The CRS of a grid as pyproj has it."""
    return None if grid.crs is None else pyproj.CRS.from_wkt(grid.crs.to_wkt(version="WKT2_2019"))


def to_map(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Shapes in pixel coordinates (x = column, y = row of pixel corners) in those of the map."""
    t = grid.map_transform

    def place(points: Floats) -> Floats:
        x, y = points.T
        return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)

    return np.asarray(shapely.transform(shapes, place)) if len(shapes) else shapes


@dataclass(frozen=True)
class Ruler:
    """How areas and lengths of map shapes are measured.

    Attributes:
        located: False where there is no CRS; sizes are then in pixels.
        ground: whether it is measured on the ellipsoid instead of in the map's plane.
        factor: metres in a unit of the plane; nan where nobody knows.
    """

    located: bool
    ground: bool
    factor: float
    _to_radians: Callable[[Floats], Floats] | None = None
    _axes: tuple[float, float] = (1.0, 0.0)
    _step: float = math.inf

    @classmethod
    def of(cls, grid: Grid, *, geodesic: bool = False) -> Ruler:
        """The ruler for a grid's CRS.

        Degrees and Mercator's metres are no measure of the ground and are measured on the ellipsoid, and so is
        everything if `geodesic`; other projections are measured in their own plane. Edges are what they are in
        the CRS: a pixel's border along a parallel stays on it.
        """
        crs = map_crs(grid)
        if crs is None:
            return cls(False, False, 1 / math.sqrt(abs(grid.map_transform.determinant)))
        method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
        cylinder = "Mercator" in method and "Transverse" not in method and "Oblique" not in method
        geod, base = crs.get_geod(), crs.geodetic_crs
        unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 0.0
        if geod is None or base is None or not (crs.is_geographic or cylinder or geodesic):
            return cls(True, False, unit or math.nan)
        step = STEP_M / (geod.a if crs.is_geographic else 1.0) / (unit or 1.0)
        return cls(True, True, 1.0, _radians(crs, base), (geod.a, geod.es), step)

    def measure(self, shapes: NDArray[Any]) -> tuple[Floats, Floats]:
        """(areas, lengths of all rings) of polygons, in square metres and metres, or in pixels without a CRS."""
        if not self.ground:
            return shapely.area(shapes) * self.factor**2, shapely.length(shapes) * self.factor
        parts, owner = shapely.get_parts(shapes, return_index=True)
        rings, part = shapely.get_rings(shapely.segmentize(parts, self._step), return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        areas, lengths = self._measure_rings(points, ring, len(rings))
        shell = np.diff(part, prepend=-1) > 0
        signed = np.where(shell, areas, -areas)
        of = owner[part]
        return _sums(of, signed, len(shapes)), _sums(of, lengths, len(shapes))

    def _measure_rings(self, points: Floats, ring: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
        """Areas and lengths of closed rings, on the ellipsoid.

        The area is that in the equal-area cylindrical projection; lengths are summed from the local radii of
        curvature (Snyder 1987, equations 4-20, 4-21, 10-15 and 3-12).
        """
        assert self._to_radians is not None
        a, es = self._axes
        lon, lat = self._to_radians(points).T
        first = np.searchsorted(ring, ring)  # the ring's own origin keeps the digits, and rings across 180° whole
        east = np.remainder(lon - lon[first] + math.pi, 2 * math.pi) - math.pi
        north = _authalic(lat, es) - _authalic(lat[first], es)
        same = ring[1:] == ring[:-1]
        twice = np.where(same, east[:-1] * north[1:] - east[1:] * north[:-1], 0.0)
        middle = (lat[1:] + lat[:-1]) / 2
        w = 1 - es * np.sin(middle) ** 2
        along = (lat[1:] - lat[:-1]) * (1 - es) / w**1.5
        across = (east[1:] - east[:-1]) * np.cos(middle) / np.sqrt(w)
        edges = np.where(same, np.hypot(along, across), 0.0)
        areas = np.abs(_sums(ring[1:], twice, count)) * a * a / 2
        return areas, _sums(ring[1:], edges, count) * a


def _authalic(lat: Floats, es: float) -> Floats:
    """Half of Snyder's q: the height of a latitude on the equal-area cylinder of radius 1."""
    sin = np.sin(lat)
    if es == 0:
        return np.asarray(sin)
    e = math.sqrt(es)
    return np.asarray((1 - es) * (sin / (1 - es * sin**2) + np.arctanh(e * sin) / e) / 2)


def _radians(crs: pyproj.CRS, base: pyproj.CRS) -> Callable[[Floats], Floats]:
    """What turns coordinates of a CRS into longitudes and latitudes in radians."""
    if crs.is_geographic:
        unit = crs.axis_info[0].unit_conversion_factor
        return lambda points: points * unit
    unit = base.axis_info[0].unit_conversion_factor
    move = pyproj.Transformer.from_crs(crs, base, always_xy=True)
    return lambda points: np.stack(move.transform(points[:, 0], points[:, 1]), axis=1) * unit


def _sums(index: NDArray[np.int64], values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(index, values, minlength=count), np.float64)
