"""Styles: the classes' colours where QGIS looks, and nobody's style lost."""

import sqlite3
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from landseg.classes import ClassMap, LandClass
from landseg.output.styles import joined_qml, raster_qml, style_for, vector_qml
from tests.parts.vector import CLASSES

OTHERS = ClassMap((LandClass(7, "<lake> & \x01", (0, 0, 255)),))


def colours(text: str) -> dict[tuple[str, str], str]:
    """(value, label) of each category and the colour of its symbol."""
    root = Xml.fromstring(text)
    renderer = root.find("renderer-v2")
    assert renderer is not None and renderer.get("attr") == "value"
    symbols = {}
    for symbol in renderer.findall("symbols/symbol"):
        (layer,) = symbol.findall("layer")
        named = {entry.get("name"): entry.get("value") for entry in layer.findall("Option/Option")}
        assert named == {entry.get("k"): entry.get("v") for entry in layer.findall("prop")}
        symbols[symbol.get("name")] = named.get("color") or named.get("line_color")
    return {
        (str(c.get("value")), str(c.get("label"))): str(symbols[c.get("symbol")])
        for c in renderer.findall("categories/category")
    }


def test_every_class_has_its_colour_and_name() -> None:
    assert colours(vector_qml(CLASSES.classes)) == {
        ("1", "building"): "200,30,30,255",
        ("2", "road"): "90,90,90,255",
    }
    assert list(colours(vector_qml(OTHERS.classes)).values()) == ["0,0,255,255"]


@pytest.mark.parametrize(
    ("kind", "symbol", "number"),
    [("MultiPolygon", "fill", "2"), ("LineString", "line", "1"), ("Point", "marker", "0")],
)
def test_each_kind_of_shape_has_its_symbol(kind: str, symbol: str, number: str) -> None:
    root = Xml.fromstring(vector_qml(CLASSES.classes, kind=kind))
    assert {entry.get("type") for entry in root.findall("renderer-v2/symbols/symbol")} == {symbol}
    assert root.findtext("layerGeometryType") == number
    assert len(colours(vector_qml(CLASSES.classes, kind=kind))) == 2


def assert_both(text: str | None) -> None:
    """A raster's palette as it was, and the polygons' colours."""
    assert text is not None
    pipe, before = Xml.fromstring(text).find("pipe"), Xml.fromstring(raster_qml(CLASSES)).find("pipe")
    assert pipe is not None and before is not None

    def entries(element: Xml.Element) -> list[tuple[str, dict[str, str]]]:
        return [(entry.tag, entry.attrib) for entry in element.iter()]

    assert entries(pipe) == entries(before)
    assert len(colours(text)) == 2


def test_a_rasters_style_of_the_same_name_stays_beside_ours() -> None:
    text = joined_qml(raster_qml(CLASSES), CLASSES.classes, replace=False)
    assert_both(text)
    assert text is not None
    again = joined_qml(text, CLASSES.classes, replace=False)
    assert again == text
    with pytest.raises(AssertionError):
        assert_both(vector_qml(CLASSES.classes))


def test_a_style_of_somebodys_stays_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "town.qml"
    mine = style_for(path, OTHERS.classes, replace=False)
    assert mine == vector_qml(OTHERS.classes) and not path.exists()
    path.write_text(mine)
    assert style_for(path, CLASSES.classes, replace=False) is None
    assert style_for(path, CLASSES.classes, replace=True) == vector_qml(CLASSES.classes)
    assert_both(style_for(path, CLASSES.classes, replace=False, existing=raster_qml(CLASSES)))
    path.write_text("not a style <")
    assert style_for(path, CLASSES.classes, replace=True) is None


def test_a_geopackage_gets_one_default_style(tmp_path: Path) -> None:
    from landseg.output.styles import add_default_style

    path = tmp_path / "a.gpkg"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE gpkg_contents (table_name, data_type, identifier, description, last_change)")
    database.close()
    add_default_style(path, "town", CLASSES.classes)
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles")
        ((table, column, default, text),) = rows.fetchall()
    database.close()
    assert (table, column, default) == ("town", "geom", 1)
    assert text == vector_qml(CLASSES.classes)
