"""Companion files of rasters and vector files: class names for GDAL (.aux.xml), styles for QGIS (.qml)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from landseg.classes import ClassMap, LandClass, color_text
from landseg.geo.tags import qml_path
from landseg.output.layer import Layer
from landseg.runtime.disk import disk_errors
from landseg.text.xml_text import xml_safe, xml_text

_READ_WITH = (".aux.xml", ".ovr", ".msk")  # what GDAL reads with a raster
_SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg")
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
OBJECTS = (LandClass(0, "object", (128, 128, 128), thing=True),)
"""The classes of objects that have none."""

_BY_ID = 'color_hsv(("id" * 137.508) % 360, 55 + "id" % 3 * 15, 95 - "id" % 4 * 8)'
"""QGIS's expression for the colour of an object: neighbours in number differ, and every opening shows the same."""

_DATE = "2000-01-01T00:00:00.000Z"


def read_with(raster: Path) -> list[Path]:
    """Return the files that GDAL reads along with a raster: those of an older raster would spoil a new one.

    >>> [path.name for path in read_with(Path("map.tif"))]
    ['map.tif.aux.xml', 'map.tif.ovr', 'map.tif.msk']
    """
    return [raster.with_name(raster.name + suffix) for suffix in _READ_WITH]


def companion_files(target: Layer | Path) -> list[Path]:
    """Return the files that are replaced or removed along with a raster, or with a file such as a Shapefile.

    >>> [path.name for path in companion_files(Path("roofs.shp"))]
    ['roofs.shx', 'roofs.dbf', 'roofs.prj', 'roofs.cpg']
    >>> companion_files(Path("ROOFS.SHP"))[0].name
    'ROOFS.SHX'
    """
    if isinstance(target, Layer):
        return [*read_with(target.path), *([qml_path(target.path)] if target.classes else [])]
    parts = _SHAPEFILE if target.suffix.lower() == ".shp" else ()
    return [target.with_suffix(suffix.upper() if target.suffix.isupper() else suffix) for suffix in parts]


def class_style(layer: Layer) -> list[Path]:
    """Return the style that an older class raster left beside a layer of other numbers; no style that a user made."""
    style = qml_path(layer.path)
    if layer.classes or not style.is_file():
        return []
    return [style] if "<paletteEntry" in style.read_text(encoding="utf-8", errors="replace") else []


def aux_text(classes: ClassMap) -> str:
    """Return the category names in GDAL's XML, which counts from 0: values without a class get an empty name."""
    names = dict(zip(classes.values, classes.names, strict=True))
    names.setdefault(classes.nodata, "nodata")
    root = Xml.Element("PAMDataset")
    categories = Xml.SubElement(Xml.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        Xml.SubElement(categories, "Category").text = xml_safe(names.get(value, ""))
    return xml_text(root)


def raster_qml(classes: ClassMap) -> str:
    """Return a QGIS style that paints each class of a raster in its colour, with its name; nodata is transparent."""
    root = Xml.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = Xml.SubElement(root, "pipe")
    renderer = Xml.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    Xml.SubElement(Xml.SubElement(renderer, "rasterTransparency"), "singleValuePixelList")
    palette = Xml.SubElement(renderer, "colorPalette")
    for entry in classes.classes:
        color = color_text(entry.color)
        label = xml_safe(entry.name)
        Xml.SubElement(palette, "paletteEntry", value=str(entry.value), color=color, label=label, alpha="255")
    Xml.SubElement(pipe, "rasterresampler", maxOversampling="2")
    Xml.SubElement(root, "blendMode").text = "0"
    return xml_text(root, doctype=_DOCTYPE)


def vector_qml(classes: Sequence[LandClass], *, kind: str = "Polygon") -> str:
    """Return a QGIS style that paints shapes of a kind in the classes' colours, by their column ``value``."""
    root = Xml.Element("qgis", version="3.22", styleCategories="Symbology")
    return xml_text(_with_renderer(root, classes, kind), doctype=_DOCTYPE)


def joined_qml(existing: str, classes: Sequence[LandClass], *, kind: str = "Polygon", replace: bool) -> str | None:
    """Return an existing style with the classes' vector style added; None where the existing style is to stay.

    A raster and polygons of one name share a style file. The part of a raster (``pipe``) and that of a vector layer
    (``renderer-v2``) are apart in it: QGIS reads one of them. An existing vector part was made by a user, and stays
    unless `replace` or equal to the new part; a file that is no style stays too.
    """
    try:
        root = Xml.fromstring(existing)
    except Xml.ParseError:
        return None
    if root.tag != "qgis":
        return None
    drawn = root.find("renderer-v2") is not None
    text = xml_text(_with_renderer(root, classes, kind), doctype=_DOCTYPE)
    return text if replace or not drawn or text == existing else None


def style_for(
    path: Path,
    classes: Sequence[LandClass],
    *,
    kind: str = "Polygon",
    replace: bool,
    existing: str | None = None,
) -> str | None:
    """Return the style to put at a path, with the style of a raster that lies there; None where the old one stays.

    Args:
        path: of the .qml.
        classes: that are in the vector file.
        kind: of its shapes.
        replace: whether a style that a user made may go.
        existing: the text that will be at the path before, where that differs from the file there now.

    Raises:
        OutputError: the file there cannot be read.
    """
    with disk_errors(path):
        if existing is None and path.exists():
            existing = path.read_text(encoding="utf-8", errors="replace")
    if existing is None:
        return vector_qml(classes, kind=kind)
    return joined_qml(existing, classes, kind=kind, replace=replace)


def add_default_style(
    geopackage: Path, layer: str, classes: Sequence[LandClass], *, kind: str = "Polygon", geometry: str = "geom"
) -> None:
    """Write the classes' colours into a GeoPackage, as the default style of a layer that QGIS looks for."""
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
            (layer, geometry, vector_qml(classes, kind=kind), _DATE),
        )
        database.commit()
    finally:
        database.close()


