"""Vector labels as people have them, in every command that reads some: one reader, one rule."""

from __future__ import annotations

import json
import pickle
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from landseg.classes import ClassMap
from landseg.cli.rasterize import lines as rasterize_lines
from landseg.data import inspect_data
from landseg.errors import ClassError, GridError, LandsegError, TrainingError, VectorError
from landseg.evaluation.options import TruthOptions
from landseg.evaluation.pair import open_truth
from landseg.geo.grid import Grid, Rect
from landseg.geo.horizontal import horizontal, same_place
from landseg.geo.rasters.source import FileSource
from landseg.geo.vectors import buffering
from landseg.geo.vectors.aoi import read_aoi
from landseg.geo.vectors.layers import read_layer
from landseg.geo.vectors.names import is_vector, split_layer, stem_of, with_layer
from landseg.geo.vectors.polygon_file import read_polygons
from landseg.labels.burnt_polygons import open_polygons
from landseg.labels.coverage import Coverage, covers_a_centre
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.rasterize import rasterize
from landseg.scenes.data_report import DataReport
from landseg.training.overrides import Overrides
from landseg.training.recipe import read_recipe, recipe_of
from landseg.training.recipe_from_files import DataFiles
from landseg.training.sources import fully_named, open_scenes
from tests.parts.labelled import landseg
from tests.parts.places import UTM

Write = Callable[..., Path]
HALF = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
ROOF = ClassMap.from_json([{"value": 1, "name": "roof"}, {"value": 2, "name": "land"}])
SIZE = 64


def patch(left: float, top: float, right: float, bottom: float, place: Affine = HALF) -> Polygon:
    """A rectangle by pixel corners."""
    return box(*(place @ (left, bottom)), *(place @ (right, top)))


SQUARE = patch(10, 10, 40, 40)  # 900 pixels
FAR = patch(50, 50, 60, 60)  # 100 pixels


def write(path: Path, shapes: list[Any], crs: Any = UTM, **columns: list[Any]) -> Path:
    kinds = columns or {"kind": ["roof"] * len(shapes)}
    geopandas.GeoDataFrame(kinds, geometry=shapes, crs=crs).to_file(path)
    return path


def at(row: float, column: float) -> tuple[float, float]:
    return HALF @ (column, row)


@pytest.fixture
def image(write_raster: Write) -> Path:
    noise = np.random.default_rng(3).integers(1, 250, (3, SIZE, SIZE)).astype(np.uint8)
    return write_raster(noise, "image.tif", photometric="RGB")


# --- the same file in every command: pixels that are labelled roof -----------------------------------------------


def by_rasterize(image: Path, labels: str, **how: Any) -> int:
    how = {"class_field": "kind", "quiet": True, "overwrite": True} | how
    made = rasterize(labels, image.with_name("burnt.tif"), like=image, **how)
    return made.classes["roof"]["pixels"]


def by_data(image: Path, labels: str, **how: Any) -> int:
    found = looked_at(image, labels, **how)
    return next(one.pixels for one in found.classes if one.name == "roof")


def looked_at(image: Path, labels: str, **how: Any) -> DataReport:
    return inspect_data([str(image)], labels, class_field="kind", background="land", **how)


def by_train(image: Path, labels: str, *, buffer: float | None = None) -> int:
    data = DataFiles((str(image),), (labels,), class_field="kind", background="land", buffer_m=buffer)
    recipe = Overrides().recipe(data, None, name="m")
    scene = open_scenes(recipe, Path()).scenes[0]
    return int((scene.read(scene.rect)[2] == recipe.classes.names.index("roof")).sum())


def by_evaluate(image: Path, labels: str, **how: Any) -> int:
    with FileSource(image) as source:
        truth = open_truth([labels], ROOF, TruthOptions(class_field="kind", background="land", **how), source.grid)
        return int((truth.read(source.grid.rect) == 0).sum())


def by_aoi(image: Path, labels: str) -> int:
    with FileSource(image) as source:
        inside = read_aoi(labels, source.grid).inside(source.grid.rect)
    assert inside is not None
    return int(inside.sum())


