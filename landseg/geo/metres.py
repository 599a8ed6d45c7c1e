"""How many metres a unit of coordinates is, where a geometry lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray


def metres_per_unit(geometries: NDArray[Any], crs: Any) -> NDArray[np.float64]:
    """Metres on the ground that one unit of x and one of y is at each geometry: (N, 2).

    Measured on the ellipsoid at the middle of each geometry's bounds; right angles in coordinates scaled by it are
    right angles on the ground, for geometries of up to a few kilometres in any CRS whose axes are at right angles
    there. A CRS that has no place on the globe counts by its unit, and no CRS as metres.

    Args:
        geometries: (N,) of shapely, none empty.
        crs: what pyproj understands, or None.

    >>> (metres_per_unit(np.array([shapely.Point(0, 60)]), 4326) / 1000).round(1).tolist()
    [[55.8, 111.4]]
    """
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    if crs is None or not len(bounds):
        return np.ones((len(bounds), 2))
    crs = pyproj.CRS.from_user_input(crs)
    base, geod = crs.geodetic_crs, crs.get_geod()
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info and not crs.is_geographic else 1.0
    if base is None or geod is None:
        return np.full((len(bounds), 2), unit)
    x, y = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    step = 1e-5 if crs.is_geographic else 1 / unit
    to_degrees = pyproj.Transformer.from_crs(crs, base, always_xy=True)
    scales = np.full((len(x), 2), math.nan)
    for axis, (dx, dy) in enumerate(((step, 0), (0, step))):
        start, end = to_degrees.transform(x - dx, y - dy), to_degrees.transform(x + dx, y + dy)
        with np.errstate(invalid="ignore"):
            scales[:, axis] = np.array(geod.inv(*start, *end)[2]) / (2 * step)
    strange = ~(np.isfinite(scales) & (scales > 0)).all(axis=1)
    scales[strange] = unit
    return scales
