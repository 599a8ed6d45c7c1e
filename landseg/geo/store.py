"""What a run keeps on disk until its outputs are complete: raw rasters and a journal of what is safely there.

Every output has a hidden work folder beside it, so that each final rename stays inside one folder and one
file system. Pixels go into raw files that have their full (sparse) size from the start; a step is journalled
only after its pixels were synced. After a crash the journal therefore never claims more than the disk holds.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from landseg.errors import OutputError
from landseg.geo.grid import Rect

try:
    import fcntl
except ImportError:  # pragma: no cover - no such lock on Windows
    fcntl = None  # type: ignore[assignment]

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def work_folder(target: Path) -> Path:
    """The hidden folder beside ``target`` that holds everything about it until it is complete.

    >>> work_folder(Path("maps/town.tif")).as_posix()
    'maps/.town.tif.landseg'
    """
    return target.parent / f".{target.name}.landseg"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals inside the block into sentences about ``path``.

    Raises:
        OutputError: the disk is full, or the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise full_disk(path) from error
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}): choose a folder that you may write to"
        ) from error


def full_disk(path: Path) -> OutputError:
    """The error for a disk that filled up while ``path`` was written; what is finished stays for a resume."""
    hidden = [part for part in path.parents if part.name.endswith(".landseg")]
    folder = hidden[-1].parent if hidden else path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**20
    return OutputError(
        f"the disk of {folder} is full ({free:.0f} MiB free) or a file may not grow further; finished "
        "work is kept: make space there and run the same command again with --resume"
    )


def empty_folder(folder: Path, *, keep: Path | None = None) -> None:
    """Removes everything in ``folder``, which stays, but for the file ``keep``."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != keep:
            entry.unlink()


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable; without this a rename may be lost in a power cut."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # pragma: no cover - some systems cannot open folders
        return
    try:
        os.fsync(handle)
    except OSError:  # pragma: no cover - some network file systems refuse
        pass
    finally:
        os.close(handle)


def sync_file(path: Path, *, called: Path | None = None) -> None:
    """Makes the bytes of a closed file durable; sentences are about ``called`` where people don't know ``path``."""
    with disk_errors(called or path), path.open("r+b") as file:
        os.fsync(file.fileno())


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


class Journal:
    """An append-only file of JSON lines, each durable before :meth:`append` returns; the first is the header.

    A crash can tear the last line only; a torn line is dropped when the file is opened again. While open, the
    file is locked against a second run on the same output.
    """

    def __init__(self, path: Path) -> None:
        """Opens or makes the journal at ``path`` and reads what is in it.

        Raises:
            OutputError: another run holds it, or it cannot be written.
        """
        self.path = path
        with disk_errors(path):
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115
        self._lock()
        self._file.seek(0)
        lines, self._size = _whole_lines(self._file.read())
        self.header: dict[str, Any] | None = lines[0] if lines else None
        self.records: list[dict[str, Any]] = lines[1:]

    def restart(self, header: dict[str, Any]) -> None:
        """Empties the journal and writes ``header`` as its first line."""
        with disk_errors(self.path):
            self._file.truncate(0)
        self._size = 0
        self.header, self.records = None, []
        self._write(header)
        self.header = header

    def append(self, record: dict[str, Any]) -> None:
        """Adds one record and returns when it is durable."""
        self._write(record)
        self.records.append(record)

    def close(self) -> None:
        """Closes the file and frees its lock."""
        self._file.close()

    def _write(self, record: dict[str, Any]) -> None:
        line = (json.dumps(record, sort_keys=True) + "\n").encode()
        with disk_errors(self.path):
            # Drops what a crash or a full disk left of an earlier line: a new one must not be glued to it.
            self._file.truncate(self._size)
            view = memoryview(line)
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        self._size += len(line)

    def _lock(self) -> None:
        if fcntl is None:  # pragma: no cover
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise OutputError(
                f"another run is writing into {self.path.parent}; wait for its end or choose another output"
            ) from None
        except OSError:  # pragma: no cover - some network file systems cannot lock
            pass


def _whole_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records up to the first line that is torn or not JSON, and the bytes that they take."""
    records: list[dict[str, Any]] = []
    size = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
        size += len(line)
    return records, size


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
