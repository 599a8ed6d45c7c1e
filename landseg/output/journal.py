"""What a run keeps on disk until its outputs are complete: raw rasters and a journal of what is safely there.

Every output has a hidden work folder beside it, so that each final rename stays inside one folder and one
file system. Pixels go into raw files that have their full (sparse) size from the start; a step is journalled
only after its pixels were synced. After a crash the journal therefore never claims more than the disk holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.runtime.disk import Journal, disk_errors, empty_folder, full_disk, sync_file, sync_folder, work_folder

__all__ = [
    "Journal", "RawRaster", "differences", "disk_errors", "empty_folder", "full_disk", "plain", "sync_file",
    "sync_folder", "work_folder",
]  # fmt: skip


class RawRaster:
    """Pixels ``(bands, height, width)`` as a headerless little-endian file, one band after the other.

    It has its full size from the start and is sparse: what was never written takes no space and reads as 0.
    Writes go straight to the system (no buffer of ours): other readers see them at once. One writer thread.
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
        """The file's size in bytes."""
        bands, height, width = self.shape
        return bands * height * width * self.dtype.itemsize

    def write(self, first_band: int, rect: Rect, pixels: NDArray[Any]) -> None:
        """Puts ``pixels (n, h, w)`` at ``rect`` of the bands ``first_band ..`` (counted from 0).

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

    def sync(self) -> None:
        """Makes everything written so far durable."""
        if self.dirty:
            with disk_errors(self.path):
                os.fsync(self._file.fileno())
            self.dirty = False

    def close(self) -> None:
        """Closes the file; what is in it stays."""
        self._file.close()

    def _offset(self, band: int, row: int, column: int) -> int:
        return ((band * self.shape[1] + row) * self.shape[2] + column) * self.dtype.itemsize

    def _put(self, offset: int, values: NDArray[Any]) -> None:
        view = memoryview(values).cast("B")  # type: ignore[arg-type]
        self._file.seek(offset)
        while view:  # a write may be short when the disk is nearly full; the next one then says so
            view = view[self._file.write(view) :]


def plain(value: Any) -> Any:
    """``value`` as it reads after a trip through JSON, so that old and new signatures compare alike."""
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def differences(
    old: Any, new: Any, key: str = "", *, how: Callable[[str, Any], str] = lambda key, old: ""
) -> list[str]:
    """One sentence for every leaf in which two JSON values differ, in the order of their keys.

    ``how`` adds to the sentence of a key and its old value.

    >>> differences({"halo": 32, "model": {"hash": "a"}}, {"halo": 64, "model": {"hash": "a"}})
    ['halo was 32, is now 64']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        inner = (differences(old.get(k), new.get(k), f"{key}.{k}" if key else str(k), how=how) for k in keys)
        return [sentence for sentences in inner for sentence in sentences]
    before, after = json.dumps(old, sort_keys=True), json.dumps(new, sort_keys=True)
    if before == after:
        return []
    return [f"{key or 'the run'} was {_short(before)}, is now {_short(after)}{how(key, old)}"]


def _short(text: str) -> str:
    text = text.strip('"') if text != "null" else "absent"
    return text if len(text) <= 80 else text[:77] + "..."
