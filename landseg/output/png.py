"""Pictures in colour written as PNG row by row, in memory for a few rows.

Pillow holds a picture whole, and GDAL copies one that is on the disk already.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from landseg.runtime.disk import disk_errors

_UP = 2  # the filter of PNG by which a row is its difference from the row above
_COLOR = 2  # the type of pictures of red, green and blue


class PngWriter:
    """A PNG file of 8 bits a band whose rows come from the top down.

    Args:
        path: the file.
        height: rows of the picture.
        width: its columns.
        called: the name of the file in messages; None: `path`.
    """

    def __init__(self, path: Path, height: int, width: int, *, called: Path | None = None) -> None:
        self._called, self._left = called or path, height
        self._above = np.zeros((1, 3 * width), np.uint8)
        self._deflate = zlib.compressobj()
        with disk_errors(self._called):
            self._file = path.open("wb")
            try:
                self._file.write(b"\x89PNG\r\n\x1a\n")
                self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOR, 0, 0, 0))
            except BaseException:
                self._file.close()
                raise

    def write(self, colors: NDArray[np.uint8]) -> None:
        """Write the next rows (h, w, 3) of red, green and blue.

        Raises:
            OutputError: the disk is full.
        """
        rows = colors.reshape(len(colors), -1)
        made = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        made[:, 0] = _UP
        np.subtract(rows, np.concatenate([self._above, rows[:-1]]), out=made[:, 1:])
        self._above, self._left = rows[-1:].copy(), self._left - len(rows)
        with disk_errors(self._called):
            self._chunk(b"IDAT", self._deflate.compress(made.tobytes()))

    def close(self) -> None:
        """Write the end of the picture.

        Raises:
            ValueError: it has not as many rows as it was to have.
        """
        if self._left:
            raise ValueError(f"{self._called} has {self._left} rows fewer than it was to have")
        with disk_errors(self._called):
            self._chunk(b"IDAT", self._deflate.flush())
            self._chunk(b"IEND", b"")
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self._file.close()

    def _chunk(self, kind: bytes, content: bytes) -> None:
        """Write one chunk; none for compressed rows that are still held back."""
        if not content and kind == b"IDAT":
            return
        self._file.write(struct.pack(">I", len(content)) + kind + content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
