"""Source: pixels and their validity, from one raster or several, at its own resolution or another."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError, GridError
from landseg.geo.extents import Extents
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.bands import BandTable, band_table
from landseg.geo.rasters.opacity import misnamed_alpha_text
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.resample import axis_taps, resample, work_dtype

STRIP_BYTES = 64 << 20
"""The bytes of its input that a resampling source holds at a time."""

Pixels = tuple[NDArray[Any], NDArray[np.bool_]]
"""(C, h, w) in the source's dtype, and (h, w): True where the pixel holds data."""


class Source(ABC):
    """A grid of pixels that is read a rectangle at a time, from several threads at once if need be.

    Attributes:
        name: the raster's file name, or that of the first and the number of others.
        paths: of its files, as GDAL opens them.
        grid: of the pixels that `read` returns.
        bands: the chosen bands.
        notes: sentences about members that were brought over to the scale and offset of others.
        remarks: sentences about bands that are not taken for their names, such as an alpha band that is no opacity.
    """

    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __init__(
        self, name: str, paths: tuple[str, ...], grid: Grid, bands: BandTable, *, dtype: str | None = None
    ) -> None:
        self.name = name
        self.paths = paths
        self.grid = grid
        self.bands = bands
        self._dtype = dtype or bands.dtype

    @property
    def count(self) -> int:
        """Number of chosen bands."""
        return len(self.bands.numbers)

    @property
    def dtype(self) -> str:
        """dtype of the pixels of `read`: that of the bands, or a float where stored numbers are brought over."""
        return self._dtype

    @property
    def dtypes(self) -> tuple[str, ...]:
        """dtype of each chosen band on disk."""
        return self.bands.dtypes

    @property
    def band_numbers(self) -> tuple[int, ...]:
        """The chosen bands, 1-based."""
        return self.bands.numbers

    @property
    def band_names(self) -> tuple[str | None, ...]:
        """Descriptions of the chosen bands, where the raster has them."""
        return self.bands.names

    @property
    def colorinterp(self) -> tuple[str, ...]:
        """Colour interpretation of the chosen bands: "red", "gray", "undefined" ..."""
        return self.bands.colorinterp

    @property
    def indexed(self) -> str | None:
        """The name of a raster whose chosen bands hold indices of a colour table; None where none does."""
        return self.name if self.bands.indexed else None

    @property
    def nodata(self) -> float | None:
        """The declared nodata that all chosen bands share; None where there is none, or more than one."""
        values = set(self.bands.nodata)
        return values.pop() if len({str(value) for value in values}) == 1 else None

    @property
    def may_lack_data(self) -> bool:
        """True if a pixel may be invalid, False where the raster has no means to mark it."""
        return True

    def extents(self) -> Extents | None:
        """Return rectangles outside of which there is no data, as between members of a mosaic; None: unknown."""
        return None

    def default_rgb(self) -> tuple[int, int, int] | None:
        """Return the 1-based bands of the whole raster that show true colour; None where it has fewer than three."""
        return self.bands.default_rgb

    def read(self, rect: Rect) -> Pixels:
        """Return the pixels (C, h, w) and the validity (h, w) under `rect`; invalid pixels may hold anything.

        A rectangle of no rows or no columns, such as rounding leaves of a thin strip of a finer grid, has pixels
        and validity of that shape, and nothing is read.

        Raises:
            GridError: `rect` reaches beyond the grid.
            RasterError: any part of it cannot be read.
        """
        if not self.grid.rect.contains(rect):
            size = f"{self.grid.width} x {self.grid.height}"
            raise GridError(f"{self.name}: {rect} is not inside its {size} pixels")
        if not rect.area:
            return np.empty((self.count, *rect.shape), self.dtype), np.empty(rect.shape, np.bool_)
        return self._read(rect)

    def at_scale(self, factor: float) -> "Source":
        """Return the same imagery with pixels `factor` times as large, resampled as it is read.

        No CRS is needed. Larger pixels are area means, smaller ones bilinear; reading
        in pieces equals reading whole. A pixel is valid when at least half of its weight lies on valid
        pixels, and only those enter its value. Closing either source closes both.

        Raises:
            GridError: a factor of 0 or below.
        """
        return self if factor == 1 else ScaledSource(self, factor)

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity of the pixels in JSON values: files with size and time, grid, bands, dtype."""
        declared = [[one.scale, one.offset] for one in self.bands.value_tags]
        return {
            "files": self._files(),
            "grid": self.grid.to_json(),
            "bands": list(self.bands.numbers),
            "dtype": self.dtype,
            "nodata": [None if value is None else str(value) for value in self.bands.nodata],
            **({"values": declared} if any(one.declared for one in self.bands.value_tags) else {}),
        }

    @property
    def block(self) -> tuple[int, int]:
        """(height, width) of the blocks that are cheaply read: rows, unless it is a single file with other blocks."""
        return 1, self.grid.width

    @abstractmethod
    def close(self) -> None:
        """Close every file; a later read raises RasterError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def _read(self, rect: Rect) -> Pixels: ...

    @abstractmethod
    def _files(self) -> list[dict[str, Any]]: ...


