"""Small files beside a class raster: class names for GDAL (.aux.xml) and a legend for QGIS (.qml).

And what else lies beside a file and belongs to it: whoever replaces the file replaces that too.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from landseg.classes import ClassMap
from landseg.geo.tags import qml_path
from landseg.output.cog import xml_safe
from landseg.output.layer import Layer

_READ_WITH = (".aux.xml", ".ovr", ".msk")  # what GDAL reads with a raster
_SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg")


def read_with(raster: Path) -> list[Path]:
    """Where GDAL looks for more of a raster: of another raster it would spoil this one.

    >>> [path.name for path in read_with(Path("map.tif"))]
    ['map.tif.aux.xml', 'map.tif.ovr', 'map.tif.msk']
    """
    return [raster.with_name(raster.name + suffix) for suffix in _READ_WITH]


def companion_files(target: Layer | Path) -> list[Path]:
    """The further files that are replaced or removed when a raster, or a file such as a Shapefile, is published.

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
    """The style that an older raster of classes left where a layer of other numbers goes; none that a person made."""
    style = qml_path(layer.path)
    if layer.classes or not style.is_file():
        return []
    return [style] if "<paletteEntry" in style.read_text(encoding="utf-8", errors="replace") else []


def aux_text(classes: ClassMap) -> str:
    """Category names in GDAL's XML: GDAL numbers them from 0, so values without a class get an empty name."""
    names = dict(zip(classes.values, classes.names, strict=True))
    names.setdefault(classes.nodata, "nodata")
    root = Xml.Element("PAMDataset")
    categories = Xml.SubElement(Xml.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        Xml.SubElement(categories, "Category").text = xml_safe(names.get(value, ""))
    return _text(root)


def qml_text(classes: ClassMap) -> str:
    """A QGIS style that paints every class in its colour and names it; nodata stays transparent."""
    root = Xml.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = Xml.SubElement(root, "pipe")
    renderer = Xml.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    Xml.SubElement(Xml.SubElement(renderer, "rasterTransparency"), "singleValuePixelList")
    palette = Xml.SubElement(renderer, "colorPalette")
    for entry in classes.classes:
        color = "#{:02x}{:02x}{:02x}".format(*entry.color)
        label = xml_safe(entry.name)
        Xml.SubElement(palette, "paletteEntry", value=str(entry.value), color=color, label=label, alpha="255")
    Xml.SubElement(pipe, "rasterresampler", maxOversampling="2")
    Xml.SubElement(root, "blendMode").text = "0"
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return doctype + _text(root)


def _text(root: Xml.Element) -> str:
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"
