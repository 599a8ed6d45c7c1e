"""Areas by class and zone: against geodesic polygons and zones burnt one by one, in any cut, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from typer.testing import CliRunner

from landseg.areas import areas
from landseg.classes import ClassMap
from landseg.cli.areas import lines as areas_lines
from landseg.cli.export import lines as export_lines
from landseg.cli.main import app
from landseg.errors import GridError, LandsegError, OutputError, VectorError
from landseg.evaluate import evaluate
from landseg.export import export
from landseg.geo.class_areas import ClassArea, areas_tag, areas_text, read_areas
from landseg.info import describe
from landseg.labels.legend import class_tag
from tests.parts.vector import CLASSES

pytestmark = pytest.mark.usefixtures("quick_disk")
QUIET: dict[str, Any] = {"quiet": True}
PRECISION = 2e-4  # where pixels are equally large to a ten-thousandth, they are taken for equal
PLACES = {
    "UTM": ("EPSG:32633", Affine(10, 0, 400_000, 0, -10, 5_400_000)),
    "degrees": ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 61)),
    "coarse degrees": ("EPSG:4326", Affine(1.5, 0, -20, 0, -1.5, 80)),
    "Mercator": ("EPSG:3857", Affine(20, 0, 1_000_000, 0, -20, 8_000_000)),
    "polar": ("EPSG:3413", Affine(2000, 0, -600_000, 0, -2000, -500_000)),
    "rotated": ("EPSG:32633", Affine(8, 3, 400_000, 3, -8, 5_400_000)),
}


def write(path: Path, values: NDArray[Any], place: str | None = "UTM", *, table: ClassMap | None = CLASSES) -> str:
    located = {} if place is None else dict(zip(("crs", "transform"), PLACES[place], strict=True))
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=values.dtype, height=values.shape[0], width=values.shape[1],
        nodata=0, **located,
    ) as file:  # fmt: skip
        file.write(values, 1)
        if table is not None:
            file.write_colormap(1, {entry.value: entry.color for entry in table.classes})
            file.update_tags(LANDSEG_CLASSES=class_tag(table))
    return str(path)


def patchy(shape: tuple[int, int] = (40, 30)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(2)
    return np.kron(rng.integers(0, 3, (shape[0] // 5, shape[1] // 5)), np.ones((5, 5))).astype(np.uint8)


def geodesic_ha(values: NDArray[Any], value: int, place: str) -> float:
    """The sum of a class's pixels as geodesic polygons, each edge in 20 pieces."""
    crs, transform = PLACES[place]
    move = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod, total, steps = pyproj.Geod(ellps="WGS84"), 0.0, np.arange(20) / 20
    ring = np.concatenate([[(t, 0) for t in steps], [(1, t) for t in steps], [(1 - t, 1) for t in steps],
                           [(0, 1 - t) for t in steps]])  # fmt: skip
    for row, column in np.argwhere(values == value).tolist():
        x, y = transform @ tuple((ring + np.array([column, row])).T)
        total += abs(geod.polygon_area_perimeter(*move.transform(x, y))[0])
    return total / 10_000


@pytest.mark.parametrize("place", PLACES)
def test_hectares_are_those_of_geodesic_polygons(tmp_path: Path, place: str) -> None:
    values = patchy()
    found = areas(write(tmp_path / "map.tif", values, place), **QUIET)
    assert found.measure == "ellipsoid" and [row.name for row in found.whole.classes] == ["building", "road"]
    sizes = [row.hectares or 0 for row in found.whole.classes]
    assert sizes == pytest.approx([geodesic_ha(values, value, place) for value in (1, 2)], rel=PRECISION)
    for row in found.whole.classes:
        assert row.pixels == (values == row.value).sum() and row.share == pytest.approx(
            (row.hectares or 0) / sum(sizes)
        )
    assert found.left_out == {"no_data": (values == 0).sum()} and found.whole.left_out_pixels == (values == 0).sum()


def test_twin_the_plane_of_a_projection_is_not_that(tmp_path: Path) -> None:
    values = patchy()
    plane = {place: (values == 1).sum() * abs(PLACES[place][1].determinant) / 10_000 for place in ("UTM", "polar")}
    for place, size in plane.items():
        with pytest.raises(AssertionError):
            assert size == pytest.approx(geodesic_ha(values, 1, place), rel=PRECISION)


def test_without_a_crs_there_are_pixels_alone(tmp_path: Path) -> None:
    values = patchy()
    found = areas(write(tmp_path / "map.tif", values, None), **QUIET)
    building, road = found.whole.classes
    assert found.measure is building.hectares is found.whole.hectares is None
    assert building.share == pytest.approx((values == 1).sum() / (values > 0).sum()) == pytest.approx(1 - road.share)
    assert "there is no coordinate system: pixels have no area" in areas_lines(found)


