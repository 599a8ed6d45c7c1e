"""A raster as tiles of 256 pixels on the pixel grid of another, rendered on request."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from landseg.errors import GridError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.positions import mover, offset_on
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.warp import extent_on
from landseg.geo.tags import aux_path
from landseg.report.imagery import Imagery

TILE = 256
LOWEST, HIGHEST = -24, 0  # zoom levels: at 0 a pixel of the tile is one of the grid, at -1 two by two
_FAR = 4096  # pixels of another grid that are read for one tile at most, along a side

Color = tuple[int, int, int]
Bytes4 = NDArray[np.uint8]
"""(h, w, 4): red, green, blue, opacity"""


class ViewedRaster:
    """One raster on the pixel grid of ``first``: imagery, or classes in the colours of its own table.

    Where its pixels are not those of the grid, its nearest pixels are shown.

    Raises:
        RasterError: it cannot be opened.
        GridError: it cannot be placed on the grid, or lies elsewhere.
    """

    def __init__(self, path: str | Path, first: Grid | None = None) -> None:
        self.source = FileSource(path)
        try:
            self.grid = first or self.source.grid
            self.offset = self._offset()
            self.rect = self._extent()
            if self.rect.intersection(self.grid.rect) is None:
                raise GridError(
                    f"{self.name} lies elsewhere than the first raster ({self.source.grid.describe()}; "
                    f"{self.grid.describe()}): view it alone"
                )
            palette = self.source.file.palette(1) if self.source.count == 1 else None
            self.lut = None if palette is None else _lut(palette, self.source.bands.nodata[0])
            self.imagery = None if self.lut is not None else Imagery(self.source)
        except BaseException:
            self.source.close()
            raise

    @property
    def name(self) -> str:
        """The file's name."""
        return self.source.name

    @property
    def has_overviews(self) -> bool:
        """True where it can be shown as a whole without reading all of it."""
        return bool(self.source.file.info.overviews) or max(self.source.grid.shape) <= _FAR

    def key(self) -> tuple[tuple[str, Color], ...]:
        """Return the classes' names and colours; none for imagery."""
        if self.lut is None:
            return ()
        names = _names(Path(self.source.file.path))
        found = []
        for value, (red, green, blue, alpha) in enumerate(self.lut.tolist()):
            named = names.get(value, "")
            if alpha and (named or (not names and (red, green, blue) != (0, 0, 0))):
                found.append((named or f"value {value}", (red, green, blue)))
        return tuple(found[:64])

    def tile(self, z: int, x: int, y: int) -> bytes:
        """Return a tile as PNG: at zoom ``z`` a pixel of it is 2 ** -z pixels of the grid wide.

        Raises:
            RasterError: the raster cannot be read there.
        """
        size = 1 << -z
        square = Rect(y * TILE * size, x * TILE * size, TILE * size, TILE * size)
        colors = np.zeros((TILE, TILE, 4), np.uint8)
        shared = square.intersection(self.rect)
        if shared is not None:
            if self.offset is None:
                colors = self._elsewhere(square)
            else:
                self._here(square, shared, size, colors)
        out = io.BytesIO()
        Image.fromarray(colors).save(out, "PNG", compress_level=1)
        return out.getvalue()

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def _here(self, square: Rect, shared: Rect, size: int, colors: Bytes4) -> None:
        """Paint the part of a tile that a raster with the grid's own pixels covers."""
        part = shared.relative_to(square)
        top, left = part.top // size, part.left // size
        bottom, right = -(-part.bottom // size), -(-part.right // size)
        assert self.offset is not None
        rect = shared.shifted(-self.offset[0], -self.offset[1])
        colors[top:bottom, left:right] = self._colors(rect, (bottom - top, right - left))

    def _elsewhere(self, square: Rect) -> Bytes4:
        """Return the colours of a tile of a raster with other pixels: the nearest of each, from a reduced copy."""
        at = (np.arange(TILE) + 0.5) / TILE
        x, y = np.meshgrid(square.left + at * square.width, square.top + at * square.height)
        x, y = mover(self.grid, self.source.grid)(x, y)
        height, width = self.source.grid.shape
        inside = np.isfinite(x) & np.isfinite(y) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        colors = np.zeros((TILE, TILE, 4), np.uint8)
        if not inside.any():
            return colors
        rows, columns = np.where(inside, y, 0).astype(np.int64), np.where(inside, x, 0).astype(np.int64)
        top, left = int(rows[inside].min()), int(columns[inside].min())
        rect = Rect(top, left, int(rows[inside].max()) - top + 1, int(columns[inside].max()) - left + 1)
        shape = (min(rect.height, 2 * TILE), min(rect.width, 2 * TILE))
        found = self._colors(rect, shape)
        rows = np.clip((rows - top) * shape[0] // rect.height, 0, shape[0] - 1)
        columns = np.clip((columns - left) * shape[1] // rect.width, 0, shape[1] - 1)
        colors[inside] = found[rows[inside], columns[inside]]
        return colors

    def _colors(self, rect: Rect, shape: tuple[int, int]) -> Bytes4:
        if self.imagery is not None:
            return self.imagery.colors(rect, shape)
        assert self.lut is not None
        values, valid = self.source.file.read_reduced([1], rect, shape, resampling="mode")
        return np.asarray(np.where(valid[..., None], self.lut[np.clip(values[0], 0, len(self.lut) - 1)], 0), np.uint8)

    def _extent(self) -> Rect:
        """Return the rectangle that the raster covers, in the grid's pixels."""
        own = self.source.grid
        if self.offset is not None:
            return own.rect.shifted(*self.offset)
        found = extent_on(self.grid, own)
        if found is None:
            raise GridError(
                f"{self.name} has no place in the {crs_text(self.grid.crs)} of the first raster: view it alone"
            )
        return found

    def _offset(self) -> tuple[int, int] | None:
        """Return (row, column) of the raster's first pixel on the grid; None where its pixels are not the grid's."""
        own, placed = self.source.grid, offset_on(self.grid, self.source.grid)
        nowhere = Affine.identity() in (own.transform, self.grid.transform) and own.crs is None
        if (placed is None and None in (own.crs, self.grid.crs)) or nowhere:
            if own.shape == self.grid.shape:
                return 0, 0  # pixel to pixel
            raise GridError(
                f"{self.name} ({own.width} x {own.height} px, {crs_text(own.crs)}) cannot be placed on the first "
                f"raster ({self.grid.width} x {self.grid.height} px, {crs_text(self.grid.crs)}): without a "
                "coordinate system both need the same size; view it alone"
            )
        return placed


def open_viewed(paths: Sequence[str | Path]) -> list[ViewedRaster]:
    """Return the rasters, opened, each on the grid of the first.

    Raises:
        RasterError: one cannot be opened.
        GridError: one cannot be placed on the first one's grid.
    """
    opened: list[ViewedRaster] = []
    try:
        for path in paths:
            opened.append(ViewedRaster(path, opened[0].grid if opened else None))
    except BaseException:
        for raster in opened:
            raster.close()
        raise
    return opened


def _lut(palette: dict[int, tuple[int, int, int, int]], nodata: float | None) -> Bytes4:
    """Return the colours (n, 4) by value, the last for every larger value."""
    table = np.zeros((max(palette) + 2, 4), np.uint8)
    for value, color in palette.items():
        table[value] = color
    if nodata is not None and 0 <= nodata < len(table):
        table[int(nodata), 3] = 0
    return table


def _names(path: Path) -> dict[int, str]:
    """Return class names by value, from GDAL's file beside a raster; none where that cannot be read."""
    found: dict[int, str] = {}
    try:
        categories = Xml.parse(aux_path(path)).getroot().find(".//CategoryNames")
    except (OSError, ValueError, Xml.ParseError):
        return found
    entries: Any = categories if categories is not None else ()
    for value, entry in enumerate(entries):
        if entry.text and entry.text.strip() and entry.text != "nodata":
            found[value] = entry.text.strip()
    return found
