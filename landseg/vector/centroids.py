"""Points for the regions of a class: trees, wells, single buildings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.metres import metres_per_unit

Geometries = NDArray[Any]


@dataclass(frozen=True)
class Centroids:
    """One point for each region, in the regions' order.

    Attributes:
        points: (N,), inside their regions.
        area_m2: (N,) areas of the regions.
        diameter_m: (N,) diameters of circles with these areas.
        moved: (N,), True where the centroid lies outside its region and another point of the region is taken.
    """

    points: Geometries
    area_m2: NDArray[np.float64]
    diameter_m: NDArray[np.float64]
    moved: NDArray[np.bool_]


def find_centroids(
    polygons: Geometries, *, crs: Any = None, areas_m2: NDArray[np.float64] | None = None
) -> Centroids:
    """Return the centroid of each region where it lies inside, else a point in the middle of a wide part.

    Tree crowns that touch are one region and one point: a large `diameter_m` shows this.

    Args:
        polygons: (N,) valid Polygons or MultiPolygons, none empty.
        crs: their CRS in any form that pyproj reads; None: units are metres.
        areas_m2: (N,) areas, if they are known; else they are measured with the size of a unit in the middle of each.

    >>> found = find_centroids(np.array([shapely.box(0, 0, 2, 2)]))
    >>> found.points[0].wkt, float(found.diameter_m[0].round(3))
    ('POINT (1 1)', 2.257)
    """
    polygons = np.asarray(polygons, dtype=object)
    if areas_m2 is None:
        areas_m2 = np.asarray(shapely.area(polygons) * metres_per_unit(polygons, crs).prod(axis=1), np.float64)
    points = np.asarray(shapely.centroid(polygons), dtype=object)
    moved = ~np.asarray(shapely.contains_properly(polygons, points), bool)
    points[moved] = shapely.point_on_surface(polygons[moved])
    return Centroids(points, areas_m2, np.sqrt(areas_m2 * 4 / math.pi), moved)