@pytest.mark.parametrize("place", ["UTM", "degrees", "coarse degrees"])
def test_every_command_tells_the_same_hectares(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / "map.tif", patchy(), place)
    sizes = [row.hectares for row in areas(path, **QUIET).whole.classes]
    told = [row["hectares"] for row in describe(path)["areas"]]
    mapped = [one.mapped_ha for one in evaluate(path, path, samples=0).classes]
    made = export(path, tmp_path / "a.gpkg", **QUIET)
    smooth = export(path, tmp_path / "b.gpkg", smooth=True, **QUIET)
    assert told == sizes and mapped == pytest.approx(sizes, rel=1e-9)
    assert [one.hectares for one in made.classes] == sizes
    assert [one.hectares for one in smooth.classes] == sizes
    by_shape = [(one.area_m2 or 0) / 10_000 for one in made.classes]
    if place == "UTM":  # the plane's measure is another, and is called so
        assert by_shape != pytest.approx(sizes, rel=1e-4) and made.to_json()["area_measure"] == "plane"
        assert any(line.startswith("m²: the polygons in the map's plane") for line in export_lines(made))
        ground = export(path, tmp_path / "c.gpkg", geodesic=True, **QUIET)
        by_shape = [(one.area_m2 or 0) / 10_000 for one in ground.classes]
        assert ground.area_measure == "ellipsoid"
    assert by_shape == pytest.approx(sizes, rel=1e-5)


def test_any_cut_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = str(zones_file(tmp_path / "zones.gpkg", "coarse degrees"))
    crs, transform = PLACES["coarse degrees"]
    monkeypatch.setitem(PLACES, "coarse degrees", (crs, transform @ Affine.scale(1, 0.1)))
    path = write(tmp_path / "map.tif", patchy((600, 30)), "coarse degrees")
    whole = areas(path, by=zones, **QUIET).to_json()
    monkeypatch.setattr("landseg.vector.classraster.STRIP_PIXELS", 1000)
    monkeypatch.setattr("landseg.geo.class_areas._PIXELS", 100)
    assert areas(path, by=zones, **QUIET).to_json() == whole
    assert sum(zone["pixels"] for zone in whole["zones"]) > 0


SHAPES = [
    shapely.Polygon([(1, 1), (17, 3), (9, 22)]),
    shapely.Polygon([(10, 2), (29, 2), (29, 30), (12, 33)], [[(15, 8), (20, 8), (20, 15)]]),
    shapely.box(25, 30, 60, 60),
    shapely.box(100, 100, 110, 110),
    shapely.box(5.6, 30.6, 5.9, 30.9),
]
SHAPES = [
    shapely.transform(shape, lambda p: p + np.array([0.0137, 0.0081])) for shape in SHAPES
]  # no edge through a centre


def zones_file(path: Path, place: str, *, crs: Any = None, **columns: Any) -> Path:
    """Two that overlap, the second with a hole; one that the raster's edge cuts; one beyond; one without a centre."""
    own, transform = PLACES[place]
    shapes = [shapely.transform(one, lambda p: np.stack(transform @ tuple(p.T), axis=1)) for one in SHAPES]
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=own)
    (frame if crs is None else frame.to_crs(crs)).to_file(path)
    return path


def check_zones(found: Any, values: NDArray[Any]) -> None:
    """Against masks of rasterio's, a zone at a time."""
    for zone, shape in zip(found.zones, SHAPES, strict=True):
        inside = geometry_mask([shape], values.shape, Affine.identity(), invert=True)
        wanted = [int((inside & (values == value)).sum()) for value in (1, 2)]
        assert [row.pixels for row in zone.classes] == wanted
        assert zone.left_out_pixels == (inside & (values == 0)).sum()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("crs", [None, "EPSG:4326"])
def test_zones_have_the_pixels_whose_centres_they_cover(tmp_path: Path, crs: str | None) -> None:
    values = patchy()
    path, zones = write(tmp_path / "map.tif", values), zones_file(tmp_path / "z.gpkg", "UTM", crs=crs)
    found = areas(path, by=zones, **QUIET)
    assert found.zones is not None and [zone.zone for zone in found.zones] == [1, 2, 3, 4, 5]
    check_zones(found, values)
    pixel = (found.whole.hectares or 0) / found.whole.pixels
    assert [zone.hectares for zone in found.zones] == pytest.approx([zone.pixels * pixel for zone in found.zones])
    masks = [geometry_mask([shape], values.shape, Affine.identity(), invert=True) for shape in SHAPES]
    times = np.sum(masks, axis=0)
    assert (times > 1).any()
    assert found.notes == (
        "1 of 5 zones lies outside the raster",
        "1 of 5 zones covers no pixel's centre",
        f"{(times > 1).sum()} px lie in more than one zone and count in each of them",
        f"{((times == 0) & (values > 0)).sum()} px of a class lie in no zone",
    )
    with pytest.raises(AssertionError):  # twin: pixels that belong to another class
        check_zones(found, np.roll(values, 1, 0))


