"""Areas of the pixels of a raster, by blocks of it that do not depend on the rectangles in which it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.crs import Floats
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_shapes import to_map
from landseg.geo.ruler import Ruler

BLOCK = 64  # pixels of a side that are taken for equally large where their size changes in both directions
_ALIKE = 1e-7  # relative difference of pixels of one row that are taken for equally large
VARY = 1e-4  # relative difference of a raster's pixels from which areas are summed pixel by pixel
_UNITS = 1 << 26  # in which weights of pixels are whole numbers: sums of them are exact in any order

Part = tuple[slice, slice]


class PixelAreas:
    """Areas of the pixels of a raster, as a ruler measures.

    In the plane, and along the rows of a raster in degrees or Mercator's metres, pixels are equally large and areas
    are exact. Elsewhere blocks of 64 x 64 pixels, counted from the raster's first, are as large as the pixel in their
    middle.

    Args:
        grid: the raster's.
        ruler: measures the areas; None: on the ellipsoid, or in the unit of a CRS without an ellipsoid.
    """

    def __init__(self, grid: Grid, ruler: Ruler | None = None) -> None:
        self._grid, self._ruler = grid, ruler or Ruler.of(grid, geodesic=True)
        self._block = grid.shape
        if self._ruler.ground:
            row = self.of(np.full(3, grid.height // 2), np.array([0, grid.width // 2, grid.width - 1]))
            self._block = (1, grid.width) if np.ptp(row) <= _ALIKE * row[1] else (BLOCK, BLOCK)

    def of(self, rows: NDArray[Any], columns: NDArray[Any]) -> Floats:
        """Return the areas of pixels (N,) by their upper left corners: square metres, or pixels without a CRS."""
        boxes = to_map(shapely.box(columns, rows, columns + 1, rows + 1), self._grid)
        with np.errstate(invalid="ignore"):  # beyond the globe's outline
            sizes = self._ruler.measure(boxes)[0]
        return np.where(np.isfinite(sizes), sizes, 0.0) if self._ruler.ground else sizes

    def parts(self, rect: Rect) -> Iterator[tuple[Part, float]]:
        """Yield the parts of a rectangle whose pixels are equally large, as slices of it, and the size of a pixel."""
        rows, row_middles = _cut(rect.top, rect.bottom, self._block[0], self._grid.height)
        columns, column_middles = _cut(rect.left, rect.right, self._block[1], self._grid.width)
        middles = np.meshgrid(row_middles, column_middles, indexing="ij")
        sizes = self.of(*(axis.ravel() for axis in middles)).reshape(len(rows), len(columns))
        for down, row in zip(rows, sizes, strict=True):
            for across, size in zip(columns, row, strict=True):
                yield (down, across), float(size)

    def weights(self, rect: Rect, unit: float) -> Floats:
        """Return the areas of a rectangle's pixels in a unit, (h, 1) or (h, w), rounded to whole numbers."""
        wide = rect.width if self._block[1] < self._grid.width else 1
        found = np.empty((rect.height, wide))
        for (rows, columns), size in self.parts(rect):
            found[rows, columns if wide > 1 else slice(None)] = round(size / unit)
        return found

    @cached_property
    def pixel(self) -> float:
        """The area of a pixel in the middle of the raster: that of each pixel, where they do not `vary`."""
        return float(self.of(np.array([(self._grid.height - 1) / 2]), np.array([(self._grid.width - 1) / 2]))[0])

    @cached_property
    def unit(self) -> float:
        """A unit of area that is small enough for `weights`: it fits many times into any pixel.

        It is taken from the median size of the pixels: beyond the globe's outline pixels have any size.
        """
        sizes = self._sample[self._sample > 0]
        return (float(np.median(sizes)) if len(sizes) else 1.0) / _UNITS

    @cached_property
    def vary(self) -> bool:
        """True if the areas of pixels differ by more than a ten-thousandth."""
        if not self._ruler.ground:
            return False
        sizes = self._sample
        return bool(np.isfinite(sizes).all() and np.ptp(sizes) > VARY * sizes.max())

    @cached_property
    def _sample(self) -> Floats:
        rows = np.unique(np.linspace(0, self._grid.height - 1, 17).astype(np.int64))
        columns = np.unique(np.linspace(0, self._grid.width - 1, 17).astype(np.int64))
        return self.of(*(axis.ravel() for axis in np.meshgrid(rows, columns)))


def differ(areas: Sequence[PixelAreas]) -> bool:
    """Return whether pixels of one raster, or those of several, differ in size by more than a ten-thousandth."""
    sizes = [one.pixel for one in areas]
    return any(one.vary for one in areas) or bool(sizes and max(sizes) - min(sizes) > VARY * max(sizes))


def _cut(start: int, stop: int, step: int, size: int) -> tuple[list[slice], NDArray[np.int64]]:
    """Return the pieces of start..stop between multiples of a step, counted from start, and their uncut middles."""
    first = np.arange(start // step * step, stop, step)
    last = np.minimum(first + step, size)
    pieces = zip(np.maximum(first, start), np.minimum(last, stop), strict=True)
    return [slice(int(a) - start, int(b) - start) for a, b in pieces], (first + last - 1) // 2
