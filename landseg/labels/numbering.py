"""Numbering of classes: rasters whose tables give other values to the same names are matched by name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike

from landseg.classes import MAX_VALUE, ClassMap, LandClass
from landseg.errors import ClassError
from landseg.geo.rasters.address import label
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.legend import read_legend
from landseg.text.amounts import shorten_list

_log = logging.getLogger(__name__)


def numbered_as(classes: ClassMap, theirs: ClassMap) -> ClassMap:
    """Return the classes in their order, with the values that another table has for their names.

    Where the two agree about every name that both have, the values stay: a name that one of them lacks is taken for
    another word. Otherwise a class that the other table lacks gets a value that is free there.

    >>> ours = ClassMap.from_json([{"value": 1, "name": "land"}, {"value": 2, "name": "sea"}])
    >>> theirs = ClassMap.from_json([{"value": 1, "name": "Sea"}, {"value": 2, "name": "Land"}])
    >>> numbered_as(ours, theirs).values
    (2, 1)
    """
    own = {_plain(name): value for name, value in zip(theirs.names, theirs.values, strict=True)}
    values = [own.get(_plain(entry.name)) for entry in classes.classes]
    if all(value in (None, entry.value) for value, entry in zip(values, classes.classes, strict=True)):
        return classes
    free = iter(value for value in range(1, MAX_VALUE) if value not in {*theirs.values, *theirs.ignore})
    renumbered = tuple(
        LandClass(next(free) if value is None else value, entry.name, entry.color)
        for value, entry in zip(values, classes.classes, strict=True)
    )
    taken = {entry.value for entry in renumbered}
    ignored = dict.fromkeys((*theirs.ignore, *classes.ignore))
    return ClassMap(renumbered, tuple(value for value in ignored if value not in taken))


def table_for(paths: Sequence[str | PathLike[str]], classes: ClassMap) -> ClassMap:
    """Return the classes with the values that class rasters themselves give to their names.

    A raster that names no classes has the values of ``classes``. Names that differ for one value are
    warned of, since one of the two rasters may be of other classes.

    Raises:
        ClassError: rasters that are read as one give different values to a name.
    """
    tables: dict[str, ClassMap] = {}
    for path in paths:
        file = RasterFile(path)
        try:
            legend = read_legend(file)
        finally:
            file.close()
        table = classes if legend is None else numbered_as(classes, legend)
        if legend is not None:
            _warn_of_other_names(label(file.path), table, legend)
        tables[label(file.path)] = table
    (first, found), *others = tables.items()
    for name, table in others:
        if table.values != found.values:
            raise ClassError(
                f"{first} and {name} give other values to the same classes ({_numbers(found)}; {_numbers(table)}): "
                "expected one numbering; read them one by one, or name the class table that is right for both"
            )
    return found


def _warn_of_other_names(name: str, table: ClassMap, legend: ClassMap) -> None:
    known = {_plain(entry) for entry in legend.names}
    theirs = dict(zip(legend.values, legend.names, strict=True))
    unlike = [
        f"{entry.value} is {theirs[entry.value]} there and {entry.name} here"
        for entry in table.classes
        if entry.value in theirs and _plain(entry.name) not in known
    ]
    if unlike:
        shown = shorten_list(unlike, 4, between="; ")
        _log.warning("%s has other names for classes: value %s; they are taken for the same classes", name, shown)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _numbers(table: ClassMap) -> str:
    return ", ".join(f"{entry.value} {entry.name}" for entry in table.classes[:8])
