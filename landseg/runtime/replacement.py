"""Several files replaced as one: recorded before the first is touched, and finished later where a run was killed.

The files of a run are complete in hidden work folders before `publish` begins. It records the moves to come,
moves every old file into a work folder, the named ones before those that lie beside them, then moves every new one
into place, those that lie beside a named one before it. At every moment the visible files are therefore of one run,
and no raster stands beside another's sidecar. The record goes last: as long as it is there the files are of an
unfinished replacement, which `unfinished` notices for any of them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from landseg.errors import LandsegError, OutputError
from landseg.runtime.disk import RECORD, Journal, claimed, disk_errors, sync_file, sync_folder, work_folder
from landseg.text.amounts import shorten_list
from landseg.text.untrusted import read_json

try:
    import fcntl
except ImportError:  # pragma: no cover - no such lock on Windows
    fcntl = None  # type: ignore[assignment]

Move = tuple[Path, Path]
"""A file and the name that it will get."""

_FORMAT = 1  # of the record
_OLD = "old"  # the folder in a work folder that old files wait in
_SHOWN = 3  # files that a sentence names


@dataclass(frozen=True)
class Part:
    """One named file of a run with its companion files.

    Attributes:
        target: the named file, which commands open.
        moves: finished files in a work folder of the target's folder, and their names; the target's last.
        stale: places of files that belong to an older file of that name and go with it.
    """

    target: Path
    moves: tuple[Move, ...]
    stale: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Replacement:
    """The moves that put the files of a run in place of older files.

    Attributes:
        folder: the work folder that holds the record.
        files: the named files.
        aside: old files, and where each waits until all new ones are in place.
        moves: new files, and their names.
        resume: whether the command has a --resume.
    """

    folder: Path
    files: tuple[Path, ...]
    aside: tuple[Move, ...]
    moves: tuple[Move, ...]
    resume: bool

    @classmethod
    def of(cls, parts: Sequence[Part], folder: Path, *, resume: bool = False) -> Self:
        """Return the replacement that publishes parts, the main one last, with its record in a work folder."""
        aside: dict[Path, Path] = {}
        beside = [(part, path) for part in parts for path in (*(to for _, to in part.moves), *part.stale)]
        for part, path in (*((part, part.target) for part in reversed(parts)), *beside):
            if os.path.lexists(path):
                aside.setdefault(path, work_folder(part.target) / _OLD / path.name)
        moves = tuple(move for part in parts for move in part.moves)
        files = tuple(part.target for part in parts)
        return cls(folder, files, tuple(aside.items()), moves, resume)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the replacement that is recorded in a work folder; None without a sound record."""
        table = _read(folder)
        try:
            files = tuple(_path(folder, text) for text in table["files"])
            aside, moves = (
                tuple((_path(folder, one), _path(folder, other)) for one, other in table[name])
                for name in ("aside", "moves")
            )
        except (KeyError, TypeError, ValueError):
            return None
        return cls(folder, files, aside, moves, table.get("resume") is True) if files else None

    def record(self) -> None:
        """Record the moves durably: in full once, and a reference to that beside every other file."""
        for file, folder in self._others():
            with disk_errors(file):
                folder.mkdir(exist_ok=True)
            _write(folder, {"landseg": _FORMAT, "of": _name(self.folder, folder)})
        table = {
            "landseg": _FORMAT,
            "files": [_name(file, self.folder) for file in self.files],
            "aside": [[_name(one, self.folder) for one in move] for move in self.aside],
            "moves": [[_name(one, self.folder) for one in move] for move in self.moves],
            "resume": self.resume,
        }
        _write(self.folder, table)

    def carry_out(self) -> None:
        """Move old files aside and new files into place, as far as that is still to be done.

        Raises:
            OutputError: a new file is gone, or a file cannot be moved.
        """
        if (lost := self.lost()) is not None:
            raise OutputError(
                f"{lost} cannot be put in place, since the new file is gone: make all files again with --overwrite"
            )
        waiting = {target: new for new, target in self.moves}
        for old, place in self.aside:
            if os.path.lexists(old) and (old not in waiting or os.path.lexists(waiting[old])):
                self._move(old, place, of=old)
        for new, target in self.moves:
            if os.path.lexists(new):
                self._move(new, target, of=target)
        for folder in {target.parent for target in (*self.files, *waiting)}:
            sync_folder(folder)

    def lost(self) -> Path | None:
        """Return the first target whose new file is neither in its work folder nor in place; None: all are there."""
        aside = dict(self.aside)
        for new, target in self.moves:
            arrived = os.path.lexists(target) and (target not in aside or os.path.lexists(aside[target]))
            if not (arrived or os.path.lexists(new)):
                return target
        return None

    def undo(self) -> None:
        """Move new files back to where they were made and old ones to their names, and forget the record."""
        aside = dict(self.aside)
        for new, target in reversed(self.moves):
            arrived = not os.path.lexists(new) and (target not in aside or os.path.lexists(aside[target]))
            if arrived and os.path.lexists(target) and new.parent.is_dir():
                self._move(target, new, of=target)
        for old, place in reversed(self.aside):
            if os.path.lexists(place):
                self._move(place, old, of=old)
        self._forget()

    def clean(self) -> None:
        """Forget the record of files that are all in place; every work folder goes but the one that held it.

        A run that is killed in here leaves complete files, and work folders that the next run takes for nothing.
        """
        (self.folder / RECORD).unlink(missing_ok=True)
        sync_folder(self.folder)
        for _, folder in self._others():
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / _OLD, ignore_errors=True)

    def finish(self) -> None:
        """Carry out the moves that are left, under the lock of the run, and remove every work folder.

        Raises:
            OutputError: another run holds the lock, or as `carry_out`.
        """
        lock = Journal(self.folder / "journal")
        try:
            self.carry_out()
            self.clean()
            lock.path.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            lock.close()

    def sentence(self) -> str:
        """Return a sentence with the files of an unfinished replacement and the way to finish it."""
        shown = shorten_list([str(file) for file in reversed(self.files)], _SHOWN)
        are = f"{shown} {'is' if len(self.files) == 1 else 'are'}"
        if self._under_way():
            return f"{are} being put in place by another run: wait for its end"
        again = "--resume to finish it, or with --overwrite to make them anew" if self.resume else "--overwrite"
        return (
            f"{are} of an unfinished replacement: a run was stopped while it put files in place; run the same "
            f"command again with {again}"
        )

    def _others(self) -> list[tuple[Path, Path]]:
        """Return the named files whose work folder is not the one with the record, with that folder."""
        folders = ((file, work_folder(file)) for file in self.files)
        return [(file, folder) for file, folder in folders if not _same(folder, self.folder)]

    def _under_way(self) -> bool:
        """Return True if the run that wrote the record lives: it holds the journal's lock."""
        if fcntl is None:  # pragma: no cover
            return False
        try:
            with (self.folder / "journal").open("rb") as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _move(self, source: Path, target: Path, *, of: Path) -> None:
        """Rename a file, if the work folder that it comes from or goes to belongs to this replacement."""
        hidden = next((place for place in (source, target) if _hidden(place, of.parent)), None)
        folder = None if hidden is None else _hidden(hidden, of.parent)
        if folder is None or not self._is_of(folder):
            wrong = self.folder / RECORD
            raise OutputError(f"{of} cannot be put in place: {wrong} does not belong to it; remove that")
        with _renaming(of):
            if target.parent.name == _OLD:
                target.parent.mkdir(exist_ok=True)
            os.replace(source, target)

    def _is_of(self, folder: Path) -> bool:
        """Return True if a work folder holds this record or refers to it."""
        main = self.folder if _same(folder, self.folder) else _main(folder)
        return main is not None and _same(main, self.folder)

    def _forget(self) -> None:
        for _, folder in self._others():
            if self._is_of(folder):
                (folder / RECORD).unlink(missing_ok=True)
                _remove_empty(folder / _OLD)
                _remove_empty(folder)
        (self.folder / RECORD).unlink(missing_ok=True)
        _remove_empty(self.folder / _OLD)
        sync_folder(self.folder)


