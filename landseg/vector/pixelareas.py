"""What the pixels of each class cover on the ground, before anything was done to their outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE
from landseg.geo.grid import Grid
from landseg.geo.ruler import Floats, Ruler, to_map

_BLOCK = 64  # pixels of a side that are taken for equally large where their size changes in both directions
_ALIKE = 1e-7  # relative difference of pixels of one row that are taken for equally large


class PixelAreas:
    """Areas of the pixels of each class of a raster on ``grid``, in strips from the top down, as a ruler measures.

    In the plane, and along the rows of a raster in degrees or Mercator's metres, pixels are equally large and the
    areas are exact. Elsewhere blocks of 64 x 64 pixels are taken for as large as the pixel in their middle.

    Attributes:
        areas: by class value ``(65536,)``.
    """

    def __init__(self, grid: Grid, ruler: Ruler, *, nodata: int) -> None:
        self.areas: Floats = np.zeros(MAX_VALUE + 1)
        self._grid, self._ruler, self._nodata, self._top = grid, ruler, nodata, 0
        self._block = (grid.height, grid.width)
        if ruler.ground:
            row = self._pixels(np.full(3, grid.height // 2), np.array([0, grid.width // 2, grid.width - 1]))
            self._block = (1, grid.width) if np.ptp(row) <= _ALIKE * row[1] else (_BLOCK, _BLOCK)

    def add(self, strip: NDArray[Any]) -> None:
        """Takes the next rows ``(h, w)`` of class values; negative ones are no classes."""
        tops, row_middles = _cut(strip.shape[0], self._block[0])
        lefts, column_middles = _cut(strip.shape[1], self._block[1])
        middles = np.meshgrid(row_middles + self._top, column_middles, indexing="ij")
        sizes = self._pixels(*(axis.ravel() for axis in middles)).reshape(len(tops), len(lefts))
        for rows, row in zip(tops, sizes, strict=True):
            for columns, size in zip(lefts, row, strict=True):
                values = strip[rows, columns].ravel()
                counts = np.bincount(values if self._nodata >= 0 else values[values >= 0])
                self.areas[: len(counts)] += counts * size
        if self._nodata >= 0:
            self.areas[self._nodata] = 0.0
        self._top += strip.shape[0]

    def _pixels(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
        """Areas of single pixels ``(N,)``."""
        boxes = to_map(shapely.box(columns, rows, columns + 1, rows + 1), self._grid)
        return self._ruler.measure(boxes)[0]


def _cut(length: int, step: int) -> tuple[list[slice], NDArray[np.int64]]:
    """Pieces of a length, and the middle of each."""
    starts = np.arange(0, length, step)
    ends = np.minimum(starts + step, length)
    return [slice(*pair) for pair in zip(starts, ends, strict=True)], (starts + ends - 1) // 2
