"""Areas of interest: a box or polygons, as pixels of a grid."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.features import rasterize

from landseg.errors import GridError, VectorError
from landseg.geo.crs import crs_text, transformer
from landseg.geo.grid import Grid, Rect, map_crs
from landseg.geo.pixel_shapes import to_pixels
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.vectors.names import is_there
from landseg.geo.vectors.polygon_file import read_polygons

_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_BOX = re.compile(",".join([_NUMBER] * 4))
_SLACK = 1e-3  # pixels: an edge this near to a pixel's counts as on it, in spite of rounding

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Aoi:
    """An area of interest: the part of a raster that is used.

    Attributes:
        rect: the smallest rectangle of whole pixels that covers it, within the raster.
        polygons: its outline in pixel coordinates (x = column, y = row); None where that is the rectangle.
    """

    rect: Rect
    polygons: tuple[shapely.Geometry, ...] | None = None

    def inside(self, rect: Rect) -> NDArray[np.bool_] | None:
        """Return where pixel centres of ``rect`` lie inside: boolean (h, w), perhaps empty; None where all do."""
        if self.polygons is None:
            return None
        if not rect.area:
            return np.zeros(rect.shape, bool)
        frame = shapely.box(rect.left, rect.top, rect.right, rect.bottom)
        near = [self.polygons[index] for index in self._tree.query(frame, predicate="intersects").tolist()]
        if not near:
            return np.zeros(rect.shape, bool)
        # With rows counted upwards the transform is never the identity, of which GDAL warns.
        upwards = shapely.transform(np.array(near, dtype=object), lambda points: points * [1, -1])
        place = Affine(1, 0, rect.left, 0, -1, -rect.top)
        burnt = rasterize(upwards, out_shape=rect.shape, transform=place, dtype="uint8")
        return np.asarray(burnt, bool)

    @cached_property
    def _tree(self) -> Any:
        return shapely.STRtree(self.polygons or ())


def read_aoi(text_or_path: str | Path, grid: Grid) -> Aoi:
    """Return the area named by ``left,bottom,right,top`` (in the raster's CRS) or by the polygons of a vector file.

    `read_polygons` decides which features of the file count; a layer of several is named ``FILE:LAYER``. They are
    reprojected to the raster; without a CRS on either side their coordinates are taken as they are.

    Raises:
        VectorError: the file cannot be read, holds no polygons, or holds other shapes too.
        GridError: the area lies outside the raster, or the box has no area.
    """
    box = _BOX.fullmatch(str(text_or_path))
    if box:
        left, bottom, right, top = (float(part) for part in box.groups())
        if not (left < right and bottom < top):
            raise GridError(f"AOI {text_or_path} has no area: expected left,bottom,right,top in growing order")
        corners = np.array([shapely.box(left, bottom, right, top)], dtype=object)
        pixels = list(to_pixels(_lying_on(PlacedShapes(corners, grid.crs, grid.crs), grid), grid))
        hint = _degrees_hint((left, bottom, right, top), grid)
        rect = _covering(pixels, grid, f"AOI {text_or_path}", (left, bottom, right, top), hint)
        straight = grid.transform.is_rectilinear  # of a rotated raster a box is a lozenge of pixels
        return Aoi(rect) if straight else Aoi(rect, tuple(pixels))
    outlines = _read_polygons(text_or_path, grid)
    pixels = list(to_pixels(np.array(outlines, dtype=object), grid))
    bounds = tuple(shapely.total_bounds(outlines).tolist())
    return Aoi(_covering(pixels, grid, f"AOI {text_or_path}", bounds), tuple(pixels))


def read_area(text_or_path: str | Path, crs: Any) -> shapely.Geometry:
    """Return an area of interest in a CRS as one geometry: a box in that CRS, or the polygons of a vector file.

    Raises:
        VectorError: the file cannot be read, holds no polygons, or holds other shapes too.
        GridError: the box has no area, or no transformation is known.
    """
    if box := _BOX.fullmatch(str(text_or_path)):
        left, bottom, right, top = (float(part) for part in box.groups())
        if not (left < right and bottom < top):
            raise GridError(f"AOI {text_or_path} has no area: expected left,bottom,right,top in growing order")
        return shapely.box(left, bottom, right, top)
    shapes = _polygons_of(text_or_path)
    return shapely.union_all(PlacedShapes(np.asarray(shapes, dtype=object), shapes.crs, crs).shapes)


def _read_polygons(name: str | Path, grid: Grid) -> list[shapely.Geometry]:
    shapes = _polygons_of(name)
    lying = _lying_on(PlacedShapes(np.asarray(shapes, dtype=object), shapes.crs, map_crs(grid)), grid)
    if not len(lying):
        raise GridError(f"AOI {name} has no place in the raster's CRS ({crs_text(grid.crs)})")
    return list(lying)


def _polygons_of(name: str | Path) -> Any:
    """Return the single polygons of a vector file as a GeoSeries."""
    if "," in str(name) and not is_there(name):
        raise GridError(f"AOI {name}: expected a vector file or four numbers left,bottom,right,top")
    try:
        read = read_polygons(name, advice="remove them, or make areas of lines and points (a buffer)")
    except VectorError as error:
        raise VectorError(f"AOI {error}") from error
    for note in read.notes:
        _warn_once(f"AOI {note}")
    return read.frame.geometry.explode(index_parts=False)


def _lying_on(shapes: PlacedShapes, grid: Grid) -> NDArray[Any]:
    """Return the shapes where the raster lies, in single parts, without those that have no place in its CRS."""
    index, near = shapes.near(grid)
    if all(shape is shapes.shapes[at] for at, shape in zip(index.tolist(), near, strict=True)):
        near = shapes.shapes  # none was moved: all of them count for the bounds of the area
    return np.asarray(shapely.get_parts(near[~shapely.is_empty(near)]), dtype=object)


@lru_cache(maxsize=64)
def _warn_once(text: str) -> None:
    """Log a warning once: an area is read again for every raster."""
    _log.warning("%s", text)


def _degrees_hint(box: tuple[float, float, float, float], grid: Grid) -> str:
    """Return the advice about a box in degrees for a raster in metres; "" where the box is no such."""
    left, bottom, right, top = box
    degrees = max(-left, right) <= 180 and max(-bottom, top) <= 90
    if grid.crs is None or not grid.crs.is_projected or not degrees:
        return ""
    try:
        moved = transformer("OGC:CRS84", grid.crs).transform_bounds(*box)
    except (GridError, ProjError):
        moved = (math.inf,) * 4
    near = shapely.box(*moved).intersects(shapely.box(*grid.bounds)) if all(map(math.isfinite, moved)) else False
    there = f"; here these are {','.join(f'{part:.8g}' for part in moved)}" if near else ""
    return f"these look like degrees: give left,bottom,right,top in the raster's CRS{there}"


def _covering(
    pixels: list[shapely.Geometry], grid: Grid, name: str, bounds: tuple[float, ...], hint: str = ""
) -> Rect:
    left, top, right, bottom = shapely.total_bounds(np.array(pixels, dtype=object)).tolist()
    overlap = max(left, 0) < min(right, grid.width) and max(top, 0) < min(bottom, grid.height)
    if not overlap:
        shown, raster = (", ".join(f"{v:.8g}" for v in box) for box in (bounds, grid.bounds))
        hint = hint or "check the AOI's CRS and the order left,bottom,right,top"
        raise GridError(
            f"{name} lies outside the raster: expected something within {raster} ({crs_text(grid.crs)}), "
            f"got {shown}; {hint}"
        )
    first_row, first_col = max(0, math.floor(top + _SLACK)), max(0, math.floor(left + _SLACK))
    end_row = max(first_row + 1, min(grid.height, math.ceil(bottom - _SLACK)))
    end_col = max(first_col + 1, min(grid.width, math.ceil(right - _SLACK)))
    first_row, first_col = min(first_row, grid.height - 1), min(first_col, grid.width - 1)
    return Rect(first_row, first_col, min(end_row, grid.height) - first_row, min(end_col, grid.width) - first_col)


def area_text(value: Any) -> str | PathLike[str] | None:
    """Return an area of interest as `read_aoi` takes it, from a file, "left,bottom,right,top" or four numbers."""
    return ",".join(str(float(part)) for part in value) if isinstance(value, (tuple, list)) else value