def test_zones_of_one_name_are_one_and_none_may_be_without(tmp_path: Path) -> None:
    values = patchy()
    path = write(tmp_path / "map.tif", values)
    named = zones_file(
        tmp_path / "z.gpkg", "UTM", name=["a", "a", "b", "far", "small"], empty=["x", None, "", "y", "z"]
    )
    found = areas(path, by=named, by_field="name", **QUIET)
    assert found.zones is not None and [zone.zone for zone in found.zones] == ["a", "b", "far", "small"]
    inside = geometry_mask(SHAPES[:2], values.shape, Affine.identity(), invert=True)
    assert found.zones[0].pixels == (inside & (values > 0)).sum()
    assert not any("more than one zone" in note for note in found.notes[:2])
    with pytest.raises(VectorError, match="2 of 5 zones have nothing in 'empty': name them, or leave --by-field out"):
        areas(path, by=named, by_field="empty", **QUIET)
    with pytest.raises(VectorError, match="has no column 'nope'; it has name, empty"):
        areas(path, by=named, by_field="nope", **QUIET)
    with pytest.raises(VectorError, match="name their file with --by"):
        areas(path, by_field="name", **QUIET)


def test_zones_that_do_not_belong_there_get_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "map.tif", patchy())
    far = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    far.to_file(tmp_path / "far.gpkg")
    with pytest.raises(GridError, match=r"no zone of .*far.gpkg lies on the raster.*check the CRS of both"):
        areas(path, by=tmp_path / "far.gpkg", **QUIET)
    geopandas.GeoDataFrame(geometry=[shapely.Point(15, 48)], crs="EPSG:4326").to_file(tmp_path / "points.gpkg")
    with pytest.raises(VectorError, match=r"expected polygons, found Point.*\(a buffer\)$"):
        areas(path, by=tmp_path / "points.gpkg", **QUIET)


def test_a_layer_is_named_after_a_colon(tmp_path: Path) -> None:
    path, values = write(tmp_path / "map.tif", patchy()), patchy()
    file = zones_file(tmp_path / "z.gpkg", "UTM")
    geopandas.read_file(file).to_file(file, layer="more")
    found = areas(path, by=f"{file}:more", **QUIET)
    assert found.zones is not None and found.zones[0].pixels
    check_zones(found, values)
    with pytest.raises(VectorError, match="2 layers"):
        areas(path, by=file, **QUIET)


def test_tables_say_what_json_says(tmp_path: Path) -> None:
    path, zones = write(tmp_path / "map.tif", patchy()), zones_file(tmp_path / "z.gpkg", "UTM", name=list("abcde"))
    options: dict[str, Any] = {"by": zones, "by_field": "name", **QUIET}
    found = areas(path, tmp_path / "a.csv", **options)
    for name in ("a.xlsx", "a.json"):
        areas(path, tmp_path / name, **options)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert list(rows[0]) == ["zone", "value", "name", "pixels", "hectares", "share", "left_out_pixels"]
    assert len(rows) == 10 and rows[6]["share"] == "" and rows[6]["pixels"] == "0"
    sheet = pyogrio.read_dataframe(tmp_path / "a.xlsx", read_geometry=False)
    assert list(sheet.columns) == list(rows[0]) and sheet.pixels.tolist() == [int(row["pixels"]) for row in rows]
    whole = json.loads((tmp_path / "a.json").read_text())
    assert whole["zones"] == found.to_json()["zones"] and whole["notes"] == list(found.notes)
    for row, (zone, one) in zip(rows, ((z, c) for z in whole["zones"] for c in z["classes"]), strict=True):
        assert (row["zone"], int(row["pixels"])) == (zone["zone"], one["pixels"])
        assert float(row["hectares"]) == pytest.approx(one["hectares"], abs=1e-6)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_what_exists_or_is_read_is_not_written_over(tmp_path: Path) -> None:
    path, table = write(tmp_path / "map.tif", patchy()), tmp_path / "a.csv"
    zones = tmp_path / "z.json"
    zones.write_text(geopandas.read_file(zones_file(tmp_path / "z.gpkg", "UTM", crs="EPSG:4326")).to_json())
    table.write_text("mine")
    with pytest.raises(OutputError, match=r"a.csv exists: choose another output, or replace it with --overwrite"):
        areas(path, table, **QUIET)
    assert table.read_text() == "mine"
    areas(path, table, overwrite=True, **QUIET)
    assert table.read_text().startswith("value,name,")
    with pytest.raises(OutputError, match="is an input of this run"):
        areas(path, zones, by=zones, overwrite=True, **QUIET)
    for place, sentence in {
        "a.txt": r"a table of areas ends in .csv or .xlsx or .json, got 'a.txt': use a.csv",
        "no/a.csv": "has no folder",
        ".": "is a folder",
    }.items():
        with pytest.raises(OutputError, match=sentence):
            areas(path, tmp_path / place, **QUIET)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.csv", "map.tif", "z.gpkg", "z.json"]


