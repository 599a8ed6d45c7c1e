"""How many metres a unit of coordinates is, where a geometry lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.crs import as_pyproj, degree, transformer, unit_m


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
    crs = as_pyproj(crs)
    base, geod = crs.geodetic_crs, crs.get_geod()
    unit = unit_m(crs) or 1.0
    if base is None or geod is None:
        return np.full((len(bounds), 2), unit)
    x, y = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    step = 1e-5 if crs.is_geographic else 1 / unit
    to_degrees = transformer(crs, base)
    scales = np.full((len(x), 2), math.nan)
    for axis, (dx, dy) in enumerate(((step, 0), (0, step))):
        start, end = to_degrees.transform(x - dx, y - dy), to_degrees.transform(x + dx, y + dy)
        with np.errstate(invalid="ignore"):
            lengths = geod.inv(*(np.asarray(side) * degree(base) for side in (*start, *end)))[2]
            scales[:, axis] = np.array(lengths) / (2 * step)
    strange = ~(np.isfinite(scales) & (scales > 0)).all(axis=1)
    scales[strange] = unit
    return scales
