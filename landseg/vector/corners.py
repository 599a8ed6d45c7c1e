"""Corners of polygons: those of the smallest rectangle around each, or of its own outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.metres import metres_per_unit
from landseg.text.amounts import counted, part_of

Geometries = NDArray[Any]
Floats = NDArray[np.float64]


def rectangle_corners(polygons: Geometries, *, crs: Any = None) -> Floats:
    """Return the corners (N, 4, 2) of the smallest rectangle around each polygon, clockwise with y upwards.

    Smallest by area on the ground, at any angle. Which corner comes first means nothing.

    Args:
        polygons: (N,) shapely polygons and multipolygons with an area.
        crs: their CRS in any form that pyproj reads; None: units are metres.

    >>> rectangle_corners(np.array([shapely.box(0, 0, 2, 1)]))[0].tolist()
    [[0.0, 0.0], [0.0, 1.0], [2.0, 1.0], [2.0, 0.0]]
    """
    flat, scale, centre = _flattened(polygons, crs)
    around = shapely.orient_polygons(shapely.oriented_envelope(flat), exterior_cw=True)
    corners = shapely.get_coordinates(around).reshape(-1, 5, 2)[:, :4]
    made: Floats = corners / scale[:, None] + centre[:, None]
    return made


def outline_corners(polygons: Geometries, *, tolerance_m: float, crs: Any = None) -> list[Floats]:
    """Return the corners (k, 2) of each outline, simplified to a tolerance, clockwise with y upwards.

    Holes do not count, and of a multipolygon only the largest part does. The outline is simplified by
    Douglas and Peucker; the point at which it begins stays only if it is a corner as well.

    Args:
        polygons: (N,) valid shapely polygons and multipolygons.
        tolerance_m: the distance in metres by which the outline may move.
        crs: as in `rectangle_corners`.

    Raises:
        ValueError: the tolerance is not above 0.

    >>> [len(one) for one in outline_corners(np.array([shapely.Point(0, 0).buffer(9)]), tolerance_m=3)]
    [4]
    """
    if not tolerance_m > 0:
        raise ValueError(f"expected a tolerance above 0 m, not {tolerance_m:g}")
    parts, owner = shapely.get_parts(polygons, return_index=True)
    order = np.lexsort((-shapely.area(parts), owner))
    largest = parts[order[np.unique(owner[order], return_index=True)[1]]]
    flat, scale, centre = _flattened(largest, crs)
    rings = shapely.get_exterior_ring(shapely.orient_polygons(flat, exterior_cw=True))
    simple, at = shapely.get_coordinates(shapely.simplify(rings, tolerance_m), return_index=True)
    each = np.split(simple, np.flatnonzero(np.diff(at)) + 1) if len(simple) else []
    corners = [_without_start(ring[:-1], tolerance_m) for ring in each]
    return [one / by + to for one, by, to in zip(corners, scale, centre, strict=True)]


def _without_start(ring: Floats, tolerance: float) -> Floats:
    """Return the corners (k, 2) of a ring without the first one where that lies on the line of its neighbours."""
    if len(ring) < 4:
        return ring
    line = ring[1] - ring[-1]
    apart = ring[0] - ring[-1]
    length = float(np.hypot(*line))
    off = abs(float(line[0] * apart[1] - line[1] * apart[0])) / length if length else float(np.hypot(*apart))
    return ring[1:] if off <= tolerance else ring


def check_corners(corners: Sequence[Floats], least: int, *, name: str, tolerance_m: float) -> None:
    """Raise a VectorError if outlines have too few corners.

    Args:
        corners: (k, 2) of each outline.
        least: the fewest of one: those of a skeleton, or 3.
        name: of their file.
        tolerance_m: to which they were simplified, for the sentence.
    """
    few = [len(one) for one in corners if len(one) < least]
    if few:
        have = part_of(len(few), len(corners), "polygon", "has", "have")
        raise VectorError(
            f"{name}: {have} fewer than {counted(least, 'corner')} at a tolerance of {tolerance_m:g} m, one has "
            f"{few[0]}; lower the tolerance, or remove them"
        )


def _flattened(polygons: Geometries, crs: Any) -> tuple[Geometries, Floats, Floats]:
    """Return polygons (N,) in metres around their own middles, metres a unit (N, 2), and these middles (N, 2)."""
    polygons = np.asarray(polygons, dtype=object)
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    centre, scale = (bounds[:, :2] + bounds[:, 2:]) / 2, metres_per_unit(polygons, crs)
    points, owner = shapely.get_coordinates(polygons, return_index=True)
    flat = shapely.set_coordinates(polygons.copy(), (points - centre[owner]) * scale[owner])
    return np.asarray(flat, dtype=object), scale, centre
