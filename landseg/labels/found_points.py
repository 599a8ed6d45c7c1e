"""Points of a vector file that `landseg predict` wrote, in pixels of a raster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.geo.pixel_shapes import to_pixels
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.vectors.layers import read_layer


def read_found_points(path: Path, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the places (n, 2), row and column in pixels of a grid, class values (n,) and scores (n,) of points."""
    frame = read_layer(path)
    shapes = PlacedShapes(np.asarray(frame.geometry, dtype=object), frame.crs, grid.crs).shapes
    places = shapely.get_coordinates(to_pixels(shapes, grid)).reshape(-1, 2)[:, ::-1]
    return places, np.asarray(frame["value"], np.int64), np.asarray(frame["score"], np.float64)