def test_a_failure_leaves_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "map.tif", patchy())
    monkeypatch.setattr(pyogrio, "list_drivers", lambda: {"XLSX": "r"})
    with pytest.raises(OutputError, match=r"cannot write .xlsx; use .csv"):
        areas(path, tmp_path / "a.xlsx", **QUIET)
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.tif"]


def test_classes_that_are_wanted_and_values_without_a_name(tmp_path: Path) -> None:
    values = patchy()
    path = write(tmp_path / "map.tif", values, table=None)
    assert [row.name for row in areas(path, **QUIET).whole.classes] == ["1", "2"]
    (tmp_path / "classes.json").write_text('[{"value": 1, "name": "water"}, {"value": 2, "name": "wood"}]')
    named = areas(path, classes=str(tmp_path / "classes.json"), **QUIET)
    assert [row.name for row in named.whole.classes] == ["water", "wood"]
    only = areas(path, classes="2", **QUIET)
    assert [(row.value, row.share) for row in only.whole.classes] == [(2, 1.0)]
    assert only.left_out == {"no_data": (values == 0).sum(), "unwanted_classes": (values == 1).sum()}


def test_what_is_no_map_of_classes_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LandsegError, match=r"holds 0.5: expected a class raster"):
        areas(write(tmp_path / "f.tif", np.full((4, 4), 0.5, np.float32), table=None), **QUIET)
    with pytest.raises(LandsegError, match="is a folder"):
        areas(tmp_path, **QUIET)
    with pytest.raises(LandsegError, match=r"a GeoDataFrame: write it to a file \(to_file\)"):
        areas(write(tmp_path / "map.tif", patchy()), by=geopandas.GeoDataFrame(), **QUIET)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_in_words_and_json(tmp_path: Path) -> None:
    path, zones = write(tmp_path / "map.tif", patchy()), zones_file(tmp_path / "z.gpkg", "UTM", name=list("abcde"))
    code, out, _ = run("areas", path, "--by", zones, "--by-field", "name", "-o", tmp_path / "a.csv")
    lines = out.splitlines()
    assert code == 0 and lines[0] == f"{tmp_path / 'a.csv'}: 10 rows, 5 zones"
    assert lines[1].split() == ["zone", "class", "value", "pixels", "hectares", "share"]
    assert any(line.split() == ["d", "-"] for line in lines) and "hectares are on the ellipsoid" in lines
    code, out, err = run("areas", path, "--json")
    assert code == 0 and json.loads(out)["zones"] is None and json.loads(out)["measure"] == "ellipsoid"
    assert "100.0 %" in err
    code, out, err = run("areas", path, "-o", tmp_path / "a.csv")
    assert (code, out) == (1, "") and "--overwrite" in err and "Traceback" not in err


def test_a_map_tells_its_areas_and_imagery_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "map.tif", patchy())
    code, out, _ = run("info", path)
    line = next(line for line in out.splitlines() if line.strip().startswith("areas"))
    assert code == 0 and "road" in line and " ha (" in line
    bands = np.zeros((20, 20), np.uint8)
    assert describe(write(tmp_path / "image.tif", bands, table=None))["areas"] is None
    monkeypatch.setattr("landseg.report.raster_facts.COUNTED", 100)
    assert describe(path)["areas"] is None and "counted by `landseg areas" in run("info", path)[1]


def test_a_line_has_the_largest_classes() -> None:
    rows = [ClassArea(value, f"c{value}", value, value / 10, value / 36) for value in range(9)]
    assert areas_text(rows).startswith("c8 0.8 ha (22.2 %), c7 ") and areas_text(rows).endswith(", and 2 more")
    assert areas_text([ClassArea(1, "a", 0, 0.0, float("nan"))]) == "none: nothing has a class"
    assert areas_text([ClassArea(1, "a", 7, None, 1.0)]) == "a 7 px (100.0 %)"


def test_a_tag_that_was_changed_says_nothing() -> None:
    rows = (ClassArea(1, "a", 7, 0.25, 1.0), ClassArea(2, "b", 0, None, 0.5))
    assert read_areas(areas_tag(rows, (3, 4))) == rows
    for text in ("", "[]", "{}", '{"classes": [1]}', '{"classes": [{"value": 1}]}'):
        with pytest.raises(ValueError):
            read_areas(text)
