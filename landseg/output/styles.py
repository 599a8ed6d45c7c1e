"""The colours of the classes as QGIS takes them: a .qml beside the file, or a table in a GeoPackage."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from landseg.classes import LandClass
from landseg.output.cog import xml_safe
from landseg.runtime.disk import disk_errors

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_KINDS = {  # of shapes: QGIS's number, its symbol, the layer of that and how it is drawn
    "Polygon": ("2", "fill", "SimpleFill", {"outline_style": "no", "style": "solid"}),
    "LineString": ("1", "line", "SimpleLine", {"line_width": "0.6", "line_style": "solid"}),
    "Point": ("0", "marker", "SimpleMarker", {"name": "circle", "size": "2", "outline_style": "no"}),
}
# As QGIS makes it, with a date that does not change: equal maps, equal bytes.
_TABLE = """CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME)"""
_DATE = "2000-01-01T00:00:00.000Z"


def qml_text(classes: Sequence[LandClass], *, kind: str = "Polygon") -> str:
    """A QGIS style that paints shapes of a kind by their column ``value`` in the classes' colours, and names them."""
    return _text(_with_renderer(Xml.Element("qgis", version="3.22", styleCategories="Symbology"), classes, kind))


def joined_qml(existing: str, classes: Sequence[LandClass], *, kind: str = "Polygon", replace: bool) -> str | None:
    """A style that is there with ours added, as a raster and polygons of one name share it; None: leave it alone.

    A raster's part (``pipe``) and a vector layer's (``renderer-v2``) do not meet in QGIS: each reads its own.
    A vector's part that is there is somebody's, and stays unless `replace` or equal to ours; so does what is no
    style at all.
    """
    try:
        root = Xml.fromstring(existing)
    except Xml.ParseError:
        return None
    if root.tag != "qgis":
        return None
    drawn = root.find("renderer-v2") is not None
    text = _text(_with_renderer(root, classes, kind))
    return text if replace or not drawn or text == existing else None


def style_for(
    path: Path,
    classes: Sequence[LandClass],
    *,
    kind: str = "Polygon",
    replace: bool,
    existing: str | None = None,
) -> str | None:
    """Return the style to put at ``path``: beside what a raster's style says there; None where another one stays.

    Args:
        path: of the .qml.
        classes: that are in the vector file.
        kind: of its shapes.
        replace: whether a style that somebody made may go.
        existing: what is going to be there, where that is not what lies there now.

    Raises:
        OutputError: what lies there cannot be read.
    """
    with disk_errors(path):
        if existing is None and path.exists():
            existing = path.read_text(encoding="utf-8", errors="replace")
    if existing is None:
        return qml_text(classes, kind=kind)
    return joined_qml(existing, classes, kind=kind, replace=replace)


def add_default_style(
    geopackage: Path, layer: str, classes: Sequence[LandClass], *, kind: str = "Polygon", geometry: str = "geom"
) -> None:
    """Makes the classes' colours the default style of a layer, in the table where QGIS looks for it."""
    database = sqlite3.connect(geopackage)
    try:
        database.execute("PRAGMA synchronous = OFF")  # the file is synced as a whole
        database.execute(_TABLE)
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
            (_DATE,),
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
            "styleQML, styleSLD, useAsDefault, description, owner, ui, update_time) "
            "VALUES ('', '', ?, ?, 'land cover', ?, '', 1, 'The colours of the classes', '', '', ?)",
            (layer, geometry, qml_text(classes, kind=kind), _DATE),
        )
        database.commit()
    finally:
        database.close()


def _with_renderer(root: Xml.Element, classes: Sequence[LandClass], kind: str) -> Xml.Element:
    for old in [*root.findall("renderer-v2"), *root.findall("layerGeometryType")]:
        root.remove(old)
    number, symbol, layer, drawn = _KINDS[kind.removeprefix("Multi")]
    renderer = Xml.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr="value", symbollevels="0", enableorderby="0"
    )
    categories, symbols = Xml.SubElement(renderer, "categories"), Xml.SubElement(renderer, "symbols")
    for index, entry in enumerate(classes):
        name, label = str(index), xml_safe(entry.name)
        Xml.SubElement(
            categories, "category", value=str(entry.value), type="long", label=label, symbol=name, render="true"
        )
        frame = Xml.SubElement(symbols, "symbol", type=symbol, name=name, alpha="1", clip_to_extent="1")
        inner = Xml.SubElement(frame, "layer", {"class": layer}, enabled="1", locked="0")
        inner.attrib["pass"] = "0"
        color = "{},{},{},255".format(*entry.color)
        properties = {"line_color" if kind.endswith("LineString") else "color": color, **drawn}
        options = Xml.SubElement(inner, "Option", type="Map")
        for key, value in properties.items():
            Xml.SubElement(options, "Option", name=key, type="QString", value=value)
            Xml.SubElement(inner, "prop", k=key, v=value)  # for QGIS before 3.18
    Xml.SubElement(root, "layerGeometryType").text = number
    return root


def _text(root: Xml.Element) -> str:
    Xml.indent(root)
    return _DOCTYPE + Xml.tostring(root, encoding="unicode") + "\n"
