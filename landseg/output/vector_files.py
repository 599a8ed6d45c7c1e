"""The vector files of an export: one, or one for each class, which appear together when all are complete."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.errors import OutputError
from landseg.output.checks import check_absent
from landseg.output.styles import style_for
from landseg.output.vector_formats import vector_format
from landseg.runtime.disk import disk_errors, sync_file
from landseg.runtime.replacement import Part

if TYPE_CHECKING:
    from landseg.output.spool import Columns
    from landseg.output.vector_writer import Writer

_WORD = 100  # bytes of a file's name that are its class's: names have 255, and drivers put more behind them

Style = tuple[Path, Sequence[LandClass], str]
"""A vector file, the classes that are in it, and the kind of its shapes."""


def class_file(out: Path, entry: LandClass) -> Path:
    """Return the file of a class when each class has a file of its own.

    A long name is cut and ends in the value, which no other class has.

    >>> class_file(Path("maps/town.shp.zip"), LandClass(3, "bare soil / rock", (0, 0, 0))).name
    'town_bare_soil_rock.shp.zip'
    """
    form = vector_format(out)
    word = re.sub(r"\W+", "_", entry.name).strip("_") or str(entry.value)
    if len(word.encode()) > _WORD:
        ending = f"_{entry.value}"
        word = word.encode()[: _WORD - len(ending)].decode(errors="ignore").rstrip("_") + ending
    return out.with_name(f"{form.stem(out)}_{word}{form.suffix(out)}")


def class_files(out: Path, classes: Sequence[LandClass]) -> dict[int, Path]:
    """Return the file of each class by its value.

    Raises:
        OutputError: two classes would share a file.
    """
    files: dict[int, Path] = {}
    for entry in classes:
        file = class_file(out, entry)
        if any(str(file).lower() == str(other).lower() for other in files.values()):
            raise OutputError(f"two classes would be written to {file}: rename one, or leave --by-class-files out")
        files[entry.value] = file
    return files


class Files:
    """The vector files of one export.

    Args:
        out: the file; with `classes`, the name from which theirs are made.
        fields: see `Writer`, as are `crs` and `kind`.
        work: an existing folder for these files alone.
        classes: every class gets a file; others get one when they come. None: one file for all.
        overwrite: whether files that exist may be replaced; those of `classes` are checked before.
    """

    def __init__(
        self,
        out: Path,
        fields: Mapping[str, str],
        *,
        crs: pyproj.CRS | None,
        kind: str,
        work: Path,
        classes: Sequence[LandClass] | None = None,
        called: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self._out, self._fields, self._crs, self._kind = out, fields, crs, kind
        self._work, self._called, self._overwrite = work, called, overwrite
        self._writers: dict[int | None, Writer] = {}
        for entry in classes or ():
            self._open(entry)
        if classes is None:
            self._open(None)
        self._each = classes is not None

    @property
    def count(self) -> int:
        """The number of features so far."""
        return sum(writer.count for writer in self._writers.values())

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, by class value."""
        return tuple(self._writers[key].out for key in sorted(self._writers, key=lambda key: key or 0))

    def write(self, columns: Columns, shapes: NDArray[Any]) -> None:
        """Write features into the files of their classes."""
        if not self._each:
            self._writers[None].write(columns, shapes)
            return
        for value in np.unique(columns["value"]).tolist():
            chosen = columns["value"] == value
            if value not in self._writers:
                name = str(columns["name"][chosen][0])
                self._open(LandClass(value, name, (0, 0, 0)))
            self._writers[value].write({key: column[chosen] for key, column in columns.items()}, shapes[chosen])

    def finish(self, classes: Sequence[LandClass]) -> list[Part]:
        """Complete every file, with the colours of its classes, and return the parts to publish."""
        return [writer.finish(_of(classes, value)) for value, writer in self._writers.items()]

    def styles(self, classes: Sequence[LandClass]) -> list[Style]:
        """Return each file with the classes that are in it."""
        return [(writer.out, _of(classes, value), self._kind) for value, writer in self._writers.items()]

    def _open(self, entry: LandClass | None) -> None:
        from landseg.output.vector_writer import Writer  # loads pyogrio, and that geopandas

        file = self._out if entry is None else class_file(self._out, entry)
        work = self._work / ("all" if entry is None else str(entry.value))
        if entry is not None and not self._overwrite:
            check_absent([], [file])
        with disk_errors(self._called or file):
            work.mkdir()
        key = None if entry is None else entry.value
        self._writers[key] = Writer(
            file, self._fields, crs=self._crs, kind=self._kind, work=work, called=self._called
        )


def _of(classes: Sequence[LandClass], value: int | None) -> Sequence[LandClass]:
    return classes if value is None else [entry for entry in classes if entry.value == value]


def with_styles(
    parts: Sequence[Part], styles: Sequence[Style], work: Path, *, replace: bool
) -> tuple[list[Part], list[Path]]:
    """Return the parts with a .qml beside each file whose format has one, and the styles of users that stay.

    Args:
        parts: finished vector files.
        styles: their classes and kinds of shapes.
        work: a folder for the styles alone, on the disk of the files.
        replace: whether a style that a user made may go.
    """
    made, stayed = {part.target: part for part in parts}, []
    for number, (path, classes, kind) in enumerate(styles):
        qml = vector_format(path).qml_path(path)
        if qml is None:
            continue
        text = style_for(qml, classes, kind=kind, replace=replace)
        if text is None:
            stayed.append(qml)
            continue
        fresh = work / f"style_{number}.qml"
        with disk_errors(qml):
            fresh.write_text(text, encoding="utf-8")
        sync_file(fresh, called=qml)
        part = made[path]
        made[path] = dataclasses.replace(part, moves=((fresh, qml), *part.moves))
    return list(made.values()), stayed
