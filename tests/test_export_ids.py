"""Rasters of ids as polygons, one for each object: columns, formats, classes, options and refusals."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import landseg
from landseg.errors import LandsegError
from landseg.vector import classraster
from landseg.vector.instance_polygons import InstanceShapes, polygonize_instances
from tests.parts.class_rasters import write as write_values
from tests.parts.commands import run
from tests.parts.id_rasters import HOUSE, NO_DATA, PLACE, TABLE, TWO_THINGS, brute, on_edge, random_ids, write_ids
from tests.parts.vector import SUFFIXES, read, write_classes

SMALL = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 5, 5, 9, 9, 0, 0],
        [0, 5, 5, 9, 9, 0, 3_000_000_000],
        [0, 0, 0, 0, 9, 0, 0],
        [0, 2, 0, NO_DATA, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)
LARGE = 4_294_967_294


def grid_of(path: Path) -> Any:
    from landseg.geo.rasters.raster import RasterFile

    file = RasterFile(path)
    file.close()
    return file.info.grid


def test_each_id_is_a_polygon_with_its_columns(tmp_path: Path) -> None:
    done = landseg.export(write_ids(tmp_path / "ids.tif", SMALL), tmp_path / "houses.gpkg")
    found = read(tmp_path / "houses.gpkg")
    assert list(found.columns) == ["id", "value", "name", "area_m2", "perimeter_m", "edge", "geometry"]
    assert found["id"].tolist() == [2, 5, 9, 3_000_000_000]
    assert set(found["value"]) == {2} and set(found["name"]) == {"house"}
    assert found["area_m2"].tolist() == [0.25, 1.0, 1.25, 0.25] and found["perimeter_m"].tolist() == [2, 4, 5, 2]
    assert found["edge"].tolist() == [False, False, False, True] and found["edge"].dtype == bool
    assert set(found.geom_type) == {"Polygon"} and str(found.crs) == "EPSG:32633"
    assert (done.features, done.classes[0].name, done.classes[0].count) == (4, "house", 4)
    assert done.left_out == {"no_data": 1}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_large_ids_and_several_pieces(suffix: str, tmp_path: Path) -> None:
    ids = random_ids(2)
    ids[ids == 14] = LARGE
    landseg.export(write_ids(tmp_path / "ids.tif", ids), tmp_path / f"o{suffix}")
    found, right = read(tmp_path / f"o{suffix}").to_crs(32633).set_index("id").sort_index(), brute(ids)
    assert found.index.tolist() == sorted(right) and LARGE in right
    for number, shape in right.items():
        off = 0.02 if suffix == ".geojson" else 1e-9  # metres: seven decimals of a degree
        assert found.geometry[number].symmetric_difference(shape).area < off * shape.length
    edges = {number for number, edge in found["edge"].items() if edge}
    assert edges == on_edge(ids)
    assert "MultiPolygon" in set(found.geom_type)


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_files_do_not_depend_on_strips(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = random_ids(4, 50, 41)
    path = write_ids(tmp_path / "ids.tif", ids)
    options: dict[str, Any] = {"simplify": 0.6, "holes": 1.0, "min_area": 0.5}
    landseg.export(path, tmp_path / "whole.fgb", **options)
    monkeypatch.setattr(classraster, "STRIP_PIXELS", rows * 41)
    landseg.export(path, tmp_path / "strips.fgb", **options)
    one, other = (read(tmp_path / f"{name}.fgb") for name in ("whole", "strips"))
    assert one.equals(other) and len(one)
    landseg.export(path, tmp_path / "twin.fgb", simplify=0.6, holes=0.75, min_area=0.5)
    assert not read(tmp_path / "twin.fgb").equals(one)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint64"])
def test_rasters_of_other_programs_are_taken_with_ids(dtype: str, tmp_path: Path) -> None:
    ids = np.array([[0, 4, 4], [1, 1, 0]])
    path = write_ids(tmp_path / "labels.tif", ids, table=None, dtype=dtype, nodata=0)
    landseg.export(path, tmp_path / "o.gpkg", ids=True)
    found = read(tmp_path / "o.gpkg")
    assert found["id"].tolist() == [1, 4] and not {"value", "name", "score"} & set(found)
    landseg.export(path, tmp_path / "classes.gpkg")  # without it the numbers are classes
    assert "edge" not in read(tmp_path / "classes.gpkg")


def test_zero_is_nothing_also_where_it_is_declared_as_nodata(tmp_path: Path) -> None:
    ids = np.pad([[4, 4]], 1)
    landseg.export(write_ids(tmp_path / "a.tif", ids, nodata=0), tmp_path / "a.gpkg")
    assert read(tmp_path / "a.gpkg")["edge"].tolist() == [False]
    landseg.export(write_ids(tmp_path / "b.tif", ids + 1, nodata=1), tmp_path / "b.gpkg")
    assert read(tmp_path / "b.gpkg")["edge"].tolist() == [True]


def test_classes_are_those_of_most_pixels_of_a_class_raster(tmp_path: Path) -> None:
    ids = np.array([[1, 1, 1, 2], [3, 3, 2, 2], [4, 4, 4, 0]])
    path = write_ids(tmp_path / "ids.tif", ids, table=TWO_THINGS)
    landseg.export(path, tmp_path / "unknown.gpkg")
    assert list(read(tmp_path / "unknown.gpkg")) == ["id", "area_m2", "perimeter_m", "edge", "geometry"]
    values = np.array([[2, 2, 3, 3], [0, 0, 3, 2], [1, 1, 3, 3]], np.uint8)
    classes = write_classes(tmp_path / "map.tif", grid_of(path), values, TWO_THINGS)
    done = landseg.export(path, tmp_path / "known.gpkg", classes_from=classes)
    found = read(tmp_path / "known.gpkg")
    assert found["value"].tolist()[:2] == [2, 3] and found["value"].tolist()[3] == 1
    assert found["name"].tolist()[:2] == ["house", "tree"] and found[["value", "name"]].isna().all(axis=1)[2]
    assert {total.name: total.count for total in done.classes} == {"house": 1, "tree": 1, "land": 1}


def test_classes_do_not_depend_on_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landseg.vector import id_raster

    ids, rng = random_ids(6, 40, 30), np.random.default_rng(1)
    path = write_ids(tmp_path / "ids.tif", ids, table=TWO_THINGS)
    values = rng.integers(1, 4, ids.shape).astype(np.uint8)
    classes = write_classes(tmp_path / "map.tif", grid_of(path), values, TWO_THINGS)
    monkeypatch.setattr(classraster, "STRIP_PIXELS", 90)
    monkeypatch.setattr(id_raster, "_PAIRS", 20)
    landseg.export(path, tmp_path / "o.gpkg", classes_from=classes)
    found = read(tmp_path / "o.gpkg").set_index("id")["value"]
    for number in found.index:
        assert found[number] == np.bincount(values[ids == number]).argmax()


def test_an_area_of_interest_cuts_objects_and_says_so(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "ids.tif", SMALL)
    landseg.export(path, tmp_path / "o.gpkg", aoi=[500_000, 5_399_997, 500_002, 5_400_000])
    found = read(tmp_path / "o.gpkg").set_index("id")
    assert found["area_m2"].to_dict() == {2: 0.25, 5: 1.0, 9: 0.5}
    assert found["edge"].to_dict() == {2: False, 5: False, 9: True}


def test_small_objects_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "landseg")
    done = landseg.export(write_ids(tmp_path / "ids.tif", SMALL), tmp_path / "o.gpkg", min_area=1)
    assert read(tmp_path / "o.gpkg")["id"].tolist() == [5, 9] and done.features == 2
    assert "2 objects smaller than --min-area 1 left out" in caplog.text


def test_degrees_are_measured_on_the_ellipsoid(tmp_path: Path) -> None:
    place = Affine(1e-5, 0, 10, 0, -1e-5, 60)  # 0.557 by 1.114 m
    ids = np.zeros((8, 12), int)
    ids[2:6, 2:6], ids[3, 3], ids[2, 8:10] = 1, 0, 2
    path = write_ids(tmp_path / "ids.tif", ids, crs="EPSG:4326", transform=place)
    landseg.export(path, tmp_path / "o.gpkg", min_area=2, holes=0.7)
    found = read(tmp_path / "o.gpkg")
    assert found["id"].tolist() == [1] and not found.geometry[0].interiors
    assert found["area_m2"][0] == pytest.approx(16 * 0.557 * 1.114, rel=0.01)
    landseg.export(path, tmp_path / "twin.gpkg", min_area=1, holes=0.6)
    assert len(read(tmp_path / "twin.gpkg")) == 2 and len(read(tmp_path / "twin.gpkg").geometry[0].interiors) == 1


def tilted(path: Path) -> Path:
    """Two houses side by side that lie at an angle, and the walls of pixels that they share."""
    rows, columns = np.mgrid[:80, :80] - 40.0
    u, v = 0.94 * columns + 0.34 * rows, -0.34 * columns + 0.94 * rows
    inside = (np.abs(u) < 26) & (np.abs(v) < 13)
    return write_ids(path, np.where(inside, 1 + (u > 0), 0))


@pytest.mark.parametrize("names", ["house", "all", "2"])
def test_right_angles_part_neighbours_and_say_so(
    names: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "landseg")
    path = tilted(tmp_path / "ids.tif")
    landseg.export(path, tmp_path / "o.gpkg", regularize=names)
    landseg.export(path, tmp_path / "plain.gpkg")
    made, plain = (read(tmp_path / f"{name}.gpkg") for name in ("o", "plain"))
    assert made["id"].tolist() == [1, 2] and made.geometry.count_coordinates().max() <= 7
    assert made.geometry.area.sum() == pytest.approx(plain.geometry.area.sum(), rel=0.05)
    assert shapely.coverage_is_valid(plain.geometry.to_numpy()) and "do not share their borders" in caplog.text


def test_sizes_are_in_pixels_without_a_crs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_ids(tmp_path / "ids.tif", SMALL, crs=None, transform=None)
    landseg.export(path, tmp_path / "o.geojson", min_area=4)
    found = read(tmp_path / "o.geojson")
    assert found["area_px"].tolist() == [4, 5] and found["perimeter_px"].tolist() == [8, 10]
    assert "sizes are in pixels; so is the GeoJSON" in caplog.text


def test_files_without_objects_are_files(tmp_path: Path) -> None:
    done = landseg.export(write_ids(tmp_path / "ids.tif", np.zeros((4, 5))), tmp_path / "o.gpkg", regularize="all")
    assert done.features == 0 and len(read(tmp_path / "o.gpkg")) == 0


def test_styles_tell_objects_apart_by_their_ids(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "ids.tif", SMALL)
    landseg.export(path, tmp_path / "o.gpkg")
    with sqlite3.connect(tmp_path / "o.gpkg") as file:
        (style,) = file.execute("SELECT styleQML FROM layer_styles").fetchone()
    assert 'attr="value"' in style and "color_hsv" in style and 'label="house"' in style
    landseg.export(write_ids(tmp_path / "u.tif", SMALL, table=None), tmp_path / "u.fgb", ids=True)
    style = (tmp_path / "u.qml").read_text()
    assert 'type="singleSymbol"' in style and "color_hsv" in style
    values = write_values(tmp_path / "map.tif", np.ones((4, 4), np.uint8))
    landseg.export(values, tmp_path / "map.fgb")
    assert "color_hsv" not in (tmp_path / "map.qml").read_text()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "dissolve": ({"dissolve": True}, "--dissolve is for class rasters"),
    "majority": ({"majority": 3}, "--majority is for class rasters"),
    "sieve": ({"sieve": 4}, "--sieve is for class rasters"),
    "connectivity": ({"connectivity": 8}, "--connectivity is for class rasters"),
    "centerlines": ({"centerlines": "house"}, "--centerlines is for class rasters"),
    "by class": ({"by_class_files": True}, "--by-class-files is for class rasters"),
    "classes": ({"classes": "house"}, "--classes is for class rasters"),
    "confidence": ({"confidence": "c.tif"}, "--confidence is for class rasters"),
    "holes": ({"holes": -1.0}, "--holes -1.0: expected square metres, 0 or more"),
    "unknown class": ({"regularize": "barn"}, "has no class 'barn'"),
    "ids as classes": ({"classes_from": "ids.tif"}, "holds the ids of objects, not classes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_are_for_classes_are_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, sentence = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    write_ids(Path("ids.tif"), SMALL)
    with pytest.raises(LandsegError, match=sentence):
        landseg.export("ids.tif", "o.gpkg", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["ids.tif"]


def test_rasters_that_hold_no_ids_are_refused(tmp_path: Path) -> None:
    def refused(path: Any, sentence: str, **options: Any) -> None:
        with pytest.raises(LandsegError, match=sentence):
            landseg.export(path, tmp_path / "o.gpkg", ids=True, **options)
        assert not (tmp_path / "o.gpkg").exists() and not list(tmp_path.glob(".*"))

    refused(write_ids(tmp_path / "f.tif", SMALL, table=None, dtype="float32"), "expected ids in whole numbers")
    negative = write_ids(tmp_path / "n.tif", -SMALL[:3, :5], table=None, dtype="int16", nodata=None)
    refused(negative, "has the id -9: expected 0 for none")
    plain = write_ids(tmp_path / "p.tif", SMALL, table=None)
    refused(plain, "does not say of which class its objects are", regularize="house")
    classes = write_classes(tmp_path / "map.tif", grid_of(plain), np.ones(SMALL.shape, np.uint8), TABLE)
    refused(classes, "holds classes, not ids of objects")
    other = write_values(tmp_path / "other.tif", np.ones((4, 4), np.uint8))
    refused(plain, "expected the grid of", classes_from=other)
    with pytest.raises(LandsegError, match="--holes is for rasters of ids"):
        landseg.export(classes, tmp_path / "o.gpkg", holes=1)


def test_the_command_takes_them_too(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "ids.tif", SMALL)
    code, out, _ = run("export", path, tmp_path / "o.gpkg", "--min-area", "1", "--holes", "2")
    assert code == 0 and "house" in out and "2 features" in out and "m²: the polygons" in out and " ha" not in out
    code, _, error = run("export", path, tmp_path / "p.gpkg", "--sieve", "4")
    assert code == 1 and "--sieve is for class rasters" in error and "Traceback" not in error
    code, out, _ = run("export", write_ids(tmp_path / "u.tif", SMALL, table=None), tmp_path / "u.gpkg", "--ids")
    assert code == 0 and "4 features" in out


def town(folder: Path, *, table: Any = TABLE) -> tuple[Path, Path, Any, Any]:
    """A class raster and its ids: things of class 2 (and 3), land, and some pixels without data."""
    ids = random_ids(7, 40, 37, empty=0.05)
    ids[ids == NO_DATA] = 0
    rng = np.random.default_rng(0)
    numbers = np.unique(ids[ids > 0])
    ids = np.searchsorted(numbers, ids) * (ids > 0) + (ids > 0)  # 1 to n
    kinds = np.append(1, rng.integers(2, len(table) + 1, len(numbers)))
    values = kinds[ids].astype(np.uint8)
    values[10:12, 3:9], ids[10:12, 3:9] = 2, 0  # things that are no objects
    values[20:24, 20:30], ids[20:24, 20:30] = 0, NO_DATA
    path = write_ids(folder / "ids.tif", ids, table=table)
    return write_classes(folder / "map.tif", grid_of(path), values, table), path, values, ids


@pytest.mark.parametrize("table", [TABLE, TWO_THINGS])
def test_classes_and_objects_are_one_coverage(table: Any, tmp_path: Path) -> None:
    classes, path, values, ids = town(tmp_path, table=table)
    here = (ids > 0) & (ids != NO_DATA)
    scores = np.linspace(0.2, 0.9, int(ids[here].max()), dtype=np.float32)
    for name, options in (("plain", InstanceShapes()), ("simple", InstanceShapes(simplify=0.7, holes=0.5))):
        out = tmp_path / name / "houses.gpkg"
        out.parent.mkdir()
        count = polygonize_instances(classes, path, out, table, scores, options=options)
        found = read(out)
        assert len(found) == count
        assert shapely.is_valid(found.geometry.to_numpy()).all()
        assert shapely.coverage_is_valid(found.geometry.to_numpy())
    found = read(tmp_path / "plain" / "houses.gpkg")
    land, things = found[found["value"] == 1], found[found["value"] > 1].set_index("id")
    assert land["id"].isna().all() and land["score"].isna().all() and set(land["name"]) == {"land"}
    assert land["area_m2"].sum() == (values == 1).sum() * 0.25
    assert things.index.tolist() == sorted(set(ids[here].tolist()))
    for number, shape in brute(np.where(here, ids, 0)).items():
        row = things.loc[number]
        assert shapely.equals(row.geometry, shape) and row["value"] == values[ids == number][0]
        assert row["score"] == pytest.approx(scores[number - 1], abs=1e-6)
        assert row["edge"] == (number in on_edge(np.where(values == 0, NO_DATA, ids)))
    by_id = np.append(scores, 1)[things.index.to_numpy(int)]  # a twin: scores by id, not by id less one
    assert not np.allclose(things["score"], by_id, atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_classes_without_ids(suffix: str, tmp_path: Path) -> None:
    classes, path, _, ids = town(tmp_path)
    out = tmp_path / "made" / f"houses{suffix}"
    out.parent.mkdir()
    scores = np.ones(int(ids[ids != NO_DATA].max()), np.float32)
    polygonize_instances(classes, path, out, TABLE, scores)
    found = read(out)
    assert (found["id"].isna() == (found["name"] == "land")).all() and found["id"].max() == len(scores)
    assert (found["score"].isna() == found["id"].isna()).all() and set(found["score"].dropna()) == {1.0}


def test_the_land_in_a_small_hole_of_an_object_goes_to_the_object(tmp_path: Path) -> None:
    ids = np.zeros((12, 20), int)
    ids[1:7, 1:7], ids[1:7, 7:14], ids[8:11, 16:20] = 1, 2, 4
    ids[3:5, 3:5] = 0  # a yard of 1 m2
    ids[3:5, 9:12], ids[4, 10] = 0, 3  # a yard with another object
    ids[9, 18] = 0  # a yard of 0.25 m2 in an object at the edge
    values = np.where(ids > 0, 2, 1).astype(np.uint8)
    path = write_ids(tmp_path / "ids.tif", ids, table=TABLE)
    classes, found = write_classes(tmp_path / "map.tif", grid_of(path), values, TABLE), {}
    for holes in (0.0, 0.5, 1.0):
        out = tmp_path / f"made{holes}" / "houses.gpkg"
        out.parent.mkdir()
        polygonize_instances(classes, path, out, TABLE, None, options=InstanceShapes(holes=holes))
        found[holes] = read(out)
        assert shapely.coverage_is_valid(found[holes].geometry.to_numpy())
        assert found[holes].area.sum() == ids.size * 0.25
    yards = {h: [len(shape.interiors) for shape in one[one["id"].notna()].geometry] for h, one in found.items()}
    assert yards == {0.0: [1, 1, 0, 1], 0.5: [1, 1, 0, 0], 1.0: [0, 1, 0, 0]}
    assert [int(one["id"].isna().sum()) for one in found.values()] == [4, 3, 2]  # the land around, and that in yards
    assert found[1.0]["edge"].tolist() == [False, False, False, True, True, False]
    assert found[1.0]["area_m2"].tolist()[:4] == [9, 9, 0.25, 3]


def test_simplified_objects_keep_the_walls_of_the_land(tmp_path: Path) -> None:
    classes, path, _, _ = town(tmp_path)
    out = tmp_path / "made" / "houses.fgb"
    out.parent.mkdir()
    polygonize_instances(classes, path, out, TABLE, None, options=InstanceShapes(simplify=0.9))
    found = read(out)
    assert shapely.coverage_is_valid(found.geometry.to_numpy())
    polygonize_instances(
        classes, path, tmp_path / "made" / "square.fgb", TABLE, None, options=InstanceShapes(regularize=True)
    )
    square = read(tmp_path / "made" / "square.fgb")
    assert sorted(square["id"].dropna()) == sorted(found["id"].dropna())
    assert isinstance(square, geopandas.GeoDataFrame) and HOUSE.name in set(square["name"])
    with rasterio.open(path) as file:
        assert file.transform == PLACE
