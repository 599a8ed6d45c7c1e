"""Buffers: the areas within a number of metres of lines and points, in any CRS."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.horizontal import horizontal
from landseg.geo.metres import metres_per_unit

_NEAR = 5_000.0  # metres: a longer line is cut into segments of at most this length, each with its own scale
_EXACT = 0.002  # relative: a CRS whose unit is a metre on the ground to this precision is measured in directly


def buffered(shapes: NDArray[Any], crs: Any, metres: float) -> NDArray[Any]:
    """Return the areas within ``metres`` on the ground of lines and points.

    Measured in the CRS itself where its unit is a metre of ground there, as in UTM; elsewhere (degrees, feet, Web
    Mercator) in metres at each shape, of long lines at each of their segments.

    Args:
        shapes: (N,) lines, points and collections of them.
        crs: of the shapes.
        metres: the distance around them.

    Raises:
        VectorError: there is no CRS, or the shapes have no place in it: metres mean nothing.
    """
    if crs is None:
        raise VectorError(
            f"it has no CRS, so {metres:g} m cannot be measured: assign one (ogr2ogr -a_srs EPSG:...), or buffer it"
        )
    crs = horizontal(crs)
    scales = metres_per_unit(shapes, crs)
    if crs.is_geographic and (scales == 1).any():  # beyond a pole: a degree is nowhere else one metre long
        raise VectorError(f"parts have no place in its CRS ({crs.name}), so {metres:g} m cannot be measured there")
    if (np.abs(scales - 1) < _EXACT).all():
        return np.asarray(shapely.buffer(shapes, metres))
    pieces, owners = _pieces(shapes, scales)
    scales = metres_per_unit(pieces, crs)
    centres = shapely.bounds(pieces).reshape(-1, 2, 2).mean(axis=1)
    areas = _scaled(shapely.buffer(_scaled(pieces, centres, scales), metres), centres, scales, back=True)
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(len(shapes) + 1))
    made = np.empty(len(shapes), dtype=object)
    made[:] = [shapely.union_all(areas[order[a:b]]) for a, b in pairwise(starts.tolist())]
    return made


def bands(shapes: NDArray[Any], crs: Any, metres: float) -> NDArray[Any]:
    """Return the parts of polygons (N,) within ``metres`` on the ground of their outlines.

    Measured in metres at each shape; without a CRS a unit counts as a metre.
    """
    if not len(shapes):
        return shapes
    scales = metres_per_unit(shapes, None if crs is None else horizontal(crs))
    centres = shapely.bounds(shapes).reshape(-1, 2, 2).mean(axis=1)
    inner = shapely.buffer(_scaled(shapes, centres, scales), -metres, join_style="mitre")
    return np.asarray(shapely.difference(shapes, _scaled(inner, centres, scales, back=True)))


def _pieces(shapes: NDArray[Any], scales: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return single lines and points, none much longer than `_NEAR`, and the number of the shape of each."""
    parts, owners = shapely.get_parts(shapes, return_index=True)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():  # collections in collections
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
    bounds = shapely.bounds(parts)
    extent = ((bounds[:, 2:] - bounds[:, :2]) * scales[owners]).max(axis=1)
    pieces: list[Any] = []
    numbers: list[int] = []
    for part, owner, long in zip(parts, owners, extent > _NEAR, strict=True):
        fresh = _segments(part, _NEAR / scales[owner].max()) if long else [part]
        pieces += fresh
        numbers += [owner] * len(fresh)
    made = np.empty(len(pieces), dtype=object)
    made[:] = pieces
    return made, np.array(numbers, dtype=np.intp)


def _segments(line: shapely.Geometry, longest: float) -> list[shapely.Geometry]:
    """Return a line cut into straight segments of at most a length, in units of its CRS."""
    points = shapely.get_coordinates(shapely.segmentize(line, longest))
    return list(shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)))


def _scaled(
    shapes: NDArray[Any], centres: NDArray[np.float64], scales: NDArray[np.float64], *, back: bool = False
) -> NDArray[Any]:
    """Return shapes in metres from their centres, or ``back`` in units of the CRS."""
    points, owners = shapely.get_coordinates(shapes, return_index=True)
    at, scale = centres[owners], scales[owners]
    return np.asarray(shapely.set_coordinates(shapes.copy(), points / scale + at if back else (points - at) * scale))