def _with_renderer(root: Xml.Element, classes: Sequence[LandClass], kind: str) -> Xml.Element:
    for old in [*root.findall("renderer-v2"), *root.findall("layerGeometryType")]:
        root.remove(old)
    number, symbol, layer, drawn = _KINDS[kind.removeprefix("Multi")]
    one = classes is OBJECTS  # of which no value tells a class
    kinds = {"type": "singleSymbol"} if one else {"type": "categorizedSymbol", "attr": "value"}
    renderer = Xml.SubElement(root, "renderer-v2", kinds, symbollevels="0", enableorderby="0")
    categories = None if one else Xml.SubElement(renderer, "categories")
    symbols = Xml.SubElement(renderer, "symbols")
    for index, entry in enumerate(classes):
        name, label = str(index), xml_safe(entry.name)
        if categories is not None:
            Xml.SubElement(
                categories, "category", value=str(entry.value), type="long", label=label, symbol=name, render="true"
            )
        frame = Xml.SubElement(symbols, "symbol", type=symbol, name=name, alpha="1", clip_to_extent="1")
        inner = Xml.SubElement(frame, "layer", {"class": layer}, enabled="1", locked="0")
        inner.attrib["pass"] = "0"
        color = "{},{},{},255".format(*entry.color)
        properties = {"line_color" if kind.endswith("LineString") else "color": color, **drawn}
        by_id = entry.thing and kind.endswith("Polygon")
        if by_id:
            properties |= {"outline_style": "solid", "outline_color": color, "outline_width": "0.2"}
        options = Xml.SubElement(inner, "Option", type="Map")
        for key, value in properties.items():
            Xml.SubElement(options, "Option", name=key, type="QString", value=value)
            Xml.SubElement(inner, "prop", k=key, v=value)  # for QGIS before 3.18
        if by_id:
            _color_by_id(inner)
    Xml.SubElement(root, "layerGeometryType").text = number
    return root


def _color_by_id(layer: Xml.Element) -> None:
    """Let the fill of a symbol's layer go by the column ``id``, so that neighbours can be told apart."""
    whole = Xml.SubElement(Xml.SubElement(layer, "data_defined_properties"), "Option", type="Map")
    Xml.SubElement(whole, "Option", name="name", type="QString", value="")
    each = Xml.SubElement(whole, "Option", name="properties", type="Map")
    fill = Xml.SubElement(each, "Option", name="fillColor", type="Map")
    Xml.SubElement(fill, "Option", name="active", type="bool", value="true")
    Xml.SubElement(fill, "Option", name="expression", type="QString", value=_BY_ID)
    Xml.SubElement(fill, "Option", name="type", type="int", value="3")
    Xml.SubElement(whole, "Option", name="type", type="QString", value="collection")
