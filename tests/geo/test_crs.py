"""Coordinate systems between which there is no way: one sentence wherever a way is needed, and work where none is."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

import landseg
from landseg.classes import ClassMap
from landseg.cli.main import app
from landseg.errors import GridError, TrainingError
from landseg.geo.crs import as_pyproj, connected, crs_text, period, transformer, unit_m
from landseg.geo.grid import Grid
from landseg.geo.ruler import Ruler
from landseg.labels.image_lists import Item
from landseg.models.named import NamedModel
from landseg.scenes.opening import ImageLabelOptions
from tests.parts.opened import open_items
from tests.parts.predicting import MODEL, noise

pytestmark = pytest.mark.usefixtures("quick_disk")

SITE = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]')
FEET = CRS.from_wkt('LOCAL_CS["yard",UNIT["foot",0.3048],AXIS["Easting",EAST],AXIS["Northing",NORTH]]')
MOON = CRS.from_wkt(
    'PROJCS["Moon, equirectangular",GEOGCS["GCS_Moon",DATUM["D_Moon",SPHEROID["Moon_IAU",1737400,0]],'
    'PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]],PROJECTION["Equirectangular"],'
    'PARAMETER["standard_parallel_1",0],PARAMETER["central_meridian",0],PARAMETER["false_easting",0],'
    'PARAMETER["false_northing",2000000],UNIT["metre",1]]'  # without it the raster would lie beyond the pole
)
EARTH = CRS.from_epsg(32645)
WHERE = Affine(0.5, 0, 333_000, 0, -0.5, 3_065_000)
NO_WAY = "no transformation is known"


def write(path: Path, values: Any, crs: CRS, **profile: Any) -> Path:
    bands = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        dtype="uint8",
        crs=crs,
        transform=WHERE,
        **profile,
    ) as out:
        out.write(bands)
    return path


def classes() -> Any:
    return np.kron(np.random.default_rng(0).integers(1, 3, (4, 4)), np.ones((16, 16), int)).astype(np.uint8)


@pytest.fixture(params=[SITE, MOON], ids=["local", "moon"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Path]:
    """Imagery, a map and labels in a strange CRS and in UTM, and polygons in degrees of the earth."""
    found = {"classes": tmp_path / "classes.json"}
    found["classes"].write_text('[{"value": 1, "name": "a"}, {"value": 2, "name": "b"}]')
    for kind, crs in (("", request.param), ("_utm", EARTH)):
        found[f"scene{kind}"] = write(tmp_path / f"scene{kind}.tif", noise(64, 64), crs, photometric="RGB")
        found[f"map{kind}"] = write(tmp_path / f"map{kind}.tif", classes(), crs, nodata=0)
    square = geopandas.GeoDataFrame({"kind": ["a"]}, geometry=[shapely.box(85.3, 27.69, 85.31, 27.71)], crs=4326)
    found["roofs"] = tmp_path / "roofs.geojson"
    square.to_file(found["roofs"])
    return found


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def refused(*arguments: object, words: str = NO_WAY) -> None:
    """Status 1 and one sentence that names what is wrong."""
    code, _, err = run(*arguments)
    said = [line for line in err.splitlines() if line.startswith("landseg: ")]
    assert code == 1 and len(said) == 1 and words in said[0] and "fault" not in err, err


def test_what_needs_a_way_is_refused_in_a_sentence(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))
    f, out = files, tmp_path / "out"
    out.mkdir()
    table = ("--classes", f["classes"])
    refused("export", f["map"], out / "a.geojson", words="GeoJSON is in WGS 84 by its definition")
    refused("export", f["map"], out / "a.gpkg", "--crs", "EPSG:4326")
    refused("export", f["map"], out / "a.gpkg", "--aoi", f["roofs"])
    refused("evaluate", f["map"], f["map_utm"], *table)
    refused("evaluate", f["map_utm"], f["map"], *table)
    refused("evaluate", f["map"], f["roofs"], *table, "--class-field", "kind")
    refused("evaluate", f["map"], f["map"], *table, "--aoi", f["roofs"])
    refused("compare", f["map"], f["map"], f["map_utm"], *table)
    refused("rasterize", f["roofs"], out / "b.tif", "--like", f["map"])
    predict = ("predict", f["scene"], "--device", "cpu", "--precision", "fp32", "-o", out / "c.tif")
    refused(*predict, "--aoi", f["roofs"])
    refused(*predict, "--polygons", out / "c.geojson", words="GeoJSON is in WGS 84 by its definition")
    refused("predict", f["scene"], f["scene_utm"], *predict[2:])
    refused("view", f["scene"], f["scene_utm"], "--no-browser")
    assert not list(out.iterdir()), "nothing was begun"
    code, said, _ = run("data", f["scene"], f["roofs"])
    assert NO_WAY in said and code in (0, 1)


def test_what_needs_no_way_works(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))
    f, table = files, ("--classes", files["classes"])
    cells = int((classes() == 1).sum())
    code, said, err = run("export", f["map"], tmp_path / "a.gpkg", "--json")
    assert code == 0, err
    assert json.loads(said)["classes"][0]["area_m2"] == pytest.approx(cells / 4)
    assert geopandas.read_file(tmp_path / "a.gpkg", layer="a").crs is not None
    code, said, err = run(
        "evaluate",
        f["map"],
        f["map"],
        *table,
        "--tolerance",
        "2m",
        "--boundary",
        "2m",
        "--json",
        "--report",
        tmp_path / "r.html",
        "--image",
        f["scene"],
    )
    assert code == 0, err
    assert json.loads(said)["classes"][0]["area_ha"] == pytest.approx(cells / 4 / 10_000, rel=0.3)
    for command in (
        ("compare", f["map"], f["map"], f["map"], *table),
        ("evaluate", f["map"], tmp_path / "a.gpkg", *table, "--class-field", "value"),
        ("rasterize", tmp_path / "a.gpkg", tmp_path / "b.tif", "--like", f["map"]),
        ("rasterize", tmp_path / "a.gpkg", tmp_path / "b2.tif", "--resolution", "1,1"),
        ("predict", f["scene"], "--device", "cpu", "--precision", "fp32", "-o", tmp_path / "c.tif", "--polygons",
         tmp_path / "c.gpkg", "--aoi", tmp_path / "a.gpkg", "--preview", tmp_path / "c.png"),
        ("info", f["scene"]),
    ):  # fmt: skip
        code, _, err = run(*command)
        assert code == 0, (command, err)
    with rasterio.open(tmp_path / "b.tif") as back:
        assert (back.read(1) == classes()).all()


def test_training_says_that_there_is_no_way(files: dict[str, Path]) -> None:
    table = ClassMap.from_json(json.loads(files["classes"].read_text()))
    with pytest.raises(TrainingError, match="no transformation is known between labels and image"):
        open_items([Item(files["scene"], files["map_utm"])], ImageLabelOptions(table))
    with pytest.raises(GridError, match=NO_WAY):
        open_items([Item(files["scene"], polygons=files["roofs"])], ImageLabelOptions(table, field="kind"))
    assert len(open_items([Item(files["scene"], files["map"])], ImageLabelOptions(table))[0]) == 1


@pytest.mark.parametrize("here", [SITE, MOON])
@pytest.mark.parametrize("there", ["EPSG:4326", EARTH, FEET])
def test_there_is_no_way(here: CRS, there: Any) -> None:
    assert not connected(here, there) and not connected(there, here)
    name = there if isinstance(there, str) else crs_text(there)
    said = f"{NO_WAY} between {crs_text(here)}.* and {name}.*: use data in one"
    with pytest.raises(GridError, match=said) as raised:
        transformer(here, there)
    assert "local CRS" in str(raised.value) or here is MOON


def test_one_local_crs_in_two_formats_is_one() -> None:
    other = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert transformer(SITE, as_pyproj(other).to_wkt()).transform(3.0, 4.0) == (3.0, 4.0)
    longer = CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
    assert not connected(SITE, longer)


def test_twin_proj_itself_speaks_otherwise() -> None:
    with pytest.raises(pyproj.exceptions.ProjError):
        pyproj.Transformer.from_crs(as_pyproj(SITE), "EPSG:4326", always_xy=True)


def test_sizes_on_other_bodies_and_in_other_units() -> None:
    moon = Grid(MOON, Affine(100, 0, 0, 0, -100, 2_000_000), 10, 10)
    assert moon.pixel_size_m == pytest.approx((100, 100), rel=1e-6)
    degrees = as_pyproj(MOON).geodetic_crs
    grid = Grid(CRS.from_wkt(degrees.to_wkt()), Affine(0.01, 0, 0, 0, -0.01, 60), 1, 1)
    side = 1737400 * np.radians(0.01)
    assert grid.pixel_size_m == pytest.approx((side, side / 2), rel=1e-3)
    feet = Grid(FEET, Affine(1, 0, 0, 0, -1, 0), 10, 10)
    assert feet.pixel_size_m == pytest.approx((0.3048, 0.3048)) and unit_m(as_pyproj(FEET)) == 0.3048
    grads = Grid(CRS.from_epsg(4807), Affine(0.01, 0, 2, 0, -0.01, 50), 10, 10)
    assert grads.pixel_size_m == pytest.approx((1000, 707), rel=5e-3)  # 45 degrees north; a grad is 0.9 degrees
    for crs, turn in ((MOON, 2 * np.pi * 1737400), (CRS.from_epsg(4807), 400), (SITE, None)):
        assert period(crs) == (None if turn is None else pytest.approx(turn))


def test_a_bound_or_compound_mercator_is_measured_on_the_ground() -> None:
    box = np.array([shapely.box(1_000_000, 6_000_000, 1_000_010, 6_000_010)])
    plain = Ruler.of(Grid(CRS.from_epsg(3395), WHERE, 9, 9)).measure(box)[0][0]
    for text in ("EPSG:3395+5773", "+proj=merc +ellps=WGS84 +towgs84=1,2,3,0,0,0,0 +units=m"):
        found = Ruler.of(Grid(CRS.from_user_input(text), WHERE, 9, 9)).measure(box)[0][0]
        assert found == pytest.approx(plain) and found < 60  # not 100, as in the plane


WAYS = {"from_crs", "to_crs", "transform_geom", "transform_bounds", "reproject"}


def used_ways(source: str) -> set[str]:
    """Names of functions that transform coordinates, as a source calls them."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in WAYS}


def test_one_function_makes_every_transformation() -> None:
    found = {
        path.name: used
        for path in Path(landseg.__file__).parent.rglob("*.py")
        if (used := used_ways(path.read_text()))
    }
    assert found == {"crs.py": {"from_crs"}, "aoi.py": {"transform_bounds"}}  # of a transformer of that function
    assert used_ways("frame.to_crs(4326)") == {"to_crs"}  # twin
