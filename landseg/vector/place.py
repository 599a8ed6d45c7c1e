"""The coordinate system of an output, and shapes moved there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.errors import GridError, VectorError
from landseg.geo.grid import Grid
from landseg.vector.attributes import map_crs
from landseg.vector.formats import GEOJSON, Format


def output_crs(form: Format, grid: Grid, text: str | None, *, name: str) -> pyproj.CRS | None:
    """The CRS that a raster's shapes are handed over in, for a wish such as "EPSG:32633"; None: the raster's.

    GeoJSON gets the raster's: what writes it turns it into WGS 84, and cuts it at the date line.

    Raises:
        GridError: there is no such CRS, or the raster, called `name`, lies nowhere.
        VectorError: GeoJSON in anything but WGS 84.
    """
    own = map_crs(grid)
    if text is None:
        return own
    try:
        crs = pyproj.CRS.from_user_input(int(text) if text.isdigit() else text)
    except pyproj.exceptions.CRSError as error:
        raise GridError(f"--crs {text}: expected a coordinate system such as EPSG:32633") from error
    if own is None:
        raise GridError(f"{name} has no coordinate system to turn into {text}: assign one (gdal_edit -a_srs)")
    if not (crs.is_projected or crs.is_geographic):
        raise GridError(f"--crs {text} is no map: expected a projected or geographic system such as EPSG:32633")
    if form is not GEOJSON:
        return crs
    if crs not in (pyproj.CRS.from_epsg(4326), pyproj.CRS.from_user_input("OGC:CRS84")):
        raise VectorError("GeoJSON is in WGS 84 by its definition: leave --crs out, or write a .gpkg")
    return own


def moved(shapes: NDArray[Any], own: pyproj.CRS | None, crs: pyproj.CRS | None) -> NDArray[Any]:
    """Shapes in another CRS, corner by corner: borders that were shared stay shared.

    Raises:
        GridError: some have no place there.
    """
    if own is None or crs is None or own == crs:
        return shapes
    move = pyproj.Transformer.from_crs(own, crs, always_xy=True)
    there = shapely.transform(shapes, lambda points: np.stack(move.transform(*points.T), axis=1))
    if not np.isfinite(shapely.get_coordinates(there)).all():
        raise GridError(f"parts of the raster have no place in {crs_name(crs)}: choose another --crs")
    return np.asarray(there)


def crs_name(crs: pyproj.CRS) -> str:
    """ "EPSG:32633", or its own name."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.name)