BURNT = {"rasterize": by_rasterize, "data": by_data, "train": by_train, "evaluate": by_evaluate}
READ = BURNT | {"aoi": by_aoi}
CROSS = [at(44, 44), at(60, 60), at(60, 44), at(44, 60), at(44, 44)]  # a bow tie of two triangles
SOUND: dict[str, tuple[Any, int]] = {
    "plain": (None, 900),
    "null": ("null", 900),
    "empty": (Polygon(), 900),
    "collection of polygons": (GeometryCollection([FAR, patch(55, 50, 62, 60)]), 900 + 120),
    "collection in a collection": (GeometryCollection([GeometryCollection([FAR]), Polygon()]), 1000),
    "bow tie": (Polygon(CROSS), 900 + 128),
    "heights": (Polygon([(*point, 812.5) for point in FAR.exterior.coords]), 1000),
    "spike": (Polygon([*FAR.exterior.coords[:3], at(62, 62), *FAR.exterior.coords[2:]]), None),
    "twice": (SQUARE, 900),
    "far away": (patch(1e9, 1e9, 2e9, 2e9), 900),
    "a flat one": (Polygon([at(50, 50), at(60, 60), at(50, 50), at(50, 50)]), 900),
    "several parts": (MultiPolygon([FAR, patch(50, 2, 52, 4)]), 1004),
}  # type: ignore[dict-item]


@pytest.mark.parametrize("command", READ)
@pytest.mark.parametrize("case", SOUND)
def test_odd_geometries_are_the_same_everywhere(image: Path, command: str, case: str) -> None:
    odd, expected = SOUND[case]
    shapes = [SQUARE] + ([] if odd is None else [None if odd == "null" else odd])
    path = write(image.with_name("labels.gpkg"), shapes)
    if expected is None:
        expected = by_rasterize(image, str(path))
    assert READ[command](image, str(path)) == expected


REFUSED: dict[str, tuple[Any, str]] = {
    "line": (LineString([at(5, 5), at(5, 60)]), r"expected polygons, found LineString \(1\) among 2 features"),
    "point": (Point(at(5, 5)), r"expected polygons, found Point \(1\) among 2 features"),
    "mixed": (
        GeometryCollection([FAR, LineString([at(5, 5), at(5, 60)])]),
        r"expected polygons, found GeometryCollection \(1\) among 2 features",
    ),
}


@pytest.mark.parametrize("command", READ)
@pytest.mark.parametrize("case", REFUSED)
def test_lines_points_and_mixtures_are_refused_everywhere(image: Path, command: str, case: str) -> None:
    odd, sentence = REFUSED[case]
    path = write(image.with_name("labels.geojson"), [SQUARE, odd])
    with pytest.raises(VectorError, match=sentence) as caught:
        READ[command](image, str(path))
    assert ("--buffer METRES" in str(caught.value)) == (command != "aoi")  # which has no such option


@pytest.mark.parametrize("command", BURNT)
def test_a_buffer_makes_areas_of_lines_and_points_but_not_of_polygons(image: Path, command: str) -> None:
    road, tree = LineString([at(5, 5), at(5, 60)]), Point(at(55, 55))
    path = write(image.with_name("labels.geojson"), [SQUARE, road, GeometryCollection([FAR, tree])])
    areas = [SQUARE, road.buffer(1), shapely.union(FAR, tree.buffer(1))]
    expected = BURNT[command](image, str(write(image.with_name("areas.gpkg"), areas)))
    found = BURNT[command](image, str(path), buffer=1.0)
    assert abs(found - expected) <= 2 and found > 1200  # GeoJSON is in degrees: metres are measured there
    with pytest.raises(VectorError, match="expected a number of metres above 0"):
        BURNT[command](image, str(path), buffer=0.0)


@pytest.mark.parametrize("command", BURNT)
def test_a_buffer_of_a_raster_or_without_a_crs_is_refused(
    image: Path, command: str, write_raster: Write, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="crs"):
        nowhere = write(tmp_path / "n.gpkg", [Point(at(5, 5))], crs=None)
    with pytest.raises(VectorError, match=r"n\.gpkg: it has no CRS, so 2 m cannot be measured: assign one"):
        BURNT[command](image, str(nowhere), buffer=2.0)
    if command != "rasterize":
        raster = write_raster(np.ones((SIZE, SIZE), np.uint8), "image_labels.tif")
        with pytest.raises(LandsegError, match=r"--buffer|--class-field"):
            BURNT[command](image, str(raster), buffer=2.0)


