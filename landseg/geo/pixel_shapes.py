"""Shapes from the map into the pixels of a raster, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid, placed

_PARTS = 2.0**20  # of a pixel: coarser than the noise of coordinates, so that a tie in the drawing is one in numbers


def to_pixels(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Return shapes in the CRS of a grid in its pixels (x = column, y = row), rounded to a millionth of a pixel.

    An edge through pixels' centres then runs exactly through them, and parts of the raster, whose corners are whole
    pixels, are cut from these numbers without rounding.
    """
    back = ~grid.map_transform

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.round(placed(back, points) * _PARTS) / _PARTS)

    return np.asarray(shapely.transform(np.asarray(shapes, dtype=object), place))


def to_map(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Return shapes in the pixels of a grid (x = column, y = row of pixel corners) in the coordinates of its map."""
    if not len(shapes):
        return shapes
    return np.asarray(shapely.transform(shapes, lambda points: placed(grid.map_transform, points)))
