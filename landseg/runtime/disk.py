"""The disk: its refusals as sentences, files that are durable, and hidden folders that one run has to itself.

Whatever landseg writes is made in a hidden work folder beside its place and gets there by rename, inside one folder
and one file system. This module knows neither rasters nor arrays: every room may use it.
"""

from __future__ import annotations

import errno
import json
import os
import re
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
"""The file in a work folder that says which files are being replaced; see `landseg.runtime.replacement`."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def work_folder(target: Path) -> Path:
    """The hidden folder beside ``target`` that holds everything about it until it is complete.

    >>> work_folder(Path("maps/town.tif")).as_posix()
    'maps/.town.tif.landseg'
    """
    return target.parent / f".{target.name}.landseg"


@contextmanager
def disk_errors(path: Path, *, kept: bool = True) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into sentences about ``path``.

    Args:
        path: what people know.
        kept: whether finished work stays for a run with --resume.

    Raises:
        OutputError: the disk is full, or the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise full_disk(path, kept=kept) from error
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}): choose a folder that you may write to"
        ) from error


def full_disk(path: Path, *, kept: bool = True) -> OutputError:
    """Return the error for a disk that filled up while ``path`` was written; ``kept``: as for `disk_errors`."""
    hidden = [part for part in path.parents if part.name.endswith(".landseg")]
    folder = hidden[-1].parent if hidden else path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**20
    full = f"the disk of {folder} is full ({free:.0f} MiB free) or a file may not grow further; "
    if not kept:
        return OutputError(f"{full}nothing was kept: make space there and run the same command again")
    return OutputError(f"{full}finished work is kept: make space there and run the same command again with --resume")


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
    """Lend a hidden folder beside ``out`` that is this run's alone, empty, and gone afterwards.

    Where a replacement was recorded in it and did not come to its end, everything in it stays for the next run.

    Raises:
        OutputError: another run has it, or the folder cannot be written.
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
    """Remove a work folder and what is in it; its journal last, which another run may be waiting for."""
    if not folder.exists():
        return
    with disk_errors(out):
        empty_folder(folder, keep=lock.path)
    lock.path.unlink(missing_ok=True)
    if not os.listdir(folder):
        folder.rmdir()


_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # a scheme has two letters at least, a drive has one
_GDAL = re.compile(r"(/vsi[a-z0-9_]+)/")  # GDAL's own file systems: buckets, archives, memory


def check_local(path: str | os.PathLike[str]) -> None:
    """Refuse an output that is an address or lies in a file system of GDAL's.

    Outputs are written beside their place and renamed into it when they are complete, which no server offers. Taken
    for a name, "s3://bucket/map.tif" would make a folder called "s3:".

    Raises:
        OutputError: `path` is one.
    """
    text = os.fspath(path)
    address, inside = _ADDRESS.match(text), _GDAL.match(text)
    if address is None and (inside is None or Path(inside[1]).is_dir()):
        return
    shown = _ADDRESS.sub(r"\1://", text, count=1).split("?")[0]  # pathlib leaves one slash; a query may be secret
    raise OutputError(f"{shown}: outputs go to local or shared folders: write to a file and copy it there")
