"""Formats by suffix, names of ten characters, and how large a shapefile gets."""

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import VectorError
from landseg.output import vector_formats as formats
from landseg.output.vector_formats import FORMATS, ShapefileSize, refuse_table, short_names, vector_format


@pytest.mark.parametrize(
    ("name", "driver", "stem", "style"),
    [
        ("a.b.gpkg", "GPKG", "a.b", None),
        ("town.SHP", "ESRI Shapefile", "town", "town.qml"),
        ("town.shp.zip", "ESRI Shapefile", "town", "town.shp.qml"),
        ("town.fgb", "FlatGeobuf", "town", "town.qml"),
        ("town.geojson", "GeoJSON", "town", "town.qml"),
        ("town.json", "GeoJSON", "town", "town.qml"),
        ("town.parquet", "Parquet", "town", "town.qml"),
        ("town.geoparquet", "Parquet", "town", "town.qml"),
    ],
)
def test_the_suffix_says_the_format(name: str, driver: str, stem: str, style: str | None) -> None:
    found = vector_format(Path("maps") / name)
    assert (found.driver, found.stem(Path(name))) == (driver, stem)
    assert found.stem(Path(name)) + found.suffix(Path(name)) == name
    qml = found.qml_path(Path(name))
    assert (qml and qml.name) == style


@pytest.mark.parametrize("name", ["p.ods", "p.dxf", "p.dbf", "p.gpx", "p.kml", "p.zip", "p", ".gpkg"])
def test_formats_that_hold_no_polygons_with_columns_are_refused_at_once(name: str) -> None:
    with pytest.raises(VectorError, match=r"not written with this suffix; use one of \.gpkg, \.shp, \.shp\.zip"):
        vector_format(Path(name))


@pytest.mark.parametrize("name", ["p.csv", "P.XLSX"])
def test_a_table_is_refused_with_the_command_that_writes_one(name: str) -> None:
    with pytest.raises(VectorError, match=rf"`landseg areas MAP -o {name}` writes pixels.* to one of \.gpkg"):
        refuse_table(Path(name))
    refuse_table(Path("p.gpkg"))


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    have = {name: modes for name, modes in pyogrio.list_drivers().items() if name != "FlatGeobuf"}
    monkeypatch.setattr(pyogrio, "list_drivers", lambda: have)
    with pytest.raises(VectorError, match=r"cannot write FlatGeobuf; use one of .*\.gpkg.*\.parquet$"):
        vector_format(Path("p.fgb"))
    assert vector_format(Path("p.gpkg")).driver == "GPKG"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VectorError, match="pip install pyarrow"):
        vector_format(Path("p.parquet"))


def assert_short(names: list[str], rule: object = short_names) -> None:
    made = rule(names)  # type: ignore[operator]
    assert list(made) == names
    assert all(1 <= len(short) <= 10 for short in made.values())
    assert len({short.lower() for short in made.values()}) == len(names)
    taken: set[str] = set()
    for name, short in made.items():
        assert len(name) > 10 or name.lower() in taken or short == name
        taken.add(short.lower())


columns = st.lists(st.from_regex(r"[a-z][a-z_0-9]{0,15}", fullmatch=True), unique=True, max_size=14)


@given(names=columns)
def test_short_names_are_short_and_different(names: list[str]) -> None:
    assert_short(names)


def test_twin_names_that_are_only_cut_are_caught() -> None:
    names = ["confidence_mean", "confidence_min"]
    assert_short(names)
    with pytest.raises(AssertionError):
        assert_short(names, lambda names: {name: name[:10] for name in names})


def test_only_shapefiles_shorten() -> None:
    for form in FORMATS:
        long = form.field_names(["perimeter_m"])["perimeter_m"]
        assert (long == "perimeter_m") == (form.driver != "ESRI Shapefile")


def test_a_shapefile_that_would_break_is_refused_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    square = np.array([shapely.box(0, 0, 1, 1)])
    size = ShapefileSize("town.shp", record_bytes=200)
    size.add(square)
    assert (size.shp, size.dbf) == (100 + 52 + 4 + 5 * 16, 400)
    monkeypatch.setattr(formats, "SHAPEFILE_BYTES", size.shp + 100)
    with pytest.raises(VectorError, match=r"town\.shp: a shapefile's shapes may take 2 GB at most.*\.gpkg.*--aoi"):
        size.add(square)
    table = ShapefileSize("town.shp", record_bytes=200)
    with pytest.raises(VectorError, match="a shapefile's table may take 2 GB"):
        table.add(np.array([shapely.Point(0, 0)] * 3))
