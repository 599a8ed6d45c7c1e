"""The classes that an option selects: by name or number, or in the file of a class table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from landseg.classes import MAX_VALUE, ClassMap
from landseg.errors import ClassError
from landseg.geo.rasters.address import File


def named_parts(classes: str | Sequence[str | int], option: str) -> list[str]:
    """Return the names and numbers that an option lists, without empty ones, such as after a comma at the end.

    >>> named_parts(" building,road,", "--classes")
    ['building', 'road']

    Raises:
        ClassError: the option lists none.
    """
    parts = classes.split(",") if isinstance(classes, str) else classes
    if not isinstance(parts, Iterable):
        raise ClassError(f"{option} {classes!r}: expected names of classes, such as ['water'], or their values")
    named = [text for part in parts if (text := str(part).strip())]
    if not named:
        raise ClassError(f"{option} names no class: expected names or values, such as 1,2,5, or leave it out")
    return named


def parse_selection(classes: File | Sequence[str | int] | None) -> list[str] | Path | None:
    """Return the names and values that --classes lists, or the path of the class table that it names.

    Raises:
        ClassError: --classes lists nothing.
    """
    if classes is None:
        return None
    if isinstance(classes, (str, PathLike)):
        text = str(classes)
        if text.lower().endswith((".toml", ".json")):
            return Path(text)
        classes = text
    return named_parts(classes, "--classes")


def values_of(parts: list[str], table: ClassMap | None, name: str, *, complete: bool) -> frozenset[int]:
    """Return the values of the classes that are given by name or number.

    Args:
        parts: names and numbers.
        table: the class table of the raster; None where it has none.
        name: the name of the raster, for error messages.
        complete: whether the table holds every class that the raster may have; else it may lack numbers in `parts`.

    Raises:
        ClassError: the raster does not have a class.
    """
    by_name = _values_by_name(table)
    found = set()
    for part in parts:
        value = by_name.get(part, int(part) if part.isdecimal() else -1)
        ignored = table is not None and value in table.ignore
        if not 0 <= value <= MAX_VALUE or ignored or (complete and value not in by_name.values()):
            raise unknown(part, table, name)
        found.add(int(value))
    return frozenset(found)


def unknown(part: str, table: ClassMap | None, name: str) -> ClassError:
    """Return the error for a class that a raster does not have."""
    by_name = _values_by_name(table)
    near = difflib.get_close_matches(part, by_name, 1)
    known = ", ".join(f"{value} {text}" for text, value in by_name.items()) or "values such as 1,2,5"
    hint = f"did you mean {near[0]}?" if near else f"expected {known}"
    return ClassError(f"{name} has no class {part!r}: {hint}")


def _values_by_name(table: ClassMap | None) -> dict[str, int]:
    return {} if table is None else dict(zip(table.names, table.values, strict=True))
