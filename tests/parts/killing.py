"""What a kill leaves on disk: copies of a folder, taken before each of the things that a run does to it."""

from __future__ import annotations

import builtins
import functools
import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil

_CALLS = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "fsync", "truncate")
Visible = dict[str, bytes]


class Kills:
    """The states of a folder in which a run may be killed, one for each thing that it did to the disk.

    What GDAL and OGR write inside work folders counts as one thing for a raster, at its start.

    Attributes:
        did: what would have come next in each state.
        states: the copies; a state that looks like the one before it has that one's copy.
    """

    def __init__(self, folder: Path, keep: Path, run: Callable[[], object]) -> None:
        self.did: list[str] = []
        self.states: list[Path] = []
        self._folder, self._keep, self._copying, self._last = folder, keep, False, ""
        keep.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, self._watched(getattr(os, name), name))
            patch.setattr(builtins, "open", self._opening(builtins.open))
            patch.setattr(io, "open", self._opening(io.open))
            patch.setattr(rasterio.shutil, "copy", self._watched(rasterio.shutil.copy, "copy"))
            run()

    def unlike(self, since: int = 0) -> list[int]:
        """The states from one on that differ from those before them."""
        found = [at for at in range(len(self.states)) if at == 0 or self.states[at] != self.states[at - 1]]
        return [at for at in found if at >= since]

    def restore(self, at: int) -> None:
        """Put the folder into a state."""
        shutil.rmtree(self._folder)
        shutil.copytree(self.states[at], self._folder, symlinks=True)

    def _next(self, what: str) -> None:
        if self._copying:
            return
        self._copying = True
        self.did.append(what)
        seen = _digest(self._folder)
        if seen != self._last:
            self._last = seen
            shutil.copytree(self._folder, self._keep / str(len(self.states)), symlinks=True)
            self.states.append(self._keep / str(len(self.states)))
        else:
            self.states.append(self.states[-1])
        self._copying = False

    def _watched(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._next(" ".join([name, *(str(arg).removeprefix(str(self._folder)) for arg in args[:2])]))
            return call(*args, **kwargs)

        return watched

    def _opening(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if set(mode) & set("wax+") and str(file).startswith(str(self._folder)):
                self._next(f"open {str(file).removeprefix(str(self._folder))} {mode}")
            return call(file, mode, *args, **kwargs)

        return opened


def visible(folder: Path) -> Visible:
    """The files that people see, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def hidden(folder: Path) -> list[str]:
    """What is left that people do not see."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(".*"))


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(f"{path.relative_to(folder)} {path.is_dir()}\n".encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()
