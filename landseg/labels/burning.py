"""Polygons that are to be burnt onto a raster: the file, the grid, and the class table."""

from __future__ import annotations

import math
from os import fspath
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from landseg.classes import ClassMap
from landseg.errors import ClassError, GridError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, scaled_size
from landseg.geo.horizontal import horizontal
from landseg.geo.pixel_size import in_units
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.names import stem_of
from landseg.labels.legend import read_class_table, read_legend
from landseg.labels.polygons import PolygonLabels
from landseg.labels.rasterize_options import Box, RasterizeOptions
from landseg.labels.value_mapping import class_indices

_MOST = (1 << 31) - 1  # rows or columns that a raster can have


def open_polygons(path: Path, options: RasterizeOptions) -> tuple[PolygonLabels, str | None]:
    """Return polygons, and the column with the class of each; the column is None where all are of one class.

    Raises:
        VectorError: the file cannot be read, lacks the column, or holds lines or points without a buffer.
    """
    touched, buffer_m = options.all_touched, options.buffer
    labels = PolygonLabels(path, options.class_field, all_touched=touched, buffer_m=buffer_m)
    if options.class_field is None and {"value", "name"} <= set(labels.frame.columns):
        return PolygonLabels(path, "value", all_touched=touched, buffer_m=buffer_m), "value"
    return labels, options.class_field


def grid_to_burn(labels: PolygonLabels, options: RasterizeOptions) -> tuple[Grid, ClassMap | None, tuple[str, ...]]:
    """Return the grid to burn onto, the class table of the raster with that grid, and remarks on its pixels.

    Raises:
        GridError: the options name no grid, two grids, or a grid that cannot be.
    """
    own = (options.resolution, options.bounds, options.crs)
    if options.like is not None:
        if own != (None, None, None):
            raise GridError("--like gives the whole grid: leave out --resolution, --bounds and --crs, or --like")
        file = RasterFile(fspath(options.like))
        try:
            return file.info.grid, read_legend(file), ()
        finally:
            file.close()
    if options.pixel is None:
        raise GridError("no grid to burn onto: name a raster by --like, or --resolution in metres")
    across, down = options.pixel
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        raise GridError(f"resolution {across:g},{down:g}: expected numbers above 0, in metres")
    crs = _crs(labels, options.crs)
    box = _bounds(labels, crs, options)
    notes: tuple[str, ...] = ()
    if crs is not None and not options.crs_units:
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        (across, down), note = in_units(options.pixel, crs, middle)
        notes = () if note is None else (note,)
    left, bottom, right, top = box if options.bounds is not None else _outwards(box, across, down)
    width, height = scaled_size(1, across / (right - left)), scaled_size(1, down / (top - bottom))
    if max(width, height) > _MOST:
        raise GridError(
            f"resolution {options.pixel[0]:g},{options.pixel[1]:g}: the raster would have {width:,} x "
            f"{height:,} pixels, more than a file can hold; choose larger pixels, or a smaller part with --bounds"
        )
    return Grid(crs, Affine(across, 0, left, 0, -down, top), width, height), None, notes


def classes_to_burn(
    labels: PolygonLabels, field: str | None, options: RasterizeOptions, legend: ClassMap | None
) -> tuple[ClassMap, dict[str, int] | None]:
    """Return the class table, and the class index of each entry of the column.

    Args:
        labels: the polygons.
        field: the column with their classes; None where all are of one class, and no indices are returned.
        options: may name a class table.
        legend: the class table of the raster that gives the grid, or None.

    Raises:
        ClassError: an entry of the column is no class of the table, or the table has several for all polygons.
    """
    given = None if options.classes is None else read_class_table(Path(options.classes))
    if field is None:
        table = given or ClassMap.from_json([{"value": 1, "name": stem_of(labels.path)}])
        if len(table) > 1:
            raise ClassError(f"{', '.join(table.names)} could all be meant by a polygon: name their --class-field")
        return table, None
    counts, where = labels.counts(), f"{labels.path}, column {field!r}"
    if given is None and legend is not None:
        try:
            return legend, class_indices(counts, legend, where)
        except ClassError:
            pass  # a class raster of something else
    table = given or _made(labels, field)
    return table, class_indices(counts, table, where)


def _made(labels: PolygonLabels, field: str) -> ClassMap:
    """Return a class table for a column: its values with the names in the column ``name``, or 1, 2, ... for names."""
    column = labels.frame[field]
    if column.dtype.kind not in "iuf":
        names = sorted(labels.counts())
        return ClassMap.from_json([{"value": value, "name": name} for value, name in enumerate(names, 1)])
    values = sorted(column.unique().tolist())
    if not all(value == int(value) for value in values):
        raise ClassError(
            f"{labels.path}, column {field!r}: expected whole numbers or names; name a table with --classes"
        )
    names_of = labels.frame["name"] if "name" in labels.frame.columns and field != "name" else None
    rows = []
    for value in values:
        found = [] if names_of is None else names_of[column == value].dropna().unique().tolist()
        rows.append({"value": int(value), "name": str(found[0]) if len(found) == 1 else str(int(value))})
    return ClassMap.from_json(rows)


def _outwards(box: Box, across: float, down: float) -> Box:
    """Return a box that is grown to whole multiples of a pixel, and to one pixel at least."""
    left, bottom, right, top = box
    wide, high = (left // across, -(-right // across)), (bottom // down, -(-top // down))
    return wide[0] * across, high[0] * down, max(wide[1], wide[0] + 1) * across, max(high[1], high[0] + 1) * down


def _crs(labels: PolygonLabels, text: str | None) -> CRS | None:
    """Return the CRS of a text, or else of the polygons; None where neither is given."""
    own = labels.frame.crs
    try:
        if text is None:
            return None if own is None else CRS.from_wkt(horizontal(own).to_wkt())
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise GridError(f"CRS {text or own.name!r} is not known: expected one such as EPSG:32632") from error
    if own is None:
        raise GridError(f"{labels.path} has no CRS and cannot be brought into {crs_text(crs)}: assign it first")
    return crs


def _bounds(labels: PolygonLabels, crs: CRS | None, options: RasterizeOptions) -> Box:
    """Return the bounds of the options, or else of the polygons."""
    if options.bounds is not None:
        left, bottom, right, top = options.bounds
        if not (left < right and bottom < top) or not all(map(math.isfinite, options.bounds)):
            shown = ",".join(f"{value:g}" for value in options.bounds)
            raise GridError(f"bounds {shown} have no area: expected left,bottom,right,top in growing order")
        return options.bounds
    shapes = labels.frame.geometry
    left, bottom, right, top = PlacedShapes(np.asarray(shapes, dtype=object), shapes.crs, crs, bent=False).bounds
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise GridError(f"{labels.path} has no place in {crs_text(crs)}: choose another --crs")
    return left, bottom, right, top