def publish(parts: Sequence[Part], *, folder: Path | None = None, resume: bool = False) -> None:
    """Put finished files in place of older ones, the main part last, so that a kill leaves a record of the rest.

    Where the system refuses, as Windows does for files that are open, everything is moved back. The work folders of
    all parts are gone afterwards, but for the one that held the record, which belongs to the run.

    Args:
        parts: what is published.
        folder: the run's work folder; None: that of the main part.
        resume: whether the command has a --resume that calls `Replacement.finish`.

    Raises:
        OutputError: a file cannot be moved; all is as before.
    """
    replacement = Replacement.of(parts, folder or work_folder(parts[-1].target), resume=resume)
    replacement.record()
    try:
        replacement.carry_out()
    except (OSError, LandsegError):
        replacement.undo()
        raise
    replacement.clean()


def unfinished(path: str | Path) -> Replacement | None:
    """Return the replacement that a file belongs to and that was not carried out to its end; None without one.

    This takes one look at the disk for a file that hardly ever exists.
    """
    named = Path(path)
    try:
        places = dict.fromkeys((named, Path(os.path.realpath(named))))
        for place in places:
            folder = work_folder(place)
            if not (folder / RECORD).is_file():
                continue
            found = Replacement.read(main) if (main := _main(folder)) is not None else None
            if found is not None and (_same(found.folder, folder) or any(_same(f, place) for f in found.files)):
                return found
    except (OSError, ValueError):  # an address, or a whole document in place of a name
        pass
    return None


