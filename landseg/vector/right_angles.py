"""Right-angled outlines for the polygons of an export."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid, map_crs
from landseg.output.vector_formats import GEOJSON, GEOJSON_DIGITS, vector_format
from landseg.text.amounts import part_of
from landseg.vector.crs import CRS84, Reprojection, reproject
from landseg.vector.regularize import regularize

_EDGE_M, _EDGE_PIXELS = 1.0, 2.0  # the longer of both is the shortest edge of a right-angled outline

_log = logging.getLogger(__name__)


def draw_right_angles(
    shapes: NDArray[np.object_],
    grid: Grid,
    *,
    tolerance: float | None,
    fits: Callable[[NDArray[np.object_]], NDArray[np.bool_]],
) -> NDArray[np.object_]:
    """Return outlines (N,) with right angles where that fits them, and log how many have them.

    Args:
        shapes: all polygons (N,) of a raster that get right angles.
        grid: the grid of the raster.
        tolerance: the shortest edge in metres (pixels without a CRS); None chooses it by the size of a pixel.
        fits: see `fits_file`.
    """
    pixel = abs(grid.map_transform.determinant) ** 0.5
    shortest = _EDGE_PIXELS * pixel if grid.crs is None else max(_EDGE_M, 2 * (grid.resolution_m or 0))
    done = regularize(shapes, crs=map_crs(grid), tolerance_m=tolerance or shortest, fits=fits)
    squared = int(done.right_angled.sum())
    right = part_of(squared, len(done.polygons), "outline", "has", "have")
    _log.info("%s right angles now, the others keep their shape", right)
    return done.polygons


def fits_file(out: Path, reprojection: Reprojection) -> Callable[[NDArray[np.object_]], NDArray[np.bool_]]:
    """Return a test of outlines (N,): whether they are valid on the map and as written, for GeoJSON is rounded."""

    def fit(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
        there = reprojection(shapes)
        if vector_format(out) is GEOJSON:
            if reprojection.crs is not None:
                there = reproject(there, reprojection.crs, pyproj.CRS.from_user_input(CRS84))
            there = shapely.transform(there, lambda points: points.round(GEOJSON_DIGITS))
        return np.asarray(shapely.is_valid(shapes) & shapely.is_valid(there))

    return fit