@pytest.mark.parametrize("command", BURNT)
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_polygons_without_a_class_are_counted_and_never_a_class(image: Path, command: str, empty: Any) -> None:
    path = write(image.with_name("labels.gpkg"), [SQUARE, FAR], kind=["roof", empty])
    sentence = f"{path}: 1 polygon has nothing in 'kind': give it a class, or remove it"
    if command != "data":
        with pytest.raises(ClassError) as caught:
            BURNT[command](image, str(path))
        assert str(caught.value) == sentence
        return
    found = looked_at(image, str(path))
    assert [one.name for one in found.classes] == ["roof", "land"]
    assert sentence in [one.text for one in found.findings]
    assert [one.pixels for one in found.classes] == [900, SIZE * SIZE - 1000]  # nobody knows those of the other


@pytest.mark.parametrize("values", [[1, 1], [1.0, 1.0], ["1", "1"]])
def test_whole_numbers_are_one_class_however_a_column_stores_them(image: Path, values: list[Any]) -> None:
    path = write(image.with_name("labels.gpkg"), [SQUARE, FAR], kind=values)
    assert next((one.name, one.pixels) for one in looked_at(image, str(path)).classes) == ("1", 1000)
    assert PolygonLabels(path, "kind").counts() == {"1": 2}
    holes = write(image.with_name("holes.gpkg"), [SQUARE, FAR], kind=[1.0, np.nan])
    names = [one.name for one in looked_at(image, str(holes)).classes]
    assert names == ["1", "land"] and "nan" not in names


# --- curves ------------------------------------------------------------------------------------------------------


def with_curves(path: Path, kind: str) -> Path:
    """A circle of 10 m in the image's middle: put into a finished file, since no library here writes curves."""
    (x, y), r = at(SIZE / 2, SIZE / 2), 10
    write(path, [box(x - r, y - r, x + r, y + r)])
    points = [(x - r, y), (x, y + r), (x + r, y), (x, y - r), (x - r, y)]
    string = struct.pack("<BII", 1, 8, 5) + b"".join(struct.pack("<dd", *p) for p in points)
    wkb = struct.pack("<BII", 1, 10, 1) + string
    wkb = wkb if kind == "CURVEPOLYGON" else struct.pack("<BII", 1, 12, 1) + wkb
    with sqlite3.connect(path) as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        (srs,) = db.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone()
        db.execute(f"UPDATE {path.stem} SET geom = ?", (b"GP\0\1" + struct.pack("<i", srs) + wkb,))
        db.execute("UPDATE gpkg_geometry_columns SET geometry_type_name = ?", (kind,))
    return path


@pytest.mark.parametrize("command", READ)
@pytest.mark.parametrize("kind", ["CURVEPOLYGON", "MULTIPOLYGON"])
def test_curves_are_burnt_as_the_curves_that_they_are(image: Path, command: str, kind: str) -> None:
    path = with_curves(image.with_name("circle.gpkg"), kind)
    centres = np.arange(SIZE) + 0.5 - SIZE / 2
    assert READ[command](image, str(path)) == int(((centres[:, None] ** 2 + centres**2) < 20**2).sum())
    area = read_polygons(path).frame.area.sum()
    assert area == pytest.approx(np.pi * 100, rel=1e-4)  # with GDAL's chords of 4 degrees it is 8e-4 less


# --- layers ------------------------------------------------------------------------------------------------------


def with_layers(path: Path) -> Path:
    for layer, shape in (("notes", patch(900, 900, 901, 901)), ("roofs", SQUARE)):
        geopandas.GeoDataFrame({"kind": ["roof"]}, geometry=[shape], crs=UTM).to_file(path, layer=layer)
    return path


@pytest.mark.parametrize("command", READ)
def test_of_several_layers_one_is_named(image: Path, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = with_layers(image.with_name("layers.gpkg"))
    with pytest.raises(VectorError, match=r"has 2 layers \(notes, roofs\): name the one that is meant, .*gpkg:notes"):
        READ[command](image, str(path))
    assert READ[command](image, f"{path}:roofs") == 900
    with pytest.raises(VectorError, match=r"has no layer 'walls' with geometry; it has notes, roofs"):
        READ[command](image, f"{path}:walls")
    assert "Specify layer" not in "".join(capfd.readouterr())


def test_layers_without_geometry_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "one.gpkg", [SQUARE])
    for name in ("facts", "layer_styles"):
        pyogrio.write_dataframe(pandas.DataFrame({"a": [1]}), path, layer=name)
    assert len(read_layer(path)) == 1
    with pytest.raises(VectorError, match="has no layer 'facts' with geometry; it has one"):
        read_layer(f"{path}:facts")
    bare = tmp_path / "bare.gpkg"
    pyogrio.write_dataframe(pandas.DataFrame({"a": [1]}), bare, layer="facts")
    with pytest.raises(VectorError, match="holds no layer with geometry"):
        read_layer(bare)