class FileSource(Source):
    """One raster, at its own pixels.

    A pixel is invalid where the raster's mask or its alpha band is 0, where its values are no data
    (`BandTable.has_data`), or between the members of a mosaic. An alpha band that is itself chosen is data, and one
    that holds something else than opacity (`is_opacity`) is no mask: near infrared is often called so.
    """

    def __init__(self, path: str | os.PathLike[str], bands: Sequence[int] | None = None) -> None:
        self.file = RasterFile(path)
        info = self.file.info
        try:
            table = band_table(self.file, bands)
        except BandError:
            self.file.close()
            raise
        name = os.path.basename(self.file.label) or self.file.label
        super().__init__(name, (self.file.path,), info.grid, table)
        validity = self.file.validity
        left = [number for number in validity.alpha if number not in table.numbers]
        self._alpha = tuple(number for number in left if number in validity.opacity)
        misnamed = (number for number in left if number not in self._alpha)
        self.remarks = tuple(misnamed_alpha_text(number, len(info.dtypes)) for number in misnamed)

    @property
    def block(self) -> tuple[int, int]:
        return self.file.info.block

    def close(self) -> None:
        self.file.close()

    @property
    def may_lack_data(self) -> bool:
        floats = np.dtype(self.dtype).kind == "f"
        declared = any(value is not None for value in self.bands.nodata)
        return floats or declared or bool(self._alpha) or self.file.validity.by_file

    def extents(self) -> Extents | None:
        return self.file.validity.extents(self.bands.numbers)

    def _read(self, rect: Rect) -> Pixels:
        pixels, valid = self.read_masked(rect)
        return pixels, valid & self.bands.has_data(pixels)

    def read_masked(self, rect: Rect) -> Pixels:
        """Return pixels and validity as `read` does, but by masks, alpha and members alone, whatever the values."""
        read = self.file.read(self.bands.numbers + self._alpha, rect, self.dtype)
        pixels, alpha = read[: self.count], read[self.count :]
        opaque: NDArray[np.bool_] = np.all(alpha > 0, axis=0)  # all True where there is no alpha
        return pixels, opaque & self.file.validity.mask_of_all(self.bands.numbers, rect)

    def _files(self) -> list[dict[str, Any]]:
        return self.file.fingerprint()


class DerivedSource(Source):
    """The pixels of another source on another grid or with other values; closing it closes that source.

    Attributes:
        base: the other source.
    """

    def __init__(self, base: Source, grid: Grid, *, bands: BandTable | None = None, dtype: str | None = None) -> None:
        super().__init__(base.name, base.paths, grid, bands or base.bands, dtype=dtype or base.dtype)
        self.notes, self.remarks, self.base = base.notes, base.remarks, base

    def close(self) -> None:
        self.base.close()

    def _files(self) -> list[dict[str, Any]]:
        return self.base._files()


class ScaledSource(DerivedSource):
    """Another source with pixels `factor` times as large."""

    def __init__(self, base: Source, factor: float) -> None:
        super().__init__(base, base.grid.scaled(factor))
        self.factor = factor

    def at_scale(self, factor: float) -> Source:
        return self.base.at_scale(self.factor * factor)

    def _read(self, rect: Rect) -> Pixels:
        height, width = self.base.grid.shape
        rows = axis_taps(rect.top, rect.bottom, factor=self.factor, size=height)
        columns = axis_taps(rect.left, rect.right, factor=self.factor, size=width)
        pixels = np.empty((self.count, *rect.shape), dtype=self.dtype)
        valid = np.empty(rect.shape, dtype=np.bool_)
        pixel_bytes = (self.count + 1) * np.dtype(work_dtype(self.dtype)).itemsize
        row_bytes = (columns.stop - columns.start) * pixel_bytes * max(self.factor, 1)
        step = max(1, int(STRIP_BYTES / row_bytes))
        for first in range(0, rect.height, step):
            strip = rows.part(first, first + step)
            needed = Rect(strip.start, columns.start, strip.stop - strip.start, columns.stop - columns.start)
            out = slice(first, first + step)
            pixels[:, out], valid[out] = resample(*self.base.read(needed), rows=strip, columns=columns)
        return pixels, valid
