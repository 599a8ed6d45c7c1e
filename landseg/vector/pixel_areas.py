"""What the pixels of each class cover on the ground, before anything was done to their outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_areas import PixelAreas as Sizes
from landseg.geo.ruler import Floats, Ruler


class PixelAreas:
    """Areas of the pixels of each class of a raster on ``grid``, in strips from the top down, as a ruler measures.

    Attributes:
        areas: by class value ``(65536,)``.
    """

    def __init__(self, grid: Grid, ruler: Ruler, *, nodata: int) -> None:
        self.areas: Floats = np.zeros(MAX_VALUE + 1)
        self._sizes, self._nodata, self._top = Sizes(grid, ruler), nodata, 0

    def add(self, strip: NDArray[Any]) -> None:
        """Takes the next rows ``(h, w)`` of class values; negative ones are no classes."""
        for part, size in self._sizes.parts(Rect(self._top, 0, *strip.shape)):
            values = strip[part].ravel()
            counts = np.bincount(values if self._nodata >= 0 else values[values >= 0])
            self.areas[: len(counts)] += counts * size
        if self._nodata >= 0:
            self.areas[self._nodata] = 0.0
        self._top += strip.shape[0]