def zipped(path: Path, files: list[Path], below: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, below + file.name)
    return path


def test_archives_and_folders_of_shapefiles(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    folder.mkdir()
    write(folder / "one.shp", [SQUARE])
    write(folder / "two.shp", [SQUARE, FAR])
    files = sorted(folder.iterdir())
    flat, nested = zipped(tmp_path / "flat.zip", files), zipped(tmp_path / "nested.zip", files, "in/")
    ones = zipped(tmp_path / "ones.zip", [file for file in files if file.stem == "one"], "in/a/")
    for several in (folder, flat, nested):
        with pytest.raises(VectorError, match="has 2 layers"):
            read_layer(several)
        assert len(read_layer(f"{several}:two")) == 2 and is_vector(f"{several}:two")
    assert len(read_layer(ones)) == 1
    assert len(read_layer(f"/vsizip/{nested}/in/two.shp")) == 2
    assert len(read_layer(Path(f"/vsizip/{nested}/in/two.shp"))) == 2  # which has lost a slash
    assert not is_vector(folder) and not is_vector(f"{folder}:three")


def test_kml_folders_are_layers(tmp_path: Path) -> None:
    body = "".join(
        f"<Folder><name>{name}</name><Placemark><name>x</name><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        "0,0 1,0 1,1 0,0</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"
        for name in ("a", "b")
    )
    path = tmp_path / "x.kml"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{body}</Document></kml>')
    with pytest.raises(VectorError, match=r"has 2 layers \(a, b\)"):
        read_layer(path)
    assert len(read_layer(f"{path}:b")) == 1


def test_names_with_colons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("10:30.gpkg", "x.gpkg", "C:\\x.gpkg"):
        write(Path(name), [SQUARE])
    assert split_layer("10:30.gpkg") == ("10:30.gpkg", None)
    assert split_layer("10:30.gpkg:10:30") == ("10:30.gpkg", "10:30")
    assert split_layer("x.gpkg:a:b") == ("x.gpkg", "a:b")
    assert split_layer("C:\\x.gpkg:roofs") == ("C:\\x.gpkg", "roofs")
    assert split_layer("C:\\gone.gpkg") == ("C:\\gone.gpkg", None)
    assert split_layer("C:\\gone.gpkg:roofs") == ("C:\\gone.gpkg", "roofs")
    assert split_layer("/vsizip/a.zip/b.gpkg:roofs") == ("/vsizip/a.zip/b.gpkg", "roofs")
    assert split_layer("GPKG:gone.gpkg:tiles") == ("GPKG:gone.gpkg:tiles", None)  # a raster's address
    assert [is_vector(name) for name in ("x.gpkg:a", "scene.tif", "NETCDF:a.nc:b", "a.parquet")] == [
        True, False, False, True,
    ]  # fmt: skip
    assert stem_of("x.gpkg:roofs") == "roofs" and len(read_layer("10:30.gpkg")) == 1
    Path("x.gpkg:roofs").write_bytes(Path("x.gpkg").read_bytes())  # what exists decides
    assert split_layer("x.gpkg:roofs") == ("x.gpkg:roofs", None)


def test_the_option_layer(tmp_path: Path) -> None:
    path = str(with_layers(tmp_path / "layers.gpkg"))
    assert with_layer(path, "roofs") == with_layer(f"{path}:roofs", "roofs") == f"{path}:roofs"
    assert with_layer(path, None) == path
    with pytest.raises(VectorError, match="names the layer 'notes' itself: leave out --layer roofs"):
        with_layer(f"{path}:notes", "roofs")
    with pytest.raises(VectorError, match=r"--layer roofs goes with a vector file, and a\.tif is none"):
        with_layer("a.tif", "roofs")


def test_the_command_line_takes_layers_and_buffers(image: Path, tmp_path: Path) -> None:
    path = with_layers(tmp_path / "layers.gpkg")
    line = LineString([at(5, 5), at(5, 60)])
    geopandas.GeoDataFrame({"kind": ["roof"]}, geometry=[line], crs=UTM).to_file(path, layer="roads")
    burn = ("rasterize", path, tmp_path / "o.tif", "--like", image, "--class-field", "kind", "--json", "--overwrite")
    pixels = [
        json.loads(landseg(*burn, *more).stdout)["classes"]["roof"]["pixels"]
        for more in (("--layer", "roofs"), ("--layer", "roads", "--buffer", "1"))
    ]
    assert pixels[0] == 900 and 55 * 4 <= pixels[1] <= 59 * 4
    refused = landseg(*burn)
    assert refused.exit_code == 1 and "has 3 layers (notes, roofs, roads)" in refused.stderr and not refused.stdout
    data = landseg("data", image, path, "--layer", "roofs", "--class-field", "kind", "--background", "land", "--json")
    assert json.loads(data.stdout)["classes"][0]["pixels"] == 900
    judged = ("evaluate", tmp_path / "o.tif", path, "--class-field", "kind", "--samples", "0", "--json")
    assert landseg(*burn, "--layer", "roofs").exit_code == 0
    found = landseg(*judged, "--layer", "roofs")
    assert json.loads(found.stdout)["pixel_accuracy"] == 1.0, found.stderr
    only = landseg("train", image, "-o", tmp_path / "m.safetensors", "--layer", "roofs")
    assert only.exit_code == 2 and "--layer goes with a vector file" in only.stderr


def test_a_recipe_names_layers_and_buffers(image: Path, tmp_path: Path) -> None:
    with_layers(tmp_path / "layers.gpkg")
    line = LineString([at(5, 5), at(5, 60)])
    geopandas.GeoDataFrame({"kind": ["roof"]}, geometry=[line], crs=UTM).to_file(
        tmp_path / "layers.gpkg", layer="roads"
    )
    recipe = tmp_path / "recipe.toml"
    text = """
about = {name = "m"}
classes = [{value = 1, name = "roof"}, {value = 2, name = "land"}]
bands = [{name = "r", mean = 1, std = 1}, {name = "g", mean = 1, std = 1}, {name = "b", mean = 1, std = 1}]
sources = [{images = "image.tif", polygons = "layers.gpkg:LAYER", class_field = "kind", background = "land"MORE}]
"""
    (tmp_path / "below").mkdir()
    for layer, more, low, high in (("roofs", "", 900, 900), ("roads", ", buffer_m = 1.0", 220, 236)):
        recipe.write_text(text.replace("LAYER", layer).replace("MORE", more))
        read = fully_named(read_recipe(recipe), image.parent)
        scene = open_scenes(read, image.parent).scenes[0]
        assert low <= int((scene.read(scene.rect)[2] == 0).sum()) <= high
        again = recipe_of(read.table(), tmp_path)
        assert again.sources[0].buffer_m == (1.0 if more else None)
    # beside the recipe, and not below the data folder
    image.rename(tmp_path / "below" / image.name)
    full = fully_named(read_recipe(recipe), tmp_path / "below")
    assert full.sources[0].polygons == f"{(tmp_path / 'layers.gpkg').resolve()}:roads"
    assert open_scenes(full, tmp_path / "below").scenes
    recipe.write_text(text.replace('polygons = "layers.gpkg:LAYER", class_field = "kind", background = "land"MORE',
                                   'labels = "x", buffer_m = 1.0'))  # fmt: skip
    with pytest.raises(TrainingError, match="buffer_m go with polygons"):
        read_recipe(recipe)


# --- what lies nowhere -------------------------------------------------------------------------------------------


def tiles(write_raster: Write) -> list[Path]:
    """Four images beside each other, 64 px wide."""
    noise = np.random.default_rng(4).integers(1, 250, (3, SIZE, SIZE)).astype(np.uint8)
    places = [HALF @ Affine.translation(SIZE * number, 0) for number in range(4)]
    return [write_raster(noise, f"t{n}.tif", transform=place) for n, place in enumerate(places)]


def test_labels_on_no_image_are_refused_by_train_as_by_the_others(
    image: Path, write_raster: Write, tmp_path: Path
) -> None:
    path = write(tmp_path / "away.gpkg", [patch(900, 900, 950, 950)])
    sentence = r"no polygon of .*away\.gpkg lies on the only image; check that they belong together"
    with pytest.raises(TrainingError, match=sentence):
        by_train(image, str(path))
    with pytest.raises(GridError, match="no polygon"):
        by_rasterize(image, str(path))
    with pytest.raises(GridError, match="no polygon"):
        by_evaluate(image, str(path))
    found = looked_at(image, str(path))
    assert any("no polygon of" in one.text and "the only image" in one.text for one in found.findings)
    assert not any(one.pixels for one in found.classes)  # not even of the background


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_coordinates_without_a_crs(image: Path, tmp_path: Path, heard: list[str]) -> None:
    degrees = geopandas.GeoDataFrame({"kind": ["roof"]}, geometry=[SQUARE], crs=UTM).to_crs(4326)
    degrees.set_crs(None, allow_override=True).to_file(tmp_path / "degrees.gpkg")
    with pytest.raises(TrainingError, match=r"\(no CRS\).* EPSG:32633.*assign its CRS"):
        by_train(image, str(tmp_path / "degrees.gpkg"))
    metres = write(tmp_path / "metres.gpkg", [SQUARE], crs=None)
    assert by_train(image, str(metres)) == by_evaluate(image, str(metres)) == by_data(image, str(metres)) == 900
    assert f"{metres} has no CRS: its coordinates are taken for those of the raster (EPSG:32633)" in heard
    wrong = write(tmp_path / "wrong.gpkg", [SQUARE], crs="EPSG:32634")
    with pytest.raises(TrainingError, match="check the CRS of both"):
        by_train(image, str(wrong))


def test_images_without_polygons_and_polygons_that_burn_nothing_are_spoken_of(
    write_raster: Write, tmp_path: Path, heard: list[str]
) -> None:
    four = [str(one) for one in tiles(write_raster)]
    shed = patch(SIZE + 10.1, 10.1, SIZE + 10.4, 10.4)  # covers no centre
    ditch = patch(3 * SIZE + 1, 20.1, 3 * SIZE + 60, 20.3)
    shapes = [SQUARE, shed, ditch, patch(900, 900, 950, 950)]
    path = write(tmp_path / "labels.gpkg", shapes, kind=["house", "shed", "ditch", "house"])
    expected = [
        "1 of 4 images has no polygon: t2.tif; all there is land",
        f"1 of 4 polygons of {path} lies on no image",
        f"2 of 4 polygons of {path} cover no pixel's centre, so nothing is burnt for them: use --all-touched, or "
        "smaller pixels",
    ]
    data = DataFiles(tuple(four), (str(path),), class_field="kind", background="land")
    recipe = Overrides().recipe(data, None, name="m")
    scenes = open_scenes(recipe, Path()).scenes
    assert [one for one in heard if "polygon" in one] == expected
    land = recipe.classes.names.index("land")
    assert (scenes[2].read(scenes[2].rect)[2] == land).all()
    found = inspect_data(four, str(path), class_field="kind", background="land")
    assert [one.text for one in found.findings if one.kind == "labels"] == expected
    pixels = {one.name: one.pixels for one in found.classes}
    assert pixels == {"ditch": 0, "house": 900, "land": 4 * SIZE**2 - 900, "shed": 0}
    unfilled = inspect_data(four, str(path), class_field="kind")
    assert "t2: no polygon lies on it" in [one.text for one in unfilled.findings]
    with pytest.raises(GridError, match=r"1 polygon covers no pixel's centre on the grid .* smaller pixels"):
        rasterize(path, tmp_path / "o.tif", like=four[1], class_field="kind", quiet=True)
    assert not (tmp_path / "o.tif").exists()
    two = write(tmp_path / "two.gpkg", [patch(SIZE + 5, 30, SIZE + 9, 40), shed], kind=["house", "shed"])
    burnt = rasterize(two, tmp_path / "o.tif", like=four[1], class_field="kind", quiet=True)
    assert any("covers no pixel's centre" in note for note in burnt.notes) and burnt.classes["shed"]["pixels"] == 0
    assert rasterize_lines(burnt)[-1].startswith("note") and burnt.to_json()["notes"] == list(burnt.notes)


def test_a_neighbour_that_only_touches_does_not_lie_on_an_image(write_raster: Write, tmp_path: Path) -> None:
    first, second = tiles(write_raster)[:2]
    path = write(tmp_path / "p.gpkg", [patch(0, 0, SIZE, SIZE)])
    coverage, polygons = Coverage(), PolygonLabels(path, "kind")
    for one in (first, second):
        with FileSource(one) as source:
            coverage.add(polygons, one.name, source.grid)
    assert coverage.sentences() == ["1 of 2 images has no polygon: t1.tif; nothing is known there"]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=6))
