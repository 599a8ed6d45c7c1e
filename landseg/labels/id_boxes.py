"""Ids of objects on the grid of an image, and the box of each object on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError, ClassError, GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.geo.positions import outline_on
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.source import FileSource, Source
from landseg.labels.id_rasters import check_id_dtype, is_id_raster, to_ids
from landseg.labels.legend import is_class_raster
from landseg.labels.raster_labels import RasterLabels
from landseg.text.amounts import counted

_PIXELS = 1 << 22  # that are looked at together


def open_ids(path: Path) -> Source:
    """Open a raster of ids.

    Raises:
        RasterError: it cannot be opened.
        BandError: several bands, or floats.
        ClassError: it says that it holds classes.
    """
    source = open_source(path, stored_values=True)
    try:
        if source.count != 1:
            raise BandError(f"{source.name} has {counted(source.count, 'band')}: expected a raster of ids with one")
        check_id_dtype(source.dtype, source.name)
        if isinstance(source, FileSource) and not is_id_raster(source.file) and is_class_raster(source.file):
            raise ClassError(
                f"{source.name} holds classes, not ids of objects: give it as labels, and as ids a raster with a "
                "number for each object"
            )
    except BaseException:
        source.close()
        raise
    return source


@dataclass(frozen=True, eq=False)
class IdBoxes:
    """The ids of a raster in order, and the box of each on a grid.

    Attributes:
        ids: int64 ``(n,)``, ascending.
        boxes: int64 ``(n, 4)``, the first row and column and those after the last.
        pixels: int64 ``(n,)``.
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.int64]
    pixels: NDArray[np.int64]


def read_ids(labels: RasterLabels, rect: Rect) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return ids (h, w) under a rectangle, 0 for none, and where they are known (h, w).

    A pixel has the id at its centre. 0 is none, also where the raster declares it as nodata; elsewhere no data, and
    what lies beyond the raster, is unknown.

    Raises:
        ClassError: negative ids, or ids above 4,294,967,294.
    """
    values, valid, inside = labels.read_nearest(rect)
    if labels.source.nodata == 0:
        valid = valid | ((values == 0) & (True if inside is None else inside))
    return to_ids(values, valid, labels.name), valid


def find_boxes(labels: RasterLabels) -> IdBoxes:
    """Return the boxes of all objects of a raster on its grid, also of those beyond the grid's edges.

    Raises:
        ClassError: see `read_ids`.
    """
    extent = _extent(labels)
    parts = cut(extent, rows_within(_PIXELS, extent.width))
    return join_boxes([boxes_in(read_ids(labels, part)[0], part) for part in parts])


def join_boxes(tables: Sequence[NDArray[np.int64]]) -> IdBoxes:
    """Return the boxes of all objects of a raster, of the tables of `boxes_in` of its parts."""
    table = np.concatenate([np.zeros((0, 6), np.int64), *tables])
    table = table[np.argsort(table[:, 0], kind="stable")]
    if not len(table):
        return IdBoxes(table[:, 0], table[:, 1:5], table[:, 5])
    ids, first = np.unique(table[:, 0], return_index=True)
    low, high = np.minimum.reduceat(table[:, 1:3], first), np.maximum.reduceat(table[:, 3:5], first)
    return IdBoxes(ids, np.concatenate([low, high], axis=1), np.add.reduceat(table[:, 5], first))


def boxes_in(ids: NDArray[Any], part: Rect) -> NDArray[np.int64]:
    """Return a row (id, top, left, bottom, right, pixels) for each id (h, w), 0 for none, of a part of a raster."""
    flat = ids.ravel()
    begins = np.ones(flat.shape, np.bool_)  # of runs of one id in a row
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[:: part.width] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=flat.size)
    there = flat[starts] > 0
    starts, lengths = starts[there], lengths[there]
    if not len(starts):
        return np.zeros((0, 6), np.int64)
    order = np.argsort(flat[starts], kind="stable")
    starts, lengths = starts[order], lengths[order]
    numbers, first = np.unique(flat[starts], return_index=True)
    rows, columns = np.divmod(starts, part.width)
    top, left = (np.minimum.reduceat(at, first) for at in (rows, columns))
    bottom, right = (np.maximum.reduceat(at, first) for at in (rows + 1, columns + lengths))
    pixels = np.add.reduceat(lengths, first)
    found = [numbers.astype(np.int64), top + part.top, left + part.left, bottom + part.top, right + part.left, pixels]
    return np.stack(found, axis=1).astype(np.int64)


def _extent(labels: RasterLabels) -> Rect:
    """Return the pixels of the grid and its continuation that a raster lies on."""
    own = labels.source.grid
    if labels.offset is not None:
        return own.rect.shifted(*labels.offset)
    outline = outline_on(labels.grid, own)
    if outline is None:
        return labels.grid.rect
    x, y = outline
    left, top, right, bottom = (
        int(v) for v in (np.floor(x.min()), np.floor(y.min()), np.ceil(x.max()), np.ceil(y.max()))
    )
    return Rect(top, left, bottom - top, right - left)


def open_ids_on(path: Path, grid: Grid, *, of: str = "its image") -> RasterLabels:
    """Open a raster of ids on the grid of its image, or of what ``of`` says.

    Raises:
        RasterError, BandError, ClassError: see `open_ids`.
        GridError: the two do not overlap, one of them alone has a CRS, or neither says where it lies and they differ
            in size.
    """
    source = open_ids(path)
    try:
        return RasterLabels(source, grid, of=of)
    except GridError:
        source.close()
        raise
