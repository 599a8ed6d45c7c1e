"""Raw rasters: the pixels of a run on disk until its outputs are complete.

Every output has a hidden work folder beside it, so that each final rename stays inside one folder and one
file system. Pixels go into raw files that have their full (sparse) size from the start; a step is recorded in the
run's journal only after its pixels were synced. After a crash the journal therefore never claims more than the disk
holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from landseg.errors import OutputError
from landseg.geo.grid import Rect
from landseg.runtime.disk import disk_errors


class RawRaster:
    """Pixels (bands, height, width) in a headerless little-endian file, one band after the other.

    It has its full size from the start and is sparse: pixels never written take no space and read as 0.
    Writes go straight to the system, without a buffer: other readers see them at once. One thread writes.
    """

    def __init__(self, path: Path, *, dtype: str, bands: int, height: int, width: int) -> None:
        self.path = path
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.shape = (bands, height, width)
        self.dirty = False
        with disk_errors(path):
            self._file = cast(BinaryIO, open(path, "r+b" if path.exists() else "w+b", buffering=0))  # noqa: SIM115
            if os.fstat(self._file.fileno()).st_size != self.nbytes:
                self._file.truncate(self.nbytes)
                self.dirty = True

    @property
    def nbytes(self) -> int:
        """The size of the file in bytes."""
        bands, height, width = self.shape
        return bands * height * width * self.dtype.itemsize

    def write(self, first_band: int, rect: Rect, pixels: NDArray[Any]) -> None:
        """Write pixels (n, h, w) at a rectangle of n bands, the first of which is ``first_band``, counted from 0.

        Raises:
            OutputError: the disk is full, or refuses.
        """
        data = np.ascontiguousarray(pixels, dtype=self.dtype)
        self.dirty = True
        with disk_errors(self.path):
            for index, band in enumerate(data, start=first_band):
                if rect.width == self.shape[2]:
                    self._put(self._offset(index, rect.top, 0), band)
                else:
                    for row, values in enumerate(band, start=rect.top):
                        self._put(self._offset(index, row, rect.left), values)

    def read(self, rect: Rect) -> NDArray[Any]:
        """Return the pixels (bands, h, w) of a rectangle; 0 where none were written.

        Raises:
            OutputError: the disk refuses, or the file was cut off.
        """
        found = np.empty((self.shape[0], *rect.shape), self.dtype)
        with disk_errors(self.path):
            for index, band in enumerate(found):
                if rect.width == self.shape[2]:
                    self._take(self._offset(index, rect.top, 0), band)
                else:
                    for row, values in enumerate(band, start=rect.top):
                        self._take(self._offset(index, row, rect.left), values)
        return found

    def sync(self) -> None:
        """Make all pixels written so far durable."""
        if self.dirty:
            with disk_errors(self.path):
                os.fsync(self._file.fileno())
            self.dirty = False

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()

    def _offset(self, band: int, row: int, column: int) -> int:
        return ((band * self.shape[1] + row) * self.shape[2] + column) * self.dtype.itemsize

    def _take(self, offset: int, values: NDArray[Any]) -> None:
        view = memoryview(values).cast("B")  # type: ignore[arg-type]
        self._file.seek(offset)
        while view:
            count = self._file.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise OutputError(f"{self.path} was cut off by another program: run again without --resume")
            view = view[count:]

    def _put(self, offset: int, values: NDArray[Any]) -> None:
        view = memoryview(values).cast("B")  # type: ignore[arg-type]
        self._file.seek(offset)
        while view:  # a write may be short when the disk is nearly full; the next one then says so
            view = view[self._file.write(view) :]
