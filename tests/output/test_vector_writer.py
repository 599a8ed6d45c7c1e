"""Every format is read back: CRS, fields, geometries, count; equal features give equal bytes."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet as parquet
import pyogrio
import pyproj
import pytest
import shapely

from landseg.errors import OutputError, VectorError
from landseg.output import spool
from landseg.output import vector_formats as formats
from landseg.output.vector_formats import vector_format
from landseg.output.vector_writer import Writer
from landseg.runtime.disk import full_disk, work_folder
from landseg.runtime.replacement import publish
from landseg.vector.attributes import field_types
from tests.parts.vector import CLASSES, SUFFIXES, read

pytestmark = pytest.mark.usefixtures("quick_disk")

FIELDS = field_types(located=True, confidence=True)
UTM = pyproj.CRS.from_epsg(32633)
Features = tuple[dict[str, Any], Any]


def features(count: int = 40, seed: int = 5) -> Features:
    """Boxes of 3 x 2 m beside each other, some with a hole, wound either way."""
    rng = np.random.default_rng(seed)
    x, y = 500_000 + 4.0 * np.arange(count), np.full(count, 5_400_000.0)
    shapes = shapely.box(x, y, x + 3, y + 2, ccw=False)
    holes = shapely.box(x + 1, y + 0.5, x + 2, y + 1.5)
    shapes[::3] = shapely.difference(shapes[::3], holes[::3])
    columns = {
        "id": (1 << 40) + np.arange(count),
        "value": rng.integers(1, 3, count).astype(np.int32),
        "name": np.array(["Straße", "水面"], dtype=object)[rng.integers(0, 2, count)],
        "area_m2": shapely.area(shapes),
        "perimeter_m": shapely.length(shapes),
        "confidence_mean": rng.uniform(0.5, 1, count),
        "confidence_min": np.where(np.arange(count) % 5, 0.25, np.nan),
    }
    return columns, shapes


def write(out: Path, given: Features, *, chunk: int = 16, crs: Any = UTM, kind: str = "Polygon") -> list[Path]:
    work = work_folder(out)
    work.mkdir()
    writer = Writer(out, FIELDS, crs=crs, kind=kind, work=work)
    columns, shapes = given
    for start in range(0, len(shapes), chunk):
        part = slice(start, start + chunk)
        writer.write({name: column[part] for name, column in columns.items()}, shapes[part])
    assert writer.count == len(shapes)
    part = writer.finish(CLASSES.classes)
    assert part.moves[-1][1] == part.target == out and not out.exists()
    publish([part])
    (work / "made").rmdir()
    work.rmdir()
    return [target for _, target in part.moves]


def assert_read_back(out: Path, given: Features, *, crs: Any = UTM, kind: str = "Polygon") -> None:
    """What a GIS finds in the file is what was given."""
    columns, shapes = given
    form = vector_format(out)
    frame = read(out).sort_values(form.field_names(FIELDS)["id"]).reset_index(drop=True)
    wgs = form.driver == "GeoJSON" and crs is not None
    wanted = pyproj.CRS.from_epsg(4326) if wgs else crs
    assert frame.crs == wanted
    assert list(frame.columns) == [*form.field_names(FIELDS).values(), "geometry"]
    assert len(frame) == len(shapes)
    assert frame.geometry.is_valid.all() and set(frame.geom_type) <= {kind, kind.removeprefix("Multi")}
    for name, column in columns.items():
        found = frame[form.field_names(FIELDS)[name]].to_numpy()
        if column.dtype.kind == "f":
            np.testing.assert_allclose(found, column, rtol=1e-12)
        else:
            assert found.tolist() == column.tolist(), name
    placed = geopandas.GeoSeries(shapes, crs=crs)
    placed = placed.to_crs(wanted) if wgs else placed
    apart = [a.hausdorff_distance(b) for a, b in zip(frame.geometry, placed, strict=True)]
    assert max(apart) < (1e-7 if wgs else 1e-9)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_reads_back(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"town{suffix}"
    files = write(out, features())
    assert_read_back(out, features())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files)


TWINS: dict[str, Callable[[Features], Features]] = {
    "a shape too few": lambda given: ({name: column[:-1] for name, column in given[0].items()}, given[1][:-1]),
    "shifted by half a pixel": lambda given: (given[0], shapely.transform(given[1], lambda points: points + 0.07)),
    "names of others": lambda given: (given[0] | {"name": given[0]["name"][::-1]}, given[1]),
    "other areas": lambda given: (given[0] | {"area_m2": given[0]["area_m2"] * 1.001}, given[1]),
    "invalid": lambda given: (
        given[0],
        np.array([shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), *given[1][1:]], dtype=object),
    ),
}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_twin_what_is_wrong_in_a_file_is_caught(tmp_path: Path, suffix: str, name: str) -> None:
    out = tmp_path / f"town{suffix}"
    write(out, TWINS[name](features()))
    with pytest.raises(AssertionError):
        assert_read_back(out, features())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_twin_another_crs_is_caught(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"town{suffix}"
    write(out, features(), crs=pyproj.CRS.from_epsg(32634))
    with pytest.raises(AssertionError):
        assert_read_back(out, features())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_features_a_file_is_valid_and_has_its_fields(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"none{suffix}"
    write(out, features(0))
    frame = read(out)
    assert len(frame) == 0
    assert frame.crs == (pyproj.CRS.from_epsg(4326) if suffix == ".geojson" else UTM)
    if suffix != ".geojson":  # which has no columns without features
        assert list(frame.columns) == [*vector_format(out).field_names(FIELDS).values(), "geometry"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_a_crs_coordinates_are_as_they_are(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"town{suffix}"
    write(out, features(), crs=None)
    if suffix == ".geojson":
        frame = json.loads(out.read_text())
        ring = frame["features"][1]["geometry"]["coordinates"][0]
        assert min(ring) == [500_004.0, 5_400_000.0]
    else:
        assert_read_back(out, features(), crs=None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_shapes_of_several_parts_and_lines_and_points(tmp_path: Path, suffix: str) -> None:
    columns, shapes = features(4)
    pairs = np.array(
        [shapely.MultiPolygon([a, b]) for a, b in zip(shapes[:2], shapes[2:], strict=True)], dtype=object
    )
    given = (
        {name: np.append(column[:2], column[2:3]) for name, column in columns.items()},
        np.append(pairs, shapes[3:]),
    )
    out = tmp_path / f"multi{suffix}"
    write(out, given, kind="MultiPolygon")
    assert_read_back(out, given, kind="MultiPolygon")
    for kind, made in (("LineString", shapely.boundary(shapes[1:3])), ("Point", shapely.centroid(shapes[1:3]))):
        given = {name: column[1:3] for name, column in columns.items()}, made
        out = tmp_path / f"{kind.lower()}{suffix}"
        write(out, given, kind=kind)
        assert_read_back(out, given, kind=kind)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_features_give_equal_bytes_however_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(spool, "BATCH_ROWS", 9)
    bytes_of = []
    for name, chunk, seed in (("1", 16, 5), ("2", 16, 5), ("3", 7, 5), ("4", 16, 6)):
        (tmp_path / name).mkdir()
        files = write(tmp_path / name / f"p{suffix}", features(seed=seed), chunk=chunk)
        bytes_of.append({file.name: file.read_bytes() for file in files})
    assert bytes_of[0] == bytes_of[1] == bytes_of[2]
    assert bytes_of[0] != bytes_of[3]


def test_a_shapefile_says_its_encoding_and_place_and_is_as_large_as_estimated(tmp_path: Path) -> None:
    out = tmp_path / "town.shp"
    given = features()
    write(out, given)
    assert out.with_suffix(".cpg").read_text() == "UTF-8"
    assert "UTM" in out.with_suffix(".prj").read_text()
    size = formats.ShapefileSize("town.shp", record_bytes=1 + 18 + 9 + 80 + 4 * 24)
    size.add(given[1])
    assert size.shp == out.stat().st_size
    assert abs(size.dbf - out.with_suffix(".dbf").stat().st_size) < 400  # the head, of the columns' names
    fields = pyogrio.read_info(out)["fields"].tolist()
    assert fields == ["id", "value", "name", "area_m2", "perimete_m", "confi_mean", "confid_min"]


def test_a_shapefile_is_refused_when_it_would_grow_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "SHAPEFILE_BYTES", 3000)
    with pytest.raises(VectorError, match=r"^town\.shp\.zip: a shapefile's .* 2 GB at most.*write a \.gpkg"):
        write(tmp_path / "town.shp.zip", features())
    columns, shapes = features(2)
    columns["name"][1] = "水" * 100
    monkeypatch.undo()
    with pytest.raises(VectorError, match=r"254 bytes and '水+'\.\.\. has 300; write a \.gpkg"):
        (tmp_path / "b").mkdir()
        write(tmp_path / "b" / "town.shp", (columns, shapes))


def test_a_zipped_shapefile_holds_one_of_that_name(tmp_path: Path) -> None:
    out = tmp_path / "town.shp.zip"
    write(out, features())
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["town.shp", "town.shx", "town.dbf", "town.prj", "town.cpg"]


def assert_rfc_7946(text: str) -> None:
    collection = json.loads(text)
    assert "crs" not in collection and collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        shell, *holes = feature["geometry"]["coordinates"]
        assert shapely.LinearRing(shell).is_ccw and not any(shapely.LinearRing(hole).is_ccw for hole in holes)
        for x, y in shell:
            assert -180 <= x <= 180 and -90 <= y <= 90
            assert x == round(x, 7) and y == round(y, 7)


def test_geojson_is_as_the_rfc_wants_it(tmp_path: Path) -> None:
    out = tmp_path / "town.geojson"
    write(out, features())
    assert_rfc_7946(out.read_text())
    collection = json.loads(out.read_text())
    for twin in (
        collection | {"crs": {}},
        {**collection, "features": [{"geometry": {"coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}}]},
        {**collection, "features": [{"geometry": {"coordinates": [[[0, 0], [500_000, 0], [1, 1], [0, 0]]]}}]},
        {**collection, "features": [{"geometry": {"coordinates": [[[0, 0], [0.12345678, 0], [1, 1], [0, 0]]]}}]},
    ):
        with pytest.raises(AssertionError):
            assert_rfc_7946(json.dumps(twin))


def test_geojson_is_cut_at_the_date_line(tmp_path: Path) -> None:
    west, south = pyproj.Transformer.from_crs(4326, 32601, always_xy=True).transform(180, 10)
    columns, _ = features(1)
    square = np.array([shapely.box(west - 500, south, west + 500, south + 1000)], dtype=object)
    out = tmp_path / "far.geojson"
    write(out, (columns, square), crs=pyproj.CRS.from_epsg(32601))
    (shape,) = read(out).geometry
    assert shape.geom_type == "MultiPolygon" and shape.is_valid
    assert shapely.area(shape) == pytest.approx(1000**2 / 111_000**2, rel=0.05)


def test_geoparquet_says_what_the_specification_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BATCH_ROWS", 15)
    out = tmp_path / "town.parquet"
    columns, shapes = features()
    write(out, (columns, shapes))
    file = parquet.ParquetFile(out)
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [15, 15, 10]
    found = json.loads(file.metadata.metadata[b"geo"])
    assert found["version"].startswith("1.") and found["primary_column"] == "geometry"
    column = found["columns"]["geometry"]
    assert column["encoding"] == "WKB" and column["geometry_types"] == ["Polygon"]
    assert pyproj.CRS.from_json_dict(column["crs"]) == UTM
    assert column["bbox"] == pytest.approx(shapely.total_bounds(shapes).tolist())
    boxes = file.read(["bbox"]).column("bbox").to_pylist()
    assert [list(box.values()) for box in boxes] == shapely.bounds(shapes).tolist()
    assert all(shape.exterior.is_ccw for shape in geopandas.read_parquet(out).geometry)
    part = geopandas.read_parquet(out, bbox=tuple(shapely.bounds(shapes[7])))
    assert 0 < len(part) < len(shapes)


def test_large_shapes_come_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BATCH_POINTS", 30)
    out = tmp_path / "town.fgb"
    write(out, features())
    assert_read_back(out, features())


def test_what_belonged_to_a_replaced_file_goes(tmp_path: Path) -> None:
    for name in ("town.qix", "town.prj", "town.sbn", "mine.prj", "town.txt"):
        (tmp_path / name).write_text("old")
    write(tmp_path / "town.shp", features(), crs=None)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("town.shp", "town.shx", "town.dbf", "town.cpg"),
        *("mine.prj", "town.txt"),
    }
    (tmp_path / "town.gpkg-wal").write_text("old")
    write(tmp_path / "town.gpkg", features())
    assert not (tmp_path / "town.gpkg-wal").exists()
    assert_read_back(tmp_path / "town.gpkg", features())


def test_a_geopackage_opens_in_its_colours(tmp_path: Path) -> None:
    out = tmp_path / "town.gpkg"
    write(out, features())
    assert pyogrio.list_layers(out).tolist() == [["town", "Polygon"], ["layer_styles", None]]
    styles = pyogrio.read_dataframe(out, layer="layer_styles")
    assert styles.f_table_name.tolist() == ["town"] and styles.useAsDefault.tolist() == [1]
    info = pyogrio.read_info(out, layer="town")
    assert info["geometry_name"] == styles.f_geometry_column[0] == "geom"
    assert 'label="building"' in styles.styleQML[0] and "200,30,30" in styles.styleQML[0]


def test_a_failure_is_a_sentence_about_the_file_that_people_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any, out: Path, **__: Any) -> None:
        raise pyogrio.errors.DataLayerError(f"{out}: 'refused'")

    monkeypatch.setattr(pyogrio, "write_arrow", fail)
    with pytest.raises(VectorError) as caught:
        write(tmp_path / "p.fgb", features())
    assert str(caught.value).startswith(f"{tmp_path / 'p.fgb'} cannot hold the polygons: ")
    assert "work" not in str(caught.value) and "'refused'; try a .gpkg" in str(caught.value)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.Spool, "_append", fail)
    with pytest.raises((OutputError, VectorError), match=r"No space left|is full"):
        write(tmp_path / "p.fgb", features())


@pytest.mark.parametrize(
    ("text", "free", "full"),
    [
        ("sqlite3_exec(COMMIT) failed: database or disk is full", 1 << 40, True),
        ("Unexpected I/O failure: writing feature", 1000, True),
        ("Unexpected I/O failure: writing feature", 1 << 20, True),
        ("Unexpected I/O failure: writing feature", 1 << 40, False),
        ("no such field", 1 << 20, False),
    ],
)
def test_a_disk_that_filled_up_is_told_from_what_a_format_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, free: int, full: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        (work_folder(tmp_path / "p.fgb") / "written").write_bytes(bytes(2 << 20))
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
        raise pyogrio.errors.DataLayerError(text)

    monkeypatch.setattr(pyogrio, "write_arrow", fail)
    with pytest.raises((OutputError, VectorError)) as caught:
        write(tmp_path / "p.fgb", features())
    assert isinstance(caught.value, OutputError) == full
    assert (f"the disk of {tmp_path} is full" in str(caught.value)) == full


def test_a_full_disk_is_named_as_people_know_it(tmp_path: Path) -> None:
    for path in (tmp_path / "p.gpkg", tmp_path / ".p.gpkg.landseg" / "all" / "features.arrow"):
        assert str(full_disk(path)).startswith(f"the disk of {tmp_path} is full")
