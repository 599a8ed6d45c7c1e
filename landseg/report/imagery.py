"""Rasters as colours, anywhere and at any scale, with one stretch for the whole of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.pieces import cut, squares
from landseg.geo.rasters.source import FileSource, Source
from landseg.geo.reduce import nearest
from landseg.report.thumbnail import shown_bands, stretch_limits, stretched

_SAMPLES, _SAMPLE = 5, 192  # samples along each side of a raster, and pixels along each side of a sample
_STRIP = 1 << 23  # pixels held of a raster without a decimated way to read it


class Imagery:
    """A source as colours: red, green, blue and opacity.

    Black and white are decided once, from samples spread over the raster, so that neighbouring pictures fit.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._bands = shown_bands(source)
        found = []
        for rect in _sample(source.grid.rect):
            pixels, valid = source.read(rect)
            found.append(pixels[self._bands][:, valid].astype(np.float32))
        self._limits = stretch_limits(np.concatenate(found, axis=1), eight_bit=source.dtype == "uint8")

    def colors(self, rect: Rect, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the colours (h, w, 4) under ``rect`` at ``shape`` (h, w), transparent where there is no data.

        Raises:
            RasterError: any part of it cannot be read.
        """
        pixels, valid = reduced(self.source, rect, shape, self._bands)
        layers = [stretched(band.astype(np.float32), *ends) for band, ends in zip(pixels, self._limits, strict=True)]
        layers = layers * 3 if len(layers) == 1 else layers
        return np.stack([*layers, np.where(valid, np.uint8(255), np.uint8(0))], axis=-1)


def reduced(
    source: Source, rect: Rect, shape: tuple[int, int], bands: list[int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return pixels (C, h, w) of ``bands`` (from 0) under ``rect`` at ``shape``, and True (h, w) where data are.

    A file is averaged by GDAL, from its overviews where it has them. Of a mosaic the nearest pixels are taken, read
    in strips.
    """
    if rect.shape == shape:
        pixels, valid = source.read(rect)
        return pixels[bands], valid
    if isinstance(source, FileSource):
        numbers = [source.band_numbers[band] for band in bands]
        pixels, valid = source.file.read_reduced(numbers, rect, shape, resampling="average")
        return pixels, valid & np.isfinite(pixels).all(axis=0)
    found = np.empty((len(bands), *shape), source.dtype)
    valid = np.empty(shape, np.bool_)
    columns = nearest(rect.width, shape[1])
    for out, rows, strip in strips(rect, shape, _STRIP):
        pixels, held = source.read(strip)
        found[:, out] = pixels[bands][:, rows][:, :, columns]
        valid[out] = held[rows][:, columns]
    return found, valid


def strips(rect: Rect, shape: tuple[int, int], most: int) -> Iterator[tuple[slice, NDArray[np.int64], Rect]]:
    """Yield the strips of a reduction of ``rect`` to ``shape``, of at most ``most`` source pixels or one row.

    Yields the rows of the picture, the strip of the source that they need, and the row in it nearest to each.
    """
    rows = max(1, min(shape[0], most * shape[0] // max(1, rect.area)))
    at = nearest(rect.height, shape[0])
    for part in cut(Rect(0, 0, *shape), rows):
        first, last = part.top, part.bottom
        top, bottom = first * rect.height // shape[0], -(-last * rect.height // shape[0])
        strip = Rect(rect.top + top, rect.left, max(1, bottom - top), rect.width)
        yield slice(first, last), at[first:last] - top, strip


def _sample(rect: Rect) -> Iterable[Rect]:
    """Return small rectangles all over ``rect``, or ``rect`` itself where they would cover it."""
    if rect.area <= (_SAMPLES * _SAMPLE) ** 2:
        return [rect]
    return squares(rect.shape, _SAMPLE, _SAMPLES)
