"""Small pictures of large rasters: sampled a piece at a time, and stretched to full contrast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.pieces import cut
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.source import Source
from landseg.labels.id_rasters import NODATA

PIECE = 8192  # source pixels a piece is wide at most, and its area is PIECE * 1024
EMPTY = (233, 233, 230)  # what nodata is painted as
_DULL = 60  # 8-bit imagery with less than this between its 2nd and 98th percentile gets stretched

Colors = NDArray[np.uint8]
"""(h, w, 3)"""


def image_colors(source: Source, rect: Rect, shape: tuple[int, int]) -> tuple[Colors, NDArray[np.bool_]]:
    """Return the colours (h, w, 3) of ``rect`` of a source at ``shape`` (h, w), and True (h, w) where it has data.

    8-bit imagery is shown as it is unless it is dull; anything else is stretched between its 2nd and 98th
    percentile. One or two bands are shown in grey.
    """
    bands = shown_bands(source)
    out = np.zeros((len(bands), *shape), np.float32)
    weight = np.zeros(shape, np.float32)
    for piece, part in _pieces(rect, shape):
        pixels, valid = source.read(piece)
        for rows, columns in _samples(piece, part, rect, shape):
            use = valid[np.ix_(rows, columns)]
            values = pixels[bands][:, rows][:, :, columns].astype(np.float32)
            out[(slice(None), *part.slices)] += np.where(use, values, 0)
            weight[part.slices] += use
    shown = weight > 0
    out /= np.maximum(weight, 1)
    limits = stretch_limits(out[:, shown], eight_bit=source.dtype == "uint8")
    colors = np.stack([stretched(band, *limit) for band, limit in zip(out, limits, strict=True)], axis=-1)
    colors = np.repeat(colors, 3, axis=-1) if len(bands) == 1 else colors
    colors[~shown] = EMPTY
    return colors, shown


def class_samples(raster: RasterFile, shape: tuple[int, int]) -> tuple[NDArray[Any], dict[int, int]]:
    """Return band 1 at ``shape`` (h, w), by nearest neighbour, and the number of the raster's pixels by value."""
    rect = raster.info.grid.rect
    out = np.zeros(shape, raster.info.dtypes[0])
    counts = np.zeros(1 << 16, np.int64)
    for piece, part in _pieces(rect, shape):
        values = raster.read([1], piece, raster.info.dtypes[0])[0]
        counts += np.bincount(_owned(values, piece, part, rect, shape).ravel(), minlength=1 << 16)
        out[part.slices] = _nearest(values, piece, part, rect, shape)
    return out, {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def id_samples(raster: RasterFile, shape: tuple[int, int]) -> tuple[NDArray[np.int64], int]:
    """Return the ids of a raster of objects at ``shape`` (h, w), by nearest neighbour, and the largest of all.

    Ids are 0 where no object is and where there is no data.
    """
    rect = raster.info.grid.rect
    out, largest = np.zeros(shape, np.int64), 0
    for piece, part in _pieces(rect, shape):
        values = raster.read([1], piece, raster.info.dtypes[0])[0]
        values[values == NODATA] = 0
        largest = max(largest, int(values.max()))
        out[part.slices] = _nearest(values, piece, part, rect, shape)
    return out, largest


def shown_bands(source: Source) -> list[int]:
    """Return the positions of red, green and blue among the source's bands, or of the band that is shown in grey."""
    rgb = source.default_rgb()
    if rgb and set(rgb) <= set(source.band_numbers):
        return [source.band_numbers.index(number) for number in rgb]
    return [0, 1, 2] if source.count >= 3 else [0]


def stretch_limits(values: NDArray[Any], *, eight_bit: bool) -> list[tuple[float, float]]:
    """Return the values that are black and white in each band, from the values (C, n) of pixels with data.

    All bands of an 8-bit image have the same, which keeps its colours; bands of other units each their own.
    """
    limits = [(0.0, 255.0)] * len(values)
    if not values.size:
        return limits
    if eight_bit:
        low, high = np.percentile(values, (2, 98)).tolist()
        return [(low, high)] * len(values) if high - low < _DULL else limits
    return [(low, high) for low, high in np.percentile(values, (2, 98), axis=1).T.tolist()]


def stretched(band: NDArray[Any], low: float, high: float) -> Colors:
    """Return ``band`` as bytes: 0 at ``low``, 255 at ``high``; one value everywhere is a middle grey."""
    if high <= low:
        low, high = low - 1, low + 1
    return np.rint(np.clip((band - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _pieces(rect: Rect, shape: tuple[int, int]) -> Iterator[tuple[Rect, Rect]]:
    """Yield pieces of ``rect`` and the part of the picture that each of them fills; memory is one piece."""
    height, width = shape
    columns = max(1, width * PIECE // max(rect.width, PIECE))
    piece_width = min(rect.width, PIECE)
    rows = max(1, min(height, PIECE * 1024 // piece_width * height // rect.height))
    for part in cut(Rect(0, 0, height, width), rows, columns):
        first_row = _source_pixel(part.top, rect.height, height)
        first_col = _source_pixel(part.left, rect.width, width)
        end_row = -_source_pixel(-part.bottom, rect.height, height)  # rounded up: pixels that are only touched count
        end_col = -_source_pixel(-part.right, rect.width, width)
        piece = Rect(first_row, first_col, end_row - first_row, end_col - first_col)
        yield piece.shifted(rect.top, rect.left), part


def _source_pixel(edge: int, size: int, shown: int) -> int:
    """Return the source pixel in which the picture's ``edge`` lies."""
    return edge * size // shown


def _owned(values: NDArray[Any], piece: Rect, part: Rect, rect: Rect, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the pixels of a piece that no other piece counts: those on its last edges may be read for two."""
    next_row = rect.top + _source_pixel(part.bottom, rect.height, shape[0])
    next_col = rect.left + _source_pixel(part.right, rect.width, shape[1])
    return values[: max(0, next_row - piece.top), : max(0, next_col - piece.left)]


def _samples(piece: Rect, part: Rect, rect: Rect, shape: tuple[int, int]) -> Iterator[tuple[Any, Any]]:
    """Yield rows and columns in a piece to average: nine for a pixel of the picture where so many lie under it."""
    reduced = min(rect.height / shape[0], rect.width / shape[1]) >= 2
    for place in (1 / 6, 1 / 2, 5 / 6) if reduced else (1 / 2,):
        for other in (1 / 6, 1 / 2, 5 / 6) if reduced else (1 / 2,):
            rows, columns = _positions(part, rect, shape, place)[0], _positions(part, rect, shape, other)[1]
            yield np.clip(rows - piece.top, 0, piece.height - 1), np.clip(columns - piece.left, 0, piece.width - 1)


def _nearest(values: NDArray[Any], piece: Rect, part: Rect, rect: Rect, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the values (h, w) of a piece that lie at the middles of the pixels of its part of the picture."""
    rows, columns = _positions(part, rect, shape, 0.5)
    nearest: NDArray[Any] = values[np.ix_(rows - piece.top, columns - piece.left)]
    return nearest


def _positions(part: Rect, rect: Rect, shape: tuple[int, int], place: float) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = (np.arange(part.top, part.bottom) + place) * rect.height / shape[0]
    columns = (np.arange(part.left, part.right) + place) * rect.width / shape[1]
    return rect.top + rows.astype(np.int64), rect.left + columns.astype(np.int64)