def refuse_unfinished(path: str | Path, error: type[LandsegError] = OutputError) -> None:
    """Raise an error of the given class if a file belongs to an unfinished replacement."""
    if (found := unfinished(path)) is not None:
        raise error(found.sentence())


def refuse_unfinished_in(folder: Path, error: type[LandsegError] = OutputError) -> None:
    """Raise an error of the given class if a file of a folder, there or not, belongs to an unfinished replacement."""
    for hidden in sorted(folder.glob(".*.landseg")):
        refuse_unfinished(folder / hidden.name.removeprefix(".").removesuffix(".landseg"), error)


def settle(targets: Iterable[Path], *, overwrite: bool) -> None:
    """Finish unfinished replacements of files that are to be replaced; without ``overwrite`` refuse such files.

    A replacement that cannot be finished, since files of it are gone, is undone.

    Raises:
        OutputError: a target belongs to an unfinished replacement and must not be replaced.
    """
    for target in targets:
        found = unfinished(target)
        if found is None:
            continue
        if not overwrite or found._under_way():
            raise OutputError(found.sentence())
        if found.lost() is None:
            found.finish()
        else:
            found.undo()


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a hidden place for a file that, when the block ends without an error, replaces ``path`` and is durable.

    Raises:
        OutputError: it cannot be written, or another run is writing it.
    """
    settle([path], overwrite=True)
    with claimed(path) as folder, disk_errors(path):
        place = folder / path.name
        yield place
        with place.open("r+b") as file:
            os.fsync(file.fileno())
        with _renaming(path):
            os.replace(place, path)
        sync_folder(path.parent)


@contextmanager
def _renaming(path: Path) -> Iterator[None]:
    """Turn a refused rename of a file into a sentence: Windows moves no file that is open."""
    try:
        yield
    except PermissionError as error:
        raise OutputError(
            f"cannot replace {path} ({error.strerror or error}): close the programs that have it open, or choose a "
            "folder that you may write to"
        ) from error
    except OSError as error:
        with disk_errors(path):
            raise error


def _hidden(path: Path, beside: Path) -> Path | None:
    """Return the work folder, directly in the folder ``beside``, that holds a path; None without one."""
    for folder in path.parents:
        if folder.name.startswith(".") and folder.name.endswith(".landseg") and folder.parent == beside:
            return folder
    return None


def _main(folder: Path) -> Path | None:
    """Return the work folder with the full record that the record in a folder is or refers to."""
    table = _read(folder)
    if "files" in table:
        return folder
    return _path(folder, table["of"]) if isinstance(table.get("of"), str) else None


def _read(folder: Path) -> dict[str, Any]:
    try:
        table = read_json((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) and table.get("landseg") == _FORMAT else {}


def _write(folder: Path, table: dict[str, Any]) -> None:
    part = folder / f"{RECORD}.part"
    with disk_errors(folder):
        part.write_text(json.dumps(table), encoding="utf-8")
    sync_file(part, called=folder)
    with disk_errors(folder):
        os.replace(part, folder / RECORD)
    sync_folder(folder)
    sync_folder(folder.parent)


def _name(path: Path, start: Path) -> str:
    """Return a path as seen from a folder, so that a record moves with its files; in full where that fails."""
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:  # pragma: no cover - another drive of Windows
        return str(path.absolute())


def _path(folder: Path, name: Any) -> Path:
    if not isinstance(name, str) or "\0" in name:
        raise TypeError("a path is text")
    return Path(os.path.normpath(folder / name))


def _same(one: Path, other: Path) -> bool:
    # Where letters' case matters, folders that differ in it alone are two, and each holds a record of its own.
    return os.path.abspath(one).casefold() == os.path.abspath(other).casefold()


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not os.listdir(folder):
        folder.rmdir()
