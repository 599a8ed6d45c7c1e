"""Shapes of vector files brought to where a raster lies: into its CRS, and into its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.geo.horizontal import horizontal, same_place

_PARTS = 2.0**20  # of a pixel: coarser than the noise of coordinates, so that a tie in the drawing is one in numbers


def into_crs(shapes: NDArray[Any], own: Any, crs: Any, *, bent: bool = True) -> NDArray[Any]:
    """Return shapes in another CRS; as they are where either has none, or where both are the same but for heights.

    Points without a place there have coordinates that are not finite.

    Args:
        shapes: (N,) of shapely.
        own: their CRS, or None.
        crs: the other, or None.
        bent: cut edges short before, since straight lines are not straight in the other CRS.
    """
    import geopandas

    if own is None or crs is None or same_place(own, crs) or not len(shapes):
        return shapes
    series = geopandas.GeoSeries(shapes, crs=horizontal(own))
    if bent:
        left, bottom, right, top = series.total_bounds
        series = series.segmentize(max(right - left, top - bottom) / 100)
    return np.asarray(series.to_crs(horizontal(crs)), dtype=object)


def into_pixels(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Return shapes in the CRS of a grid in its pixels (x = column, y = row), rounded to a millionth of one.

    So an edge through pixels' centres runs exactly through them, and parts of the raster, whose corners are whole
    pixels, are cut from these numbers without rounding.
    """
    back = ~grid.map_transform

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points.T
        moved = np.stack([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f], axis=1)
        return np.asarray(np.round(moved * _PARTS) / _PARTS)

    return np.asarray(shapely.transform(np.asarray(shapes, dtype=object), place))
