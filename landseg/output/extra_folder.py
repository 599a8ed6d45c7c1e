"""A folder among the outputs of a run: it appears as a whole, and takes the place of none but its like."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from landseg.errors import OutputError
from landseg.runtime.target_checks import check_local


@dataclass(frozen=True)
class ExtraFolder:
    """The content of a folder that a run writes.

    Attributes:
        main: the file that each folder of this kind holds.
        others: patterns of the names of its other files.
        pixel_bytes: the most bytes that it takes for a pixel of the run.
    """

    main: str
    others: tuple[str, ...]
    pixel_bytes: float

    def check(
        self, folder: Path, *, beside: Iterable[Path], inputs: Iterable[Path], folders: Collection[Path] = ()
    ) -> None:
        """Raise OutputError if the folder cannot be written at a place, or must not be.

        A folder that exists must hold files of this kind alone: with --overwrite it goes with all that it holds.

        Args:
            folder: the place.
            beside: other outputs of the run, none of which may lie in it.
            inputs: files that the run reads; likewise.
            folders: those that the run makes before it writes.
        """
        check_local(folder)
        if folder.name in ("", ".."):
            raise OutputError(f"{folder} has no name of its own: name a new folder, which the run makes")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file: name a new folder, which the run makes")
        if not folder.parent.is_dir() and folder.parent not in folders:
            raise OutputError(f"{folder} has no folder: make {folder.parent} first, or choose another output")
        for other in beside:
            if _lies_in(other, folder):
                raise OutputError(f"{other} lies in {folder}, which the run makes as a whole: put it elsewhere")
        for path in inputs:
            if _lies_in(path, folder):
                raise OutputError(f"{path} is an input of this run and lies in {folder}: choose another folder")
        if folder.is_dir():
            self._check_content(folder)

    def _check_content(self, folder: Path) -> None:
        """Raise OutputError if a folder that exists holds what no folder of this kind does."""
        names = sorted(path.name for path in folder.iterdir())
        for name in names:
            known = name == self.main or any(fnmatchcase(name, pattern) for pattern in self.others)
            if not known or not (folder / name).is_file() or self.main not in names:
                raise OutputError(
                    f"{folder} holds {name}, which is not of an earlier {self.main}: choose another folder"
                )


def _lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or lies below it, under whatever names."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a source may be an address, or a whole document
        return False