def test_what_covers_a_centre_is_what_burning_finds(points: list[tuple[float, float]]) -> None:
    from rasterio.features import rasterize as burn

    shape, grid = Polygon(points), Grid(None, Affine.identity(), 9, 8)
    upwards = shapely.transform(shape, lambda at: at * [1, -1])
    burnt = burn([upwards], out_shape=(8, 9), transform=Affine.scale(1, -1), dtype="uint8") if shape.area else None
    if burnt is not None and shape.is_valid:
        assert covers_a_centre(shape, grid) == bool(burnt.any())


# --- compound CRSs -----------------------------------------------------------------------------------------------


COMPOUND = "EPSG:32633+5773"


@pytest.mark.parametrize("command", READ)
@pytest.mark.parametrize(("labels", "raster"), [(COMPOUND, UTM), (UTM, COMPOUND), (COMPOUND, COMPOUND)])
def test_heights_move_nothing(write_raster: Write, command: str, labels: str, raster: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(1, 250, (3, SIZE, SIZE)).astype(np.uint8)
    image = write_raster(noise, "image.tif", photometric="RGB", crs=raster)
    frame = geopandas.GeoDataFrame({"kind": ["roof"]}, geometry=[SQUARE], crs=UTM)
    frame.set_crs(labels, allow_override=True).to_file(tmp_path / "labels.gpkg")
    assert READ[command](image, str(tmp_path / "labels.gpkg")) == 900


def test_rasters_with_and_without_heights_share_their_pixels(write_raster: Write) -> None:
    grids = []
    for number, crs in enumerate((UTM, COMPOUND, "EPSG:32634")):
        with FileSource(write_raster(np.ones((6, 8), np.uint8), f"{number}.tif", crs=crs)) as source:
            grids.append(source.grid)
    assert grids[0].same_as(grids[1]) and grids[1].offset_of(grids[0]) == (0, 0)
    assert grids[0].crs != grids[1].crs  # the twin: without looking at the horizontal part they are others
    assert not grids[0].same_as(grids[2]) and not same_place(None, UTM) and same_place(None, None)
    assert horizontal("EPSG:4979").to_epsg() == 4326 and horizontal(COMPOUND).to_epsg() == 32633


# --- buffers in metres on the ground -----------------------------------------------------------------------------


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857", "EPSG:2154", "EPSG:3035", "EPSG:2263"])
def test_a_buffer_is_metres_on_the_ground_in_any_crs(crs: str) -> None:
    north = 40.7 if crs == "EPSG:2263" else 48.0
    west = -74.0 if crs == "EPSG:2263" else 3.0 if crs == "EPSG:2154" else 15.0
    lonlat = [Point(west, north), LineString([(west, north), (west + 0.3, north + 0.2)])]  # of 30 km
    shapes = geopandas.GeoSeries(lonlat, crs=4326).segmentize(0.001).to_crs(crs)
    made = geopandas.GeoSeries(buffering.buffered(np.asarray(shapes, dtype=object), shapes.crs, 50.0), crs=crs)
    local = f"+proj=aeqd +lat_0={north} +lon_0={west}"
    circle = made.to_crs(local)[0]
    assert circle.area == pytest.approx(np.pi * 2500, rel=0.01)
    width, height = np.diff(np.reshape(circle.bounds, (2, 2)), axis=0)[0]
    assert width == pytest.approx(100, rel=0.005) and height == pytest.approx(100, rel=0.005)
    far = f"+proj=aeqd +lat_0={north + 0.2} +lon_0={west + 0.3}"
    end = made.to_crs(far)[1].intersection(Point(0, 0).buffer(2000)).area  # a half disk and 2 km of a strip
    assert end == pytest.approx(100 * 2000 + np.pi * 2500 / 2, rel=0.01)


def test_a_buffer_in_units_of_the_crs_is_not_metres() -> None:
    """The twin: 50 units of Web Mercator at 48 degrees are 33 metres."""
    x, y = geopandas.GeoSeries([Point(15, 48)], crs=4326).to_crs(3857)[0].coords[0]
    naive = geopandas.GeoSeries([Point(x, y).buffer(50)], crs=3857).to_crs("+proj=aeqd +lat_0=48 +lon_0=15")
    assert naive[0].area < np.pi * 2500 * 0.5


# --- the whole and its crops -------------------------------------------------------------------------------------


ODD = Affine(0.149, 0, 533_333.3, 0, -0.149, 3_201_987.6)  # corners that have no exact number


def ties(folder: Path, number: int = 150, size: int = 96) -> tuple[PolygonLabels, Grid]:
    """Triangles whose corners and many of whose edges lie on pixel centres, where rounding decides."""
    rng = np.random.default_rng(8)
    corners = rng.integers(0, size, (number, 3, 2)) + 0.5
    shapes = [Polygon([ODD @ tuple(point) for point in corner]) for corner in corners.tolist()]
    path = write(folder / "ties.gpkg", shapes, kind=[str(index % 5) for index in range(number)])
    return PolygonLabels(path, "kind"), Grid(None, ODD, size, size)


VALUES = {str(index): index for index in range(5)}


def crops_differ(read: Callable[[Rect], NDArray[np.uint8]], grid: Grid, count: int = 200) -> int:
    """How many of some random crops are not what the whole has there."""
    rng, whole = np.random.default_rng(9), read(grid.rect)
    found = 0
    for _ in range(count):
        (top, bottom), (left, right) = (np.sort(rng.choice(grid.width + 1, 2, replace=False)) for _ in range(2))
        rect = Rect(int(top), int(left), int(bottom - top), int(right - left))
        found += not np.array_equal(read(rect), whole[rect.slices])
    return found


def test_a_crop_is_burnt_as_the_whole_is(tmp_path: Path) -> None:
    from landseg.labels.burnt_polygons import BurntPolygons, PolygonCodes

    labels, grid = ties(tmp_path)
    targets = BurntPolygons(labels, grid, 255, VALUES)
    assert crops_differ(lambda rect: targets.read(rect), grid) == 0
    table = ClassMap.from_json([{"value": index + 1, "name": str(index)} for index in range(5)])
    truth = open_polygons(labels.path, "kind", ClassMap(table.classes), grid)
    assert crops_differ(truth.read, grid) == 0
    path = Path(labels.path)
    drawn = PolygonCodes([path], "kind", title="all")
    assert crops_differ(lambda rect: drawn.on(path, grid).read(rect), grid, 40) == 0


def test_a_crop_burnt_in_coordinates_of_the_crs_is_not(tmp_path: Path) -> None:
    labels, grid = ties(tmp_path)
    assert crops_differ(lambda rect: labels.burn_names(grid.crop(rect), VALUES, 255), grid) > 20


@settings(max_examples=25)
@given(st.data())
def test_random_polygons_and_random_crops(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    half = st.integers(-8, 60).map(lambda number: number / 2)
    triangles = data.draw(st.lists(st.lists(st.tuples(half, half), min_size=3, max_size=5), min_size=1, max_size=6))
    shapes = [Polygon([ODD @ point for point in points]) for points in triangles]
    shapes = [shape for shape in shapes if shape.area > 0] or [box(*(ODD @ (0, 9)), *(ODD @ (9, 0)))]
    path = tmp_path_factory.mktemp("p") / "p.gpkg"
    labels = PolygonLabels(write(path, shapes, kind=["1"] * len(shapes)), "kind")
    grid = Grid(None, ODD, 30, 30)
    placed, pixels = labels.in_pixels(grid), pixel_grid(grid)
    whole = placed.burn(pixels)
    top, left = data.draw(st.integers(0, 29)), data.draw(st.integers(0, 29))
    rect = Rect(top, left, data.draw(st.integers(1, 30 - top)), data.draw(st.integers(1, 30 - left)))
    assert np.array_equal(placed.burn(pixels.crop(rect)), whole[rect.slices])


def test_labels_go_to_other_processes(tmp_path: Path) -> None:
    labels, grid = ties(tmp_path)
    labels.touches(grid)
    again = pickle.loads(pickle.dumps(labels))
    assert np.array_equal(again.burn_names(grid, VALUES, 9), labels.burn_names(grid, VALUES, 9))
    placed = pickle.loads(pickle.dumps(labels.in_pixels(grid)))
    pixels = pixel_grid(grid)
    assert np.array_equal(placed.burn(pixels), labels.in_pixels(grid).burn(pixels)) and placed.counts()


def test_an_output_never_replaces_the_file_of_a_layer_that_is_read(image: Path, tmp_path: Path) -> None:
    path = with_layers(tmp_path / "layers.gpkg")
    before = path.read_bytes()
    write(tmp_path / "one.gpkg", [SQUARE])
    burn = ("--like", image, "--class-field", "kind", "--overwrite")
    assert landseg("rasterize", f"{path}:roofs", tmp_path / "c.tif", *burn).exit_code == 0
    refused = landseg("export", tmp_path / "c.tif", path, "--aoi", f"{path}:roofs", "--overwrite")
    assert refused.exit_code == 1 and "input" in refused.stderr and path.read_bytes() == before
