"""Imagery on the pixels of another raster: unchanged where the pixels are the same, warped where they are not."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import GridError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.positions import mover, needed_for, offset_on, outline_on, pixel_ratio
from landseg.geo.rasters.source import DerivedSource, Pixels, Source
from landseg.geo.resample import finish, work_dtype


class ShiftedSource(DerivedSource):
    """Another source on a grid of the same pixels that begins and ends elsewhere; beyond the source none is valid."""

    def __init__(self, base: Source, grid: Grid, place: Rect) -> None:
        super().__init__(base, grid)
        self._place = place

    def _read(self, rect: Rect) -> Pixels:
        pixels = np.zeros((self.count, *rect.shape), dtype=self.dtype)
        valid = np.zeros(rect.shape, dtype=np.bool_)
        shared = rect.intersection(self._place)
        if shared is not None:
            rows, columns = shared.relative_to(rect).slices
            pixels[:, rows, columns], valid[rows, columns] = self.base.read(shared.relative_to(self._place))
        return pixels, valid


def warp_onto(source: Source, grid: Grid, *, of: str) -> Source:
    """Return the source on the grid of the raster named ``of``; closing the result closes the source.

    Pixels that are the grid's (to a twentieth) are read as they are. Other pixels are interpolated, after averaging
    where they are much smaller, as in a mosaic.

    Raises:
        GridError: only one of the two has a CRS, neither is placed and their sizes differ, or they share no pixel.
    """
    here, there = source.grid, grid
    if (here.crs is None) != (there.crs is None):
        has = f"{source.name} has {crs_text(here.crs)}, {of} has {crs_text(there.crs)}"
        raise GridError(f"{has}: they need one in both to be laid over each other; assign it (gdal_edit -a_srs)")
    if not (here.is_placed or there.is_placed) and here.shape != there.shape:
        has = f"{source.name} has {here.width} x {here.height} pixels, {of} has {there.width} x {there.height}"
        raise GridError(f"{has}, and no georeference says where they meet: give imagery of the same size")
    offset = offset_on(there, here)
    place = extent_on(there, here) if offset is None else here.rect.shifted(*offset)
    if place is None or place.intersection(there.rect) is None:
        raise GridError(
            f"{source.name} does not overlap {of}: it is {here.describe()}, the other {there.describe()}; "
            "give the imagery of the same place"
        )
    if offset is None:
        return WarpedSource(source, there)
    return source if place == there.rect else ShiftedSource(source, there, place)


WARP_PIXELS = 1 << 20
"""The most pixels of a part in which a warped rectangle is computed."""
WARP_READ = 1 << 23
"""The most input pixels that are held for one of these parts."""
SHRINK = 1.25
"""A source whose pixels are smaller than the grid's by more than this factor is averaged first."""


class WarpedSource(DerivedSource):
    """Another source on a grid of another CRS, size or orientation: bilinear, each pixel on its own.

    A pixel is valid when at least half of its weight lies on valid pixels, and only those enter its value.
    """

    def __init__(self, base: Source, grid: Grid) -> None:
        step = pixel_ratio(base.grid, grid)
        super().__init__(base.at_scale(step) if step > SHRINK else base, grid)
        self.original = base
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _local=threading.local())

    def _read(self, rect: Rect) -> Pixels:
        pixels = np.zeros((self.count, *rect.shape), dtype=self.dtype)
        valid = np.zeros(rect.shape, dtype=np.bool_)
        parts = [rect]
        while parts:
            part = parts.pop()
            needed = None
            if part.area <= WARP_PIXELS:
                x, y = self._positions(part)
                needed = needed_for(x, y, self.base.grid.rect)
                if needed is None:
                    continue
            if needed is None or (needed.area > WARP_READ and part.area > 1):
                parts += _halves(part)
                continue
            target = part.relative_to(rect).slices
            pixels[(slice(None), *target)], valid[target] = self._sample(x, y, needed)
        return pixels, valid

    def _positions(self, rect: Rect) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pixel centres under `rect` in pixels of the base: x and y, (h, w) each."""
        cols, rows = np.arange(rect.left, rect.right) + 0.5, np.arange(rect.top, rect.bottom) + 0.5
        if not hasattr(self._local, "move"):  # threads must not share pyproj's transformers
            self._local.move = mover(self.grid, self.base.grid)
        x, y = self._local.move(*np.meshgrid(cols, rows))
        return x, y

    def _sample(self, x: NDArray[np.float64], y: NDArray[np.float64], needed: Rect) -> Pixels:
        pixels, valid = self.base.read(needed)
        work = work_dtype(self.dtype)
        stack = np.concatenate([np.where(valid, pixels, 0).astype(work), valid[None].astype(work)])
        height, width = self.base.grid.shape
        inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
        x, y = np.where(inside, x - 0.5, 0), np.where(inside, y - 0.5, 0)
        left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        total = np.zeros((len(stack), *x.shape), dtype=work)
        for dy in (0, 1):
            for dx in (0, 1):
                weight = np.abs(1 - dy - (y - top)) * np.abs(1 - dx - (x - left)) * inside
                # The outermost half pixel holds the outermost value, as it does in `at_scale`.
                row = np.clip(np.clip(top + dy, 0, height - 1) - needed.top, 0, needed.height - 1)
                col = np.clip(np.clip(left + dx, 0, width - 1) - needed.left, 0, needed.width - 1)
                total += stack[:, row, col] * weight.astype(work)
        return finish(total[:-1], total[-1], np.dtype(self.dtype))


def extent_on(grid: Grid, other: Grid) -> Rect | None:
    """Return the pixels of ``grid``, also beyond its edges, that ``other`` covers in part or in full.

    None where a part of its outline has no place in the CRS of ``grid``.
    """
    outline = outline_on(grid, other)
    if outline is None:
        return None
    x, y = outline
    top, left = math.floor(y.min()), math.floor(x.min())
    return Rect(top, left, math.ceil(y.max()) - top, math.ceil(x.max()) - left)


def _halves(rect: Rect) -> list[Rect]:
    """Return a rectangle cut across its longer side."""
    if rect.height >= rect.width:
        half = rect.height // 2
        upper = Rect(rect.top, rect.left, half, rect.width)
        return [upper, Rect(upper.bottom, rect.left, rect.height - half, rect.width)]
    half = rect.width // 2
    left = Rect(rect.top, rect.left, rect.height, half)
    return [left, Rect(rect.top, left.right, rect.height, rect.width - half)]
