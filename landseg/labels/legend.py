"""Legends: the class tables that class rasters carry, or files beside them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from xml.etree import ElementTree as Xml

from landseg.classes import ClassMap
from landseg.errors import ClassError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import CLASSES, aux_path
from landseg.text.untrusted import read_json, read_toml

_log = logging.getLogger(__name__)


def class_tag(classes: ClassMap) -> str:
    """Return the text of the tag in which landseg's rasters carry their class table."""
    return json.dumps(classes.to_json(), ensure_ascii=False)


def read_legend(file: RasterFile) -> ClassMap | None:
    """Return the classes of a class raster: landseg's own tag, else the names that GDAL knows with its colours.

    Names without a colour get one, and values that have a name alone count: the 256 entries of most colour
    tables name nothing. Empty names, "nodata" and the nodata value are no classes. A name that several values
    have is numbered from the second on. None where there are none.
    """
    if (own := own_legend(file)) is not None:
        return own
    names = _category_names(aux_path(Path(file.path)))
    nodata = file.info.nodata[0]
    named = {value: name for value, name in names.items() if name and name != "nodata" and value != nodata}
    if not named:
        return None
    ignore = [value for value, name in names.items() if name == "nodata" and value != nodata]
    colors = file.palette(1) or {}
    rows = [
        {"value": value, "name": name, "color": list(colors[value][:3]) if value in colors else None}
        for value, name in zip(named, _numbered(list(named.values())), strict=True)
    ]
    try:
        return ClassMap.from_json({"classes": rows, "ignore": ignore})
    except ClassError as error:
        _log.warning("%s: its names of classes are left aside (%s)", file.label, error)
        return None


def own_legend(file: RasterFile) -> ClassMap | None:
    """Return the class table in landseg's own tag; None where there is no such tag, or it cannot be read."""
    try:
        return ClassMap.from_json(read_json(file.info.tags[CLASSES]))
    except (KeyError, ValueError, ClassError):
        return None  # changed by hand: the names that GDAL has may still be right


def declared_nodata(file: RasterFile, classes: ClassMap | None = None) -> float | None:
    """Return the value that means no data in a class raster of one band; None where the raster declares none.

    That is its nodata; in a raster that carries landseg's own table and has lost its nodata, the value that landseg
    writes, unless it is a class of ``classes``. A table that lies elsewhere declares nothing.
    """
    nodata = file.info.nodata[0]
    if nodata is not None or (own := own_legend(file)) is None or len(file.info.dtypes) > 1:
        return nodata
    return None if classes is not None and own.nodata in classes.values else own.nodata


def is_class_raster(file: RasterFile) -> bool:
    """Return whether a raster of one band declares that it holds classes: by names, or by landseg's table
    and its colours.

    The table alone does not declare this: every raster of a run carries it, that of the confidence too.
    """
    named = any(_category_names(aux_path(Path(file.path))).values())
    return named or (CLASSES in file.info.tags and file.palette(1) is not None)


def read_class_table(path: Path) -> ClassMap:
    """Return the classes of a TOML or JSON file: ``classes`` with value, name and color, and ``ignore``.

    Raises:
        ClassError: it cannot be read, or holds no class table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = read_json(text) if path.suffix.lower() == ".json" else read_toml(text)
    except OSError as error:
        raise ClassError(f"class table {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ClassError(f"class table {path} is not valid TOML or JSON: {error}") from error
    try:
        return ClassMap.from_json(table)
    except ClassError as error:
        raise ClassError(f"class table {path}: {error}") from error


def _numbered(names: list[str]) -> list[str]:
    """Return the names, with a number where a name comes again.

    >>> _numbered(["forest", "water", "forest", "forest", "forest (2)"])
    ['forest', 'water', 'forest (3)', 'forest (4)', 'forest (2)']
    """
    taken, made = set(names), []
    for name in names:
        new, number = name, 1
        while new in made or (number > 1 and new in taken):
            number += 1
            new = f"{name} ({number})"
        made.append(new)
    return made


def _category_names(path: Path) -> dict[int, str]:
    """Return GDAL's category names by value; empty where there is no such file, or it cannot be read."""
    try:
        root = Xml.fromstring(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, Xml.ParseError):
        return {}
    found = root.findall("PAMRasterBand[@band='1']/CategoryNames/Category")
    return {value: (entry.text or "").strip() for value, entry in enumerate(found)}
