"""The class table that a class raster carries, or that a file beside it does."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from xml.etree import ElementTree as Xml

from landseg.classes import ClassMap
from landseg.errors import ClassError
from landseg.geo.raster import RasterFile
from landseg.geo.sidecars import aux_path
from landseg.geo.signature import CLASSES


def class_tag(classes: ClassMap) -> str:
    """The text of the tag in which landseg's rasters carry their class table."""
    return json.dumps(classes.to_json(), ensure_ascii=False)


def read_legend(file: RasterFile) -> ClassMap | None:
    """Return the classes of a class raster: landseg's own tag, else the names that GDAL knows with its colours.

    Names without a colour get one, and values that have a name alone count: the 256 entries of most colour
    tables name nothing. Empty names, "nodata" and the nodata value are no classes. None where there are none.
    """
    tag = file.info.tags.get(CLASSES)
    if tag is not None:
        try:
            return ClassMap.from_json(json.loads(tag))
        except (ValueError, ClassError):
            pass  # changed by hand: what else the raster says may still be right
    names = _category_names(aux_path(Path(file.path)))
    nodata = file.info.nodata[0]
    named = {value: name for value, name in names.items() if name and name != "nodata" and value != nodata}
    if not named:
        return None
    colors = file.palette(1) or {}
    rows = [{"value": v, "name": n, "color": list(colors[v][:3]) if v in colors else None} for v, n in named.items()]
    try:
        return ClassMap.from_json(rows)
    except ClassError:
        return None


def read_class_table(path: Path) -> ClassMap:
    """Return the classes of a TOML or JSON file: ``classes`` with value, name and color, and ``ignore``.

    Raises:
        ClassError: it cannot be read, or holds no class table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ClassError(f"class table {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ClassError(f"class table {path} is not valid TOML or JSON: {error}") from error
    try:
        return ClassMap.from_json(table)
    except ClassError as error:
        raise ClassError(f"class table {path}: {error}") from error


def _category_names(path: Path) -> dict[int, str]:
    """GDAL's category names by value; none where there is no such file, or none that can be read."""
    try:
        root = Xml.fromstring(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, Xml.ParseError):
        return {}
    found = root.findall("PAMRasterBand[@band='1']/CategoryNames/Category")
    return {value: (entry.text or "").strip() for value, entry in enumerate(found)}
