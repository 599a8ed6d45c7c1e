"""The disk: its refusals as sentences, durable files, journals, and hidden folders that belong to one run.

Every output of landseg is made in a hidden work folder beside its place and gets there by rename, inside one folder
and one file system. This module knows neither rasters nor arrays: every room may use it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from landseg.errors import OutputError
from landseg.text.untrusted import read_json

try:
    import fcntl
except ImportError:  # pragma: no cover - no such lock on Windows
    fcntl = None  # type: ignore[assignment]

RECORD = "replacement"
"""The file in a work folder that names the files being replaced; see `landseg.runtime.replacement`."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def work_folder(target: Path) -> Path:
    """Return the hidden folder beside a file that holds everything about it until it is complete.

    >>> work_folder(Path("maps/town.tif")).as_posix()
    'maps/.town.tif.landseg'
    """
    return target.parent / f".{target.name}.landseg"


class FullDisk(OutputError):
    """A disk without room, in a sentence that says whether finished work is kept.

    Args:
        full: the sentence on the disk.
        kept: whether finished work stays for a run with --resume.
    """

    def __init__(self, full: str, *, kept: bool = False) -> None:
        self.full = full
        work, option = ("finished work is", " with --resume") if kept else ("nothing was", "")
        super().__init__(f"{full}; {work} kept: make space there and run the same command again{option}")


@contextmanager
def work_kept(kept: bool = True) -> Iterator[None]:
    """Say of a full disk inside the block that finished work is kept for a run with --resume.

    Args:
        kept: whether that is so.

    Raises:
        FullDisk: in place of the one that promises nothing.
    """
    try:
        yield
    except FullDisk as error:
        if kept:
            raise FullDisk(error.full, kept=True) from error
        raise


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into sentences about a file.

    Args:
        path: the file, as users know it.

    Raises:
        OutputError: the disk is full (`FullDisk`), or the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise full_disk(path) from error
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}): choose a folder that you may write to"
        ) from error


def full_disk(path: Path) -> FullDisk:
    """Return the error for a disk that filled up while a file was written."""
    hidden = [part for part in path.parents if part.name.endswith(".landseg")]
    folder = hidden[-1].parent if hidden else path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**20
    return FullDisk(f"the disk of {folder} is full ({free:.0f} MiB free) or a file may not grow further")


def empty_folder(folder: Path, *, keep: Path | None = None) -> None:
    """Remove everything in a folder, which stays, except the file ``keep``."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != keep:
            entry.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; without this a rename may be lost in a power cut."""
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
    """Make the bytes of a closed file durable; sentences name ``called`` where users do not know ``path``."""
    with disk_errors(called or path), path.open("r+b") as file:
        os.fsync(file.fileno())


class Journal:
    """An append-only file of JSON lines, each durable before :meth:`append` returns; the first is the header.

    A crash can tear the last line only; a torn line is dropped when the file is opened again. While open, the
    file is locked against a second run on the same output.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the journal at a path and read its lines.

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
        """Empty the journal and write a header as its first line."""
        with disk_errors(self.path):
            self._file.truncate(0)
        self._size = 0
        self.header, self.records = None, []
        self._write(header)
        self.header = header

    def append(self, record: dict[str, Any]) -> None:
        """Add one record and return when it is durable."""
        self._write(record)
        self.records.append(record)

    def close(self) -> None:
        """Close the file and free its lock."""
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
    """Return the records up to the first line that is torn or not JSON, and their number of bytes."""
    records: list[dict[str, Any]] = []
    size = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            record = read_json(line, finite=False)  # the nodata of a layer may be NaN
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
        size += len(line)
    return records, size


@contextmanager
def claimed(out: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside an output, locked for this run and removed afterwards.

    Where a replacement was recorded in it and did not come to its end, everything in it stays for the next run.

    Raises:
        OutputError: another run holds the folder, or it cannot be written.
    """
    folder = work_folder(out)
    with disk_errors(out):
        folder.mkdir(exist_ok=True)
    lock = Journal(folder / "journal")
    try:
        with disk_errors(out):
            empty_folder(folder, keep=lock.path)
        yield folder
    finally:
        if not (folder / RECORD).exists():
            release(folder, lock, out)
        lock.close()


def release(folder: Path, lock: Journal, out: Path) -> None:
    """Remove a work folder and everything in it; the journal last, since another run may wait for its lock."""
    if not folder.exists():
        return
    with disk_errors(out):
        empty_folder(folder, keep=lock.path)
    lock.path.unlink(missing_ok=True)
    if not os.listdir(folder):
        folder.rmdir()
